package natsstore_test

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store/natsstore"
)

// The servers of all tests that do not stop them. One that stands alone makes folders
// for each batch, so they are in memory.
var (
	alone = storekit.Share(storekit.Memory(), func(dir string) (servers, error) {
		s, err := natsserver.New(dir)
		return servers{s}, err
	})
	cluster = storekit.Share(storekit.Memory(), func(dir string) (servers, error) { return natsserver.NewCluster(dir, 3) })
)

// Servers are one server or a cluster.
type servers []*natsserver.Server

// Kill kills all of them.
func (all servers) Kill() {
	for _, s := range all {
		s.Kill()
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	alone.End()
	cluster.End()
	os.Exit(code)
}

// theServer returns the URL of a server that stands alone.
func theServer(t testing.TB) string { return urlOf(t, alone) }

// theCluster returns the URL of three servers.
func theCluster(t testing.TB) string { return urlOf(t, cluster) }

func urlOf(t testing.TB, shared *storekit.Shared[servers]) string {
	t.Helper()
	s, err := shared.Get()
	check(t, err)
	return natsserver.URLs(s)
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

// open opens a store with a connection of its own.
func open(t testing.TB, url string, options ...natsstore.Option) *natsstore.Store {
	t.Helper()
	s, err := natsstore.Open(storekit.Within(t), url, options...)
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
