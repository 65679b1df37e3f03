package sqlitestore_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/store/storetest"
)

// TestContract runs the rules of a store, with a sole owner and with several
// handles on one file.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestContract(t *testing.T) {
	place := func(options ...sqlitestore.Option) func(*testing.T) func(*testing.T) store.Store {
		return func(t *testing.T) func(*testing.T) store.Store {
			path := filepath.Join(t.TempDir(), "test.db")
			return func(t *testing.T) store.Store {
				s, err := sqlitestore.Open(path, options...)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
		}
	}
	t.Run("sole owner", func(t *testing.T) {
		storetest.Run(t, storetest.Harness{New: place(), Shared: place(sqlitestore.Shared())})
	})
	t.Run("shared", func(t *testing.T) {
		storetest.Run(t, storetest.Harness{New: place(sqlitestore.Shared())})
	})
}

// open opens a store that is closed at the end of the test, if not before.
func open(t *testing.T, path string, options ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// apply commits one group that must be applied.
func apply(t *testing.T, s *sqlitestore.Store, writes ...store.Write) []store.Revision {
	t.Helper()
	r := storekit.One(s, writes...)
	if r.Outcome != store.Applied {
		t.Fatalf("%v: %v, want applied", r.Outcome, r.Err)
	}
	return r.Revisions
}

// TestLoadIsOneSnapshot proves that the reads of one Load never see a group
// half done.
//
// Proves C1, C2.
func TestLoadIsOneSnapshot(t *testing.T) {
	t.Parallel()
	const keys, rounds = 16, 150
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	var reads []store.Read
	for k := range keys {
		reads = append(reads, store.Read{Key: strconv.Itoa(k)})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		defer cancel()
		revisions := make([]store.Revision, keys)
		for round := range rounds {
			var writes store.Group
			for k := range keys {
				writes = append(writes, store.Write{Key: reads[k].Key, Base: revisions[k], Value: []byte(strconv.Itoa(round))})
			}
			r := storekit.One(s, writes...)
			if r.Outcome != store.Applied {
				t.Errorf("%v: %v", r.Outcome, r.Err)
				return
			}
			revisions = r.Revisions
		}
	})
	for range 2 {
		group.Go(func() {
			for ctx.Err() == nil {
				records, err := s.Load(context.Background(), reads)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range records {
					if string(r.Value) != string(records[0].Value) {
						t.Errorf("%s has %q while %s has %q", r.Key, r.Value, records[0].Key, records[0].Value)
						return
					}
				}
			}
		})
	}
	group.Wait()
}

// TestResultsAreSeparate proves that appending to the revisions of one result
// does not change another result.
func TestResultsAreSeparate(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	groups := []store.Group{
		{{Key: "a"}},
		{{Key: "b"}, {Key: "c"}},
		{{Key: "d"}},
		{{Key: "e"}, {Key: "f"}, {Key: "g"}},
		{{Key: "h"}},
	}
	results := s.Commit(context.Background(), groups)
	for _, r := range results {
		_ = append(r.Revisions, 0)
	}
	for i, r := range results {
		if r.Outcome != store.Applied || len(r.Revisions) != len(groups[i]) {
			t.Fatalf("group %d: %+v", i, r)
		}
		for j, revision := range r.Revisions {
			if key := groups[i][j].Key; revision == 0 || revision != storekit.Load(t, s, key).Revision {
				t.Errorf("%s: revision %d in the result, %d in the store", key, revision, storekit.Load(t, s, key).Revision)
			}
		}
	}
}

// TestReplaceExpired proves that a record that has expired is an obstacle to a
// create, like any other, and that its revision replaces it, expiry included.
//
// Proves C2, C3, C4.
func TestReplaceExpired(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	commit := func(w store.Write) store.Result {
		return s.Commit(t.Context(), []store.Group{{w}})[0]
	}
	first := commit(store.Write{Key: "k", Value: []byte("first"), Expires: time.Unix(1, 0)})
	if first.Outcome != store.Applied {
		t.Fatalf("%+v", first)
	}
	second := store.Write{Key: "k", Value: []byte("second")}
	r := commit(second)
	if r.Outcome != store.Conflict || string(r.Current[0].Value) != "first" || r.Current[0].Revision != first.Revisions[0] {
		t.Fatalf("with base 0: %+v", r)
	}
	second.Base = first.Revisions[0]
	r = commit(second)
	if r.Outcome != store.Applied || r.Revisions[0] <= first.Revisions[0] {
		t.Fatalf("with its revision: %+v, it had %d", r, first.Revisions[0])
	}
	if got := storekit.Load(t, s, "k"); string(got.Value) != "second" || got.Revision != r.Revisions[0] || !got.Expires.IsZero() {
		t.Errorf("%+v", got)
	}
}

// TestBytesAreKept proves that the store copies the slices that it gets and
// returns slices that nobody else writes to, with long and short values in
// turn, in one call and in several.
//
// Proves C6.
func TestBytesAreKept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	sizes := []int{0, 1, 64<<10 - 10, 64 << 10, 100, 1 << 20, 64<<10 + 1, 3, 300 << 10, 0}
	revisions := make([]store.Revision, len(sizes))
	var previous []store.Record
	for round := range 3 {
		content := func(i int) []byte {
			return bytes.Repeat([]byte{byte(1 + i + round*len(sizes))}, sizes[(i+round)%len(sizes)])
		}
		groups := make([]store.Group, len(sizes))
		reads := make([]store.Read, len(sizes))
		for i := range sizes {
			key := strconv.Itoa(i)
			groups[i] = store.Group{{Key: key, Base: revisions[i], Value: content(i), Meta: content(i + 1)}}
			reads[i] = store.Read{Key: key}
		}
		for i, r := range s.Commit(context.Background(), groups) {
			if r.Outcome != store.Applied {
				t.Fatalf("%d: %v, %v", i, r.Outcome, r.Err)
			}
			revisions[i] = r.Revisions[0]
			w := groups[i][0]
			if !bytes.Equal(w.Value, content(i)) || !bytes.Equal(w.Meta, content(i+1)) {
				t.Errorf("Commit changed what it was given for %d", i)
			}
			clear(w.Value)
			clear(w.Meta)
		}
		records, err := s.Load(context.Background(), reads)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if !bytes.Equal(r.Value, content(i)) || r.Value == nil || !bytes.Equal(r.Meta, content(i+1)) {
				t.Errorf("round %d, %d: %d and %d bytes are not those of %d and %d", round, i, len(r.Value), len(r.Meta), len(content(i)), len(content(i+1)))
			}
		}
		for i, r := range previous {
			if want := byte(1 + i + (round-1)*len(sizes)); bytes.Count(r.Value, []byte{want}) != len(r.Value) {
				t.Errorf("a record of round %d changed after Load", round-1)
			}
		}
		previous = records
	}
}

// TestLoadLongKey proves that a key that is too long for the store is absent.
//
// Proves C6.
func TestLoadLongKey(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	key := strings.Repeat("k", store.MaxKey)
	apply(t, s, store.Write{Key: key, Value: []byte("v")})
	if r := storekit.Load(t, s, key); string(r.Value) != "v" {
		t.Errorf("%+v", r)
	}
	if r := storekit.Load(t, s, key+"k"); r.Key != key+"k" || r.Revision != 0 {
		t.Errorf("%+v", r)
	}
}

// TestCloseAmidCalls proves that every call ends when the store closes, those
// too that were waiting for their turn.
//
// Proves C7.
func TestCloseAmidCalls(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	var group sync.WaitGroup
	under := make(chan struct{}, 32)
	for g := range cap(under) {
		group.Go(func() {
			var base store.Revision
			for first := true; ; first = false {
				if first {
					under <- struct{}{}
				}
				r := storekit.One(s, store.Write{Key: strconv.Itoa(g), Base: base})
				if r.Outcome != store.Applied {
					if !errors.Is(r.Err, store.ErrClosed) {
						t.Errorf("%v: %v", r.Outcome, r.Err)
					}
					return
				}
				base = r.Revisions[0]
				if records, err := s.Load(context.Background(), []store.Read{{Key: strconv.Itoa(g)}}); err == nil {
					base = records[0].Revision
				} else if !errors.Is(err, store.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	for range cap(under) {
		<-under
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
}
