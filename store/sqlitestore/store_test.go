package sqlitestore_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/store/storetest"
)

// TestContract proves rules C1 to C7, with a sole owner and with several
// handles on one file.
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

// one commits one group.
func one(s *sqlitestore.Store, writes ...store.Write) store.Result {
	return s.Commit(context.Background(), time.Now(), []store.Group{writes})[0]
}

// apply commits one group that must be applied.
func apply(t *testing.T, s *sqlitestore.Store, writes ...store.Write) []store.Revision {
	t.Helper()
	r := one(s, writes...)
	if r.Outcome != store.Applied {
		t.Fatalf("%v: %v, want applied", r.Outcome, r.Err)
	}
	return r.Revisions
}

// load loads one record.
func load(t *testing.T, s *sqlitestore.Store, key string) store.Record {
	t.Helper()
	records, err := s.Load(context.Background(), time.Now(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}
