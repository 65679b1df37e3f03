package testkit

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// AllRows returns the keys in the store, expired ones included, but for the
// records of all programs and the tombstones of deleted states.
func AllRows(t *testing.T, s store.Store) []string {
	t.Helper()
	keys, err := s.(store.Lister).List(context.Background(), time.Time{}, "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(key string) bool {
		if OfAllPrograms(key) {
			return true
		}
		recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
		if err != nil {
			t.Fatal(err)
		}
		return meta.Deleted(recs[0].Meta)
	})
}

// OfAllPrograms reports whether a key belongs to a record of all programs: the
// signing keys or the list of modules.
func OfAllPrograms(key string) bool { return key == "stay/keys" || key == "stay/modules" }

// StoresNoList matches calls that are not about the list of modules.
func StoresNoList(c storefault.Call) bool { return !slices.Contains(c.Keys, "stay/modules") }

// Rows returns the keys in the store, but for the list of modules.
func Rows(t *testing.T, s store.Store) []string {
	t.Helper()
	keys, err := s.(store.Lister).List(context.Background(), time.Now(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "stay/modules" })
}

// RecordOf returns the record of a key, as it is now.
func RecordOf(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

// Commit writes one group to the store, which must apply it.
func Commit(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if res := s.Commit(t.Context(), []store.Group{writes}); res[0].Outcome != store.Applied {
		t.Fatalf("%+v", res[0])
	}
}

// A Simple store is the fifteen lines that a user writes.
type Simple struct {
	mu sync.Mutex
	m  map[string][]byte
}

// NewSimple returns an empty Simple.
func NewSimple() *Simple { return &Simple{m: map[string][]byte{}} }

// Load implements store.Simple.
func (s *Simple) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

// Save implements store.Simple.
func (s *Simple) Save(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = value
	return nil
}

// Delete implements store.Simple.
func (s *Simple) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, key)
	return nil
}

// Unclosed keeps a store usable for the next App.
type Unclosed struct{ store.Store }

// List implements store.Lister.
func (k Unclosed) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return k.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

// Place implements store.Placer, for a store that is one.
func (k Unclosed) Place(key string) string { return k.Store.(store.Placer).Place(key) }

// Close leaves the store open.
func (Unclosed) Close() error { return nil }

// StoredCounter returns the counter that the store has of a Global module.
func StoredCounter(t *testing.T, s store.Store, module string) (c Counter, found bool) {
	t.Helper()
	recs, err := s.Load(context.Background(), []store.Read{{Key: "global/" + module + "/"}})
	if err != nil {
		t.Fatal(err)
	}
	if recs[0].Revision == 0 {
		return c, false
	}
	if err := json.Unmarshal(recs[0].Value, &c); err != nil {
		t.Fatal(err)
	}
	return c, true
}

// RecordAt returns the record of a key. A tombstone counts as none.
func RecordAt(t *testing.T, s store.Store, now time.Time, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	if meta.Deleted(recs[0].Meta) {
		return store.Record{Key: key}
	}
	return recs[0]
}

// OldestFirst is a store that finds what expired first before the rest.
type OldestFirst struct{ store.Store }

// Expired implements store.Store.
func (s OldestFirst) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	recs, err := s.Store.Expired(ctx, now, 1<<20)
	slices.SortFunc(recs, func(a, b store.Record) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.Key, b.Key))
	})
	return recs[:min(len(recs), limit)], err
}
