package natsstore

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
)

// FuzzRecord proves that whatever is found in the place of a record is a record or
// corrupt, and that every record comes back as it was.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{}, int64(0), int64(1), []byte("meta"), []byte("value"))
	f.Add([]byte("\x01\x02\x02\x01mv"), int64(never), int64(-1), []byte{}, []byte{})
	f.Add([]byte("\x01\x02\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), int64(1), int64(1), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, message []byte, expires, version int64, meta, value []byte) {
		if rec, err := decode("key", 7, message); err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Error(err)
			}
		} else if len(rec.Meta)+len(rec.Value) >= len(message) {
			t.Errorf("%x is %+v", message, rec)
		}
		w := store.Write{Value: value, Meta: meta, Version: int(version)}
		if at := time.UnixMilli(expires); expires != never && !at.IsZero() {
			w.Expires = at
		}
		rec, err := decode("key", 7, encode(&w))
		if err != nil || rec.Revision != 14 || !bytes.Equal(rec.Value, value) || !bytes.Equal(rec.Meta, meta) || rec.Version != int(version) {
			t.Errorf("%+v came back as %+v, %v", w, rec, err)
		}
		if !rec.Expires.Equal(w.Expires) && w.Expires.UnixMilli() == expires {
			t.Errorf("%v came back as %v", w.Expires, rec.Expires)
		}
	})
}

// FuzzSubject proves that every key has a subject of its own which servers take, that
// it is among those for every prefix of the key, and that whatever else is there is
// corrupt.
func FuzzSubject(f *testing.F) {
	for _, key := range []string{"a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/d", "/", "//", "///", "_", "a._", "\x00\xff/\n", strings.Repeat("/", 1024)} {
		f.Add(key, "s.r."+key)
	}
	s := &Store{name: "s"}
	f.Fuzz(func(t *testing.T, key, text string) {
		if back, err := s.keyOf(text); err == nil && s.subjectOf(back) != text {
			t.Errorf("%q and %q have one key, %q", text, s.subjectOf(back), back)
		}
		if key == "" || len(key) > store.MaxKey {
			return
		}
		subject := s.subjectOf(key)
		if back, err := s.keyOf(subject); err != nil || back != key {
			t.Errorf("%q came back as %q, %v", key, back, err)
		}
		if len(subject) > 1400 || strings.ContainsAny(subject, " \t\r\n*>") || strings.Contains(subject, "..") || strings.HasSuffix(subject, ".") {
			t.Errorf("%q has the subject %q", key, subject)
		}
		for i := range len(key) + 1 {
			if filter := s.filterFor(key[:i]); !strings.HasPrefix(subject, strings.TrimSuffix(filter, ">")) || !strings.HasSuffix(filter, ".>") {
				t.Fatalf("%q is not below %q, for prefix %q", subject, filter, key[:i])
			}
		}
	})
}

// FuzzAck proves that whatever answers is an acknowledgement with numbers for all
// messages, or an error.
func FuzzAck(f *testing.F) {
	f.Add([]byte(`{"stream":"s","seq":7}`), 1)
	f.Add([]byte(`{"stream":"s","seq":7,"batch":"x","count":3}`), 3)
	f.Add([]byte(`{"stream":"s","seq":2,"batch":"x","count":3}`), 3)
	f.Add([]byte(`{"stream":"other","seq":7}`), 1)
	f.Add([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}`), 1)
	f.Add([]byte(`+OK`), 1)
	s := &Store{name: "s"}
	f.Fuzz(func(t *testing.T, b []byte, messages int) {
		if messages < 1 {
			return
		}
		if seq, err := s.parseAck(b, messages); err == nil && seq < uint64(messages) {
			t.Errorf("%q acknowledges %d messages as %d", b, messages, seq)
		}
	})
}

// FuzzURL proves that no error shows a part of a URL that may be secret.
func FuzzURL(f *testing.F) {
	for _, text := range []string{
		"nats://app:hush@localhost:4222", "tls://:hush@[::1]:1", "nats://app:hush@host:port", "nats://a:hu%zzsh@h", "nast://a:hush@h",
		"nats://a@h/hush", "nats://h?hush=1", "nats:a:hush@h", "nats://a:hush@h,nats://a:hush@i", "\x7fhush", "wss://hush", ",",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		servers, err := parse(text)
		if err != nil && err != errForm { //nolint:errorlint // nothing may be wrapped
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && len(servers) == 0 {
			t.Errorf("%q names no server", text)
		}
	})
}
