package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// TestFullDatabase proves that a group for which there is no room is rejected
// alone, that nothing of it is left, and that the store goes on as soon as
// there is room, without being reopened.
//
// Proves C2.
func TestFullDatabase(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"), sqlitestore.MaxSize(1<<20))
	value := make([]byte, 64<<10)
	revisions := map[string]store.Revision{}
	var last store.Result
	for i := 0; i < 32; i++ {
		key := fmt.Sprintf("%02d", i)
		if last = storekit.One(s, store.Write{Key: key, Value: value}); last.Outcome != store.Applied {
			break
		}
		revisions[key] = last.Revisions[0]
	}
	if last.Outcome != store.Rejected || !errors.Is(last.Err, store.ErrUnavailable) {
		t.Fatalf("%v, %v after %d values", last.Outcome, last.Err, len(revisions))
	}
	if len(revisions) < 10 {
		t.Fatalf("only %d values fit", len(revisions))
	}

	results := s.Commit(context.Background(), []store.Group{
		{{Key: "00", Base: revisions["00"], Value: []byte("small")}},
		{{Key: "big", Value: make([]byte, 512<<10)}},
		{{Key: "01", Base: revisions["01"], Value: []byte("small")}, {Key: "big2", Value: make([]byte, 512<<10)}},
		{{Key: "02", Base: revisions["02"], Value: []byte("small")}},
		{{Key: "03", Base: 99, Value: []byte("small")}},
	})
	for i, want := range []store.Outcome{store.Applied, store.Rejected, store.Rejected, store.Applied, store.Conflict} {
		if results[i].Outcome != want {
			t.Errorf("group %d: %v, %v, want %v", i, results[i].Outcome, results[i].Err, want)
		}
	}
	if r := storekit.Load(t, s, "01"); len(r.Value) != len(value) {
		t.Error("half of a group was applied")
	}
	if storekit.Load(t, s, "big").Revision != 0 {
		t.Error("a rejected group was applied")
	}

	for key := range revisions {
		if key > "02" {
			apply(t, s, store.Write{Op: store.Delete, Key: key, Base: revisions[key]})
		}
	}
	apply(t, s, store.Write{Key: "big", Value: make([]byte, 512<<10)})
}

// TestFailedCommit proves that Rejected is answered only for what surely did
// not happen, and that the store works after every kind of failure.
//
// Proves C2.
func TestFailedCommit(t *testing.T) {
	for _, c := range []struct {
		name string
		code int
		done bool
		want store.Outcome
	}{
		{"a sync fails", sqlite3.SQLITE_IOERR_FSYNC, false, store.Rejected},
		{"a sync fails though the log is whole", sqlite3.SQLITE_IOERR_FSYNC, true, store.Unknown},
		{"a write fails", sqlite3.SQLITE_IOERR_WRITE, false, store.Rejected},
		{"the disk is full", sqlite3.SQLITE_FULL, false, store.Rejected},
	} {
		for _, op := range []store.Op{store.Put, store.Delete} {
			for _, base := range []store.Revision{0, 1} {
				if op == store.Delete && base == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/op=%d,base=%d", c.name, op, base), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "app.db")
					s := open(t, path)
					if base != 0 {
						apply(t, s, store.Write{Key: "k", Value: []byte("old")})
					}
					before := storekit.Load(t, s, "k")
					if err := s.FailCommit(c.code, c.done); err != nil {
						t.Fatal(err)
					}
					r := storekit.One(s, store.Write{Op: op, Key: "k", Base: base, Value: []byte("new")})
					if r.Outcome != c.want || !errors.Is(r.Err, store.ErrUnavailable) {
						t.Errorf("%v, %v; want %v", r.Outcome, r.Err, c.want)
					}
					after := storekit.Load(t, s, "k")
					if changed := string(after.Value) != string(before.Value); changed != c.done {
						t.Errorf("before %q, after %q", before.Value, after.Value)
					}
					apply(t, s, store.Write{Key: "k", Base: after.Revision, Value: []byte("next")})
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if r := storekit.Load(t, open(t, path), "k"); string(r.Value) != "next" {
						t.Errorf("%q after opening again", r.Value)
					}
				})
			}
		}
	}
}
