package redisstore

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
)

// FuzzRecord proves that whatever is found in the place of a record is a record or
// corrupt, and that every record comes back as it was.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{}, int64(0), int64(1), []byte("meta"), []byte("value"))
	f.Add(bytes.Repeat([]byte{0xff}, 40), int64(never), int64(-1), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, text []byte, expires, version int64, meta, value []byte) {
		if rec, err := decode("key", string(text)); err == nil {
			w := store.Write{Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires}
			again := appendBody(binary.BigEndian.AppendUint64(nil, uint64(rec.Revision)), &w)
			if !bytes.Equal(again, text) && !rec.Expires.IsZero() && rec.Expires.UnixMilli() == int64(binary.BigEndian.Uint64(text[8:])) {
				t.Errorf("%x is %+v, which is %x", text, rec, again)
			}
		}
		w := store.Write{Value: value, Meta: meta, Version: int(version)}
		if at := time.UnixMilli(expires); expires != never && !at.IsZero() {
			w.Expires = at
		}
		rec, err := decode("key", string(appendBody([]byte{0, 0, 0, 0, 0, 0, 0, 7}, &w)))
		if err != nil || rec.Revision != 7 || !bytes.Equal(rec.Value, value) || !bytes.Equal(rec.Meta, meta) || rec.Version != int(version) {
			t.Errorf("%+v came back as %+v, %v", w, rec, err)
		}
		if !rec.Expires.Equal(w.Expires) && w.Expires.UnixMilli() == expires {
			t.Errorf("%v came back as %v", w.Expires, rec.Expires)
		}
	})
}

// FuzzChanges proves that whatever is announced is changes or lost.
func FuzzChanges(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x03key\x01\x00\x01x"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x07\x02\x00\x03key"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x07\x00\xff\xffkey"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		changes, lost := parseChanges(string(text))
		if lost != (len(changes) == 0) {
			t.Errorf("%q: %v, lost %v", text, changes, lost)
		}
		size := 8
		for _, c := range changes {
			if c.Key == "" {
				t.Errorf("%q: %v", text, changes)
			}
			size += 3 + len(c.Key)
		}
		if !lost && size != len(text) {
			t.Errorf("%q is %d changes of %d bytes", text, len(changes), size)
		}
	})
}

// FuzzURL proves that no error shows a part of a URL that may be secret.
func FuzzURL(f *testing.F) {
	for _, text := range []string{
		"redis://app:hush@localhost:6379/0", "rediss://:hush@[::1]:1?skip_verify=hush", "redis://app:hush@host:port", "unix://hush",
		"redis://a:hu%zzsh@h", "reds://a:hush@h", "redis://a@h/hush", "redis://h?hush=1", "redis:a:hush@h", "redis://h?db=hush", "\x7fhush",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parse(text)
		if err != nil && err != errForm && err.Error() != errParameter.Error() { //nolint:errorlint // nothing may be wrapped
			t.Errorf("%q: %v", text, err)
		}
	})
}
