package natsstore_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// A shared server, or a cluster, is for all tests that do not stop it. TestMain
// stops it.
type shared struct {
	servers []*natsserver.Server
	dir     string
	err     error
}

var (
	alone   = sync.OnceValue(func() *shared { return begun(1) })
	cluster = sync.OnceValue(func() *shared { return begun(3) })
	running []*shared // what TestMain stops
)

func begun(n int) *shared {
	dir, err := os.MkdirTemp(memory(), "natsstore")
	s := &shared{dir: dir, err: err}
	if err != nil {
		return s
	}
	if n == 1 {
		var one *natsserver.Server
		one, s.err = natsserver.New(dir)
		s.servers = []*natsserver.Server{one}
	} else {
		s.servers, s.err = natsserver.NewCluster(dir, n)
	}
	running = append(running, s)
	return s
}

// memory is a folder in memory, "" if the system has none: a server that stands alone
// makes folders for each batch.
func memory() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range running {
		for _, server := range s.servers {
			if s.err == nil {
				server.Kill()
			}
		}
		_ = os.RemoveAll(s.dir)
	}
	os.Exit(code)
}

// theServer returns the URL of a server that stands alone.
func theServer(t testing.TB) string { return urlOf(t, alone()) }

// theCluster returns the URL of three servers.
func theCluster(t testing.TB) string { return urlOf(t, cluster()) }

func urlOf(t testing.TB, s *shared) string {
	t.Helper()
	check(t, s.err)
	return natsserver.URLs(s.servers)
}

// ownServer returns a server that is for this test alone.
func ownServer(t *testing.T, settings ...string) *natsserver.Server {
	t.Helper()
	s, err := natsserver.New(t.TempDir(), settings...)
	check(t, err)
	t.Cleanup(s.Kill)
	return s
}

// ownCluster returns three servers that are for this test alone.
func ownCluster(t *testing.T, settings ...string) []*natsserver.Server {
	t.Helper()
	all, err := natsserver.NewCluster(t.TempDir(), 3, settings...)
	check(t, err)
	for _, s := range all {
		t.Cleanup(s.Kill)
	}
	return all
}

// check skips the test if the server is missing, or fails it if it must not be.
func check(t testing.TB, err error) {
	t.Helper()
	need.NoError(t, err, natsserver.ErrMissing)
}

var places atomic.Int64

// place returns a name that no other test has.
func place() natsstore.Option { return natsstore.Name(fmt.Sprint("test", places.Add(1))) }

// within returns a context that ends the test if it hangs.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a store with a connection of its own.
func open(t testing.TB, url string, options ...natsstore.Option) *natsstore.Store {
	t.Helper()
	s, err := natsstore.Open(within(t), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// connect returns a connection as programs have one.
func connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A dialing is a function that dials.
type dialing func(network, address string) (net.Conn, error)

// Dial implements nats.CustomDialer.
func (d dialing) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// one commits one group.
func one(s store.Store, writes ...store.Write) store.Result {
	return s.Commit(context.Background(), []store.Group{writes})[0]
}

// put commits one write that must be applied.
func put(t testing.TB, s store.Store, key string, base store.Revision, value string) store.Revision {
	t.Helper()
	r := one(s, store.Write{Key: key, Base: base, Value: []byte(value)})
	if r.Outcome != store.Applied {
		t.Fatalf("put %q: %v: %v", key, r.Outcome, r.Err)
	}
	return r.Revisions[0]
}

// load loads one record.
func load(t testing.TB, s store.Store, key string) store.Record {
	t.Helper()
	records, err := s.Load(within(t), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}

// await waits until a condition holds that the servers bring about.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := within(t); !holds(); {
		if ctx.Err() != nil {
			t.Fatalf("waiting for %s", what)
		}
	}
}
