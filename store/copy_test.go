package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A copy has every record of the source, byte for byte, expired ones included,
// whatever bytes the keys have and however large the values are.
func TestCopyTakesEveryRecord(t *testing.T) {
	from, to := memstore.New(), memstore.New()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		w := store.Write{Key: fmt.Sprintf("session/m%d/%05d", i%7, i), Value: make([]byte, random.IntN(2000)), Version: i % 3, Meta: []byte{2, byte(i)}}
		for j := range w.Value {
			w.Value[j] = byte(random.IntN(256))
		}
		switch i % 4 {
		case 1:
			w.Expires = time.Now().Add(time.Hour)
		case 2:
			w.Expires = time.Now().Add(-time.Hour)
		}
		fill(t, from, w)
	}
	fill(t, from, store.Write{Key: "\x00"}, store.Write{Key: "\xff/\xff\xfe/"}, store.Write{Key: strings.Repeat("k", store.MaxKey)})
	fill(t, from, store.Write{Key: "stay/keys", Value: []byte("secret")}, store.Write{Key: "global/large/", Value: make([]byte, 20<<20)})

	var last store.CopyCount
	count, err := store.Copy(t.Context(), from, to, store.CopyOptions{Progress: func(c store.CopyCount) {
		if c.Records < last.Records || c.Copied < last.Copied || c.Verified < last.Verified {
			t.Errorf("progress went back from %+v to %+v", last, c)
		}
		last = c
	}})
	if err != nil {
		t.Fatal(err)
	}
	if count.Records != 3005 || count.Missing != 3005 || count.Copied != 3005 || count.Verified != 3005 || count.Bytes < 20<<20 || last != count {
		t.Errorf("the copy says %+v, and the last progress was %+v", count, last)
	}
	wantCopy(t, from, to)

	count, err = store.Copy(t.Context(), from, to, store.CopyOptions{})
	if err != nil || count.Copied != 0 || count.Missing != 0 || count.Verified != 3005 {
		t.Errorf("a second copy says %+v, %v", count, err)
	}
}

// An interrupted copy goes on where it was, whatever happened to its last
// writes.
func TestCopyGoesOnAfterAnInterruption(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{
		"refused":  storefault.Fail(nil),
		"lost ack": storefault.LoseAck(nil),
	} {
		t.Run(name, func(t *testing.T) {
			from, mem := memstore.New(), memstore.New()
			for i := range 2000 {
				fill(t, from, store.Write{Key: fmt.Sprintf("key/m/%04d", i), Value: []byte("v")})
			}
			to := storefault.Wrap(mem, nil)
			for run := range 3 {
				ctx, stop := context.WithCancelCause(t.Context())
				power := errors.New("power cut")
				var commits atomic.Int64
				rule := to.Add(storefault.Rule{Op: storefault.Commit, Fault: fault, Match: func(storefault.Call) bool {
					if commits.Add(1) < 300 { // group by group
						return false
					}
					stop(power)
					return true
				}})
				count, err := store.Copy(ctx, from, to, store.CopyOptions{})
				if !errors.Is(err, power) {
					t.Fatalf("run %d: %+v, %v", run, count, err)
				}
				rule.Remove()
			}
			before := len(allKeys(t, mem))
			count, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
			if err != nil || count.Copied == 0 || count.Copied != 2000-before || count.Verified != 2000 {
				t.Errorf("with %d records there: %+v, %v", before, count, err)
			}
			wantCopy(t, from, mem)
		})
	}
}

// A record whose outcome is unknown is sent again.
func TestCopySendsAgainWhatIsUnknown(t *testing.T) {
	synctest.Test(t, testUnknown) // it waits in between
}

func testUnknown(t *testing.T) {
	from, mem := memstore.New(), memstore.New()
	for i := range 50 {
		fill(t, from, store.Write{Key: fmt.Sprintf("key/m/%04d", i), Value: []byte("v")})
	}
	to := storefault.Wrap(mem, nil)
	lost := to.Add(storefault.Rule{Op: storefault.Commit, Times: 20, Fault: storefault.LoseAck(nil)})
	count, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
	if err != nil || count.Copied != 50 || count.Verified != 50 || lost.Hits() != 20 {
		t.Errorf("%+v, %v after %d lost answers", count, err, lost.Hits())
	}
	wantCopy(t, from, mem)

	to.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Drop(nil)})
	fill(t, from, store.Write{Key: "user/m/ann@example.com"})
	if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{}); !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "ann") {
		t.Errorf("the store never answers: %v", err)
	}
}

// A target that has anything else is left as it is, and the error tells neither
// users nor data.
func TestCopyOverwritesNothing(t *testing.T) {
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	ann := store.Write{Key: "user/cart/ann@example.com", Value: []byte("1"), Meta: []byte("m"), Version: 1, Expires: later}
	for name, change := range map[string]func(w *store.Write){
		"value":   func(w *store.Write) { w.Value = []byte("2") },
		"meta":    func(w *store.Write) { w.Meta = []byte("n") },
		"version": func(w *store.Write) { w.Version = 2 },
		"expiry":  func(w *store.Write) { w.Expires = later.Add(time.Millisecond) },
		"never":   func(w *store.Write) { w.Expires = time.Time{} },
		"other":   func(w *store.Write) { w.Key = "user/cart/bob@example.com" },
		"before":  func(w *store.Write) { w.Key = "user/" },
		"after":   func(w *store.Write) { w.Key = "user/z/z"; w.Expires = time.Unix(1, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			from, to := memstore.New(), memstore.New()
			fill(t, from, ann, store.Write{Key: "stay/keys", Value: []byte("k")})
			there := ann
			change(&there)
			fill(t, to, there)
			for _, dry := range []bool{true, false} {
				_, err := store.Copy(t.Context(), from, to, store.CopyOptions{DryRun: dry})
				var conflict *store.CopyConflict
				ok := errors.As(err, &conflict)
				if !ok || conflict.Count != 1 || len(conflict.Keys) != 1 || conflict.Keys[0] != there.Key || conflict.Copied {
					t.Fatalf("the copy ended with %v, %+v", err, conflict)
				}
				if text := err.Error(); strings.Contains(text, "example.com") || !strings.Contains(text, "nothing was written") {
					t.Errorf("the error is %q", text)
				}
			}
			if keys := allKeys(t, to); len(keys) != 1 {
				t.Errorf("the target has %q", keys)
			}
		})
	}
}

// What somebody changes during the copy is noticed, in either store.
func TestCopyNoticesChangesMeanwhile(t *testing.T) {
	for name, change := range map[string]func(from, to store.Store) store.Result{
		"source changed": func(from, _ store.Store) store.Result {
			return from.Commit(context.Background(), []store.Group{{{Key: "key/m/1", Base: revisionOf(from, "key/m/1"), Value: []byte("2")}}})[0]
		},
		"source deleted": func(from, _ store.Store) store.Result {
			return from.Commit(context.Background(), []store.Group{{{Op: store.Delete, Key: "key/m/1", Base: revisionOf(from, "key/m/1")}}})[0]
		},
		"source added": func(from, _ store.Store) store.Result {
			return from.Commit(context.Background(), []store.Group{{{Key: "key/m/3"}}})[0]
		},
		"target created": func(_, to store.Store) store.Result {
			return to.Commit(context.Background(), []store.Group{{{Key: "key/m/2", Value: []byte("theirs")}}})[0]
		},
		"target added": func(_, to store.Store) store.Result {
			return to.Commit(context.Background(), []store.Group{{{Key: "key/m/3"}}})[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, mem := memstore.New(), memstore.New()
			fill(t, from, store.Write{Key: "key/m/1", Value: []byte("1")}, store.Write{Key: "key/m/2", Value: []byte("1")})
			done := false
			to := storefault.Wrap(mem, &storefault.Options{Hook: func(c storefault.Call) {
				if c.Op == storefault.Commit && !done {
					done = true
					if res := change(from, mem); res.Outcome != store.Applied {
						t.Error(res)
					}
				}
			}})
			_, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
			var conflict *store.CopyConflict
			ok := errors.As(err, &conflict)
			if !ok || conflict.Count != 1 || !conflict.Copied || !strings.Contains(err.Error(), "stop all programs") {
				t.Errorf("the copy ended with %v", err)
			}
		})
	}
}

// A value that the target does not take is found before anything is written.
func TestCopyFindsLargeValuesFirst(t *testing.T) {
	from, mem := memstore.New(), memstore.New()
	fill(t, from, store.Write{Key: "user/a/x"}, store.Write{Key: "user/notes/ann", Value: make([]byte, 101)})
	to := storefault.Wrap(mem, &storefault.Options{Features: func(f store.Features) store.Features { f.MaxValue = 100; return f }})
	_, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
	if !errors.Is(err, store.ErrTooLarge) || !strings.Contains(err.Error(), "user/notes/") || strings.Contains(err.Error(), "ann") {
		t.Errorf("the copy ended with %v", err)
	}
	if keys := allKeys(t, mem); len(keys) != 0 {
		t.Errorf("the target has %q", keys)
	}
}

// A dry run says what there is to do and does nothing.
func TestCopyDryRun(t *testing.T) {
	from, to := memstore.New(), memstore.New()
	fill(t, from, store.Write{Key: "user/a/1", Value: []byte("12")}, store.Write{Key: "user/a/2"})
	fill(t, to, store.Write{Key: "user/a/2"})
	count, err := store.Copy(t.Context(), from, to, store.CopyOptions{DryRun: true})
	if want := (store.CopyCount{Records: 2, Missing: 1, Bytes: 18}); err != nil || count != want {
		t.Errorf("%+v, %v, want %+v", count, err, want)
	}
	if keys := allKeys(t, to); len(keys) != 1 {
		t.Errorf("the target has %q", keys)
	}
}

// A store that can neither list nor find expired records is a target still. It
// gets the records that count, and is no source.
func TestCopyToASimpleStore(t *testing.T) {
	from, to := memstore.New(), store.FromSimple(folder(t.TempDir()))
	fill(t, from,
		store.Write{Key: "user/a/1", Value: []byte("1"), Expires: time.Now().Add(time.Hour)},
		store.Write{Key: "user/a/2", Expires: time.Now().Add(-time.Hour)})
	for range 2 {
		count, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
		if err != nil || count.Verified != 1 {
			t.Fatalf("%+v, %v", count, err)
		}
	}
	if rec := load(to, "user/a/1"); string(rec.Value) != "1" || rec.Expires.IsZero() {
		t.Errorf("the copy has %v", rec)
	}
	if rec := load(to, "user/a/2"); rec.Revision != 0 {
		t.Errorf("the copy has %v, which nobody would remove", rec)
	}
	if _, err := store.Copy(t.Context(), to, memstore.New(), store.CopyOptions{}); err == nil {
		t.Error("a store that cannot list was copied")
	}
}

// Failing reads end a copy with the store's error.
func TestCopyReportsFailures(t *testing.T) {
	for _, op := range []storefault.Op{storefault.Load, storefault.List} {
		for _, side := range []string{"source", "target"} {
			from, to := storefault.Wrap(memstore.New(), nil), storefault.Wrap(memstore.New(), nil)
			fill(t, from, store.Write{Key: "user/a/1"})
			map[string]*storefault.Store{"source": from, "target": to}[side].Add(storefault.Rule{Op: op, Fault: storefault.Fail(nil)})
			if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "the "+side) {
				t.Errorf("%s fails at the %s: %v", op, side, err)
			}
		}
	}
}

func fill(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	for _, w := range writes {
		if res := s.Commit(t.Context(), []store.Group{{w}})[0]; res.Outcome != store.Applied {
			t.Fatal(res)
		}
	}
}

func allKeys(t *testing.T, s store.Store) []string {
	t.Helper()
	keys, err := s.(store.Lister).List(t.Context(), time.Unix(0, 0), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func load(s store.Store, key string) store.Record {
	recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		panic(err)
	}
	return recs[0]
}

func revisionOf(s store.Store, key string) store.Revision { return load(s, key).Revision }

// wantCopy fails the test unless both stores have the same records.
func wantCopy(t *testing.T, from, to store.Store) {
	t.Helper()
	keys, copied := allKeys(t, from), allKeys(t, to)
	if len(keys) != len(copied) {
		t.Fatalf("the copy has %d records, want %d", len(copied), len(keys))
	}
	for i, key := range keys {
		a, b := load(from, key), load(to, key)
		if copied[i] != key || string(a.Value) != string(b.Value) || string(a.Meta) != string(b.Meta) || a.Version != b.Version || a.Expires.UnixMilli() != b.Expires.UnixMilli() {
			t.Fatalf("%v was copied as %v", a, b)
		}
	}
}
