package pgstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/storetest"
)

// opener opens a store in a schema.
type opener func(t *testing.T, cfg *pgxpool.Config) store.Store

func own(t *testing.T, cfg *pgxpool.Config) store.Store {
	t.Helper()
	s, err := pgstore.OpenPool(storekit.Within(t), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// onPool opens a store on a pool with settings that a store must not rely on.
func onPool(t *testing.T, cfg *pgxpool.Config) store.Store {
	t.Helper()
	for name, value := range map[string]string{
		"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on", "synchronous_commit": "off",
	} {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(storekit.Within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pgstore.New(storekit.Within(t), pool)
	if err != nil {
		t.Fatal(err)
	}
	return poolStore{s, pool}
}

// A poolStore closes the pool of a store after the store.
type poolStore struct {
	*pgstore.Store
	pool *pgxpool.Pool
}

func (s poolStore) Close() error {
	defer s.pool.Close()
	return s.Store.Close()
}

func config(t *testing.T, url string) *pgxpool.Config {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestContract runs the rules of a store, with connections of its own, with a pool
// of the user's, and behind a proxy that lends connections.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestContract(t *testing.T) {
	theServer(t)
	direct := func(_ *testing.T, s *server) address { return s.URL }
	t.Run("own connections", func(t *testing.T) { contract(t, own, direct) })
	t.Run("pool", func(t *testing.T) { contract(t, onPool, direct) })
	t.Run("behind a proxy", func(t *testing.T) {
		watching := func(t *testing.T, cfg *pgxpool.Config) store.Store {
			t.Helper()
			s, err := pgstore.OpenPool(storekit.Within(t), cfg, []pgstore.Option{
				pgstore.WatchURL(theServer(t).URL()), pgstore.Attempt(4 * time.Second), // large values pass slowly
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		contract(t, watching, func(t *testing.T, s *server) address { return s.pooler(t).url })
	})
}

// An address names a database, with parameters.
type address func(parameters ...string) string

// contract runs the rules on the shared server, or what at puts in front of it.
func contract(t *testing.T, open opener, at func(*testing.T, *server) address) {
	shared := at(t, theServer(t))
	place := func(t *testing.T) func(*testing.T) store.Store {
		schema := theServer(t).schema(t)
		return func(t *testing.T) store.Store { return open(t, config(t, shared("search_path", schema))) }
	}
	storetest.Run(t, storetest.Harness{
		Rewind: func(t *testing.T) (func(*testing.T) store.Store, func(), func()) {
			s := ownServer(t)
			return rewind(t, s, open, at(t, s))
		},
		New:    place,
		Shared: place,
		Remote: func(t *testing.T, dial storetest.Dialer) func(*testing.T) store.Store {
			schema := theServer(t).schema(t)
			return func(t *testing.T) store.Store {
				cfg := config(t, shared("search_path", schema))
				cfg.ConnConfig.DialFunc = pgconn.DialFunc(dial)
				return open(t, cfg)
			}
		},
	})
}

// rewind makes a server that recovers to a copy of itself, as an operator has it
// do it after an accident.
func rewind(t *testing.T, s *server, open opener, at address) (reopen func(*testing.T) store.Store, save, restore func()) {
	schema := s.schema(t)
	saved := filepath.Join(filepath.Dir(s.Data()), "saved")
	move := func(from, to string) {
		s.Stop()
		s.copyData(t, from, to)
		if to == s.Data() {
			s.recover(t)
		}
		s.start(t)
	}
	reopen = func(t *testing.T) store.Store { return open(t, config(t, at("search_path", schema))) }
	return reopen, func() { move(s.Data(), saved) }, func() { move(saved, s.Data()) }
}

// open opens a store with connections of its own.
func open(t *testing.T, url string, options ...pgstore.Option) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(storekit.Within(t), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestLargeCalls proves that a call may have more groups, a group more writes, and
// both more bytes than one transaction takes.
//
// Proves C2.
func TestLargeCalls(t *testing.T) {
	s := theServer(t)
	st := open(t, s.URL("search_path", s.schema(t)))
	storekit.Large{Singles: 1200, Together: 700, Big: 12, Bytes: 1 << 20}.Commit(t, st)
}
