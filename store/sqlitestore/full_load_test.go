package sqlitestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// filler writes to keys of its own, and knows their values.
type filler struct {
	t        *testing.T
	store    *sqlitestore.Store
	random   *rand.Rand
	prefix   string
	held     map[string]store.Record
	rejected int
}

// write commits one group of one to three writes, and checks that all of it
// was done or nothing.
func (f *filler) write() (applied bool) {
	var group store.Group
	for _, n := range f.random.Perm(8)[:1+f.random.IntN(3)] {
		key := fmt.Sprint(f.prefix, n)
		w := store.Write{Key: key, Base: f.held[key].Revision, Value: bytes.Repeat([]byte{byte(f.random.IntN(256))}, f.random.IntN(10<<10))}
		if w.Base != 0 && f.random.IntN(16) == 0 {
			w.Op, w.Value = store.Delete, nil
		}
		group = append(group, w)
	}
	r := storekit.One(f.store, group...)
	switch {
	case r.Outcome == store.Applied:
		for i, w := range group {
			f.held[w.Key] = store.Record{Revision: r.Revisions[i], Value: w.Value}
		}
	case r.Outcome == store.Rejected && errors.Is(r.Err, store.ErrUnavailable):
		f.rejected++
	default:
		f.t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	for _, w := range group {
		f.check(f.store, w.Key)
	}
	return r.Outcome == store.Applied
}

func (f *filler) check(s *sqlitestore.Store, key string) {
	f.t.Helper()
	want, got := f.held[key], storekit.Load(f.t, s, key)
	if got.Revision != want.Revision || !bytes.Equal(got.Value, want.Value) {
		f.t.Errorf("%s: revision %d and %d bytes, want revision %d and %d bytes", key, got.Revision, len(got.Value), want.Revision, len(want.Value))
	}
}

// TestFullDatabaseUnderLoad proves for several writers at once that a database
// without room takes the groups that fit and rejects the others whole, that
// reads go on, and that every write succeeds once there is room, without
// reopening the store.
//
// Proves C2, C5.
func TestFullDatabaseUnderLoad(t *testing.T) {
	t.Parallel()
	seed := testseed.New(t)
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path, sqlitestore.MaxSize(128<<10))
	fillers := make([]*filler, 4)
	for i := range fillers {
		fillers[i] = &filler{
			t: t, store: s, random: rand.New(rand.NewPCG(seed, uint64(i))), prefix: fmt.Sprint(i, "/"), held: map[string]store.Record{},
		}
	}
	all := func(work func(f *filler)) {
		var wg sync.WaitGroup
		for _, f := range fillers {
			wg.Go(func() { work(f) })
		}
		wg.Wait()
	}
	for round := range 2 {
		all(func(f *filler) {
			f.rejected = 0
			for range 20 {
				f.write()
			}
		})
		rejected := 0
		for _, f := range fillers {
			rejected += f.rejected
		}
		if rejected == 0 {
			t.Errorf("round %d: there was room for everything", round)
		}
		if got, err := s.Pragma("max_page_count = 1000000"); err != nil || got != "1000000" {
			t.Fatal(got, err)
		}
		all(func(f *filler) {
			for range 5 {
				if !f.write() {
					t.Errorf("round %d: a write was rejected although there is room", round)
				}
			}
			// Half of it goes, so that there is something to fill.
			for key, rec := range f.held {
				if rec.Revision != 0 && f.random.IntN(2) == 0 {
					apply(t, s, store.Write{Op: store.Delete, Key: key, Base: rec.Revision})
					f.held[key] = store.Record{}
				}
			}
		})
		// SQLite takes the size of the file as the minimum.
		if _, err := s.Pragma("max_page_count = 1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	for _, f := range fillers {
		for key := range f.held {
			f.check(again, key)
		}
	}
}
