package redisstore_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/storetest"
)

// opener opens a store on the servers that the options name.
type opener func(t *testing.T, o rueidis.ClientOption, options ...redisstore.Option) store.Store

func own(t *testing.T, o rueidis.ClientOption, options ...redisstore.Option) store.Store {
	t.Helper()
	s, err := redisstore.OpenWith(storekit.Within(t), o, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spread opens a store with several parts.
func spread(t *testing.T, o rueidis.ClientOption, options ...redisstore.Option) store.Store {
	t.Helper()
	return own(t, o, append([]redisstore.Option{redisstore.Spread(5)}, options...)...)
}

// onClient opens a store on a client as programs have one, which sends commands of
// all its users over the same connection.
func onClient(t *testing.T, o rueidis.ClientOption, options ...redisstore.Option) store.Store {
	t.Helper()
	o.DisableCache = true
	o.ForceSingleClient = true
	o.PipelineMultiplex = -1 // one connection, so that a rule knows which is used
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := redisstore.New(storekit.Within(t), client, options...)
	if err != nil {
		client.Close()
		t.Fatal(err)
	}
	return clientStore{s, client}
}

// A clientStore closes the client of a store after the store.
type clientStore struct {
	*redisstore.Store
	client rueidis.Client
}

func (s clientStore) Close() error {
	defer s.client.Close()
	return s.Store.Close()
}

func at(t *testing.T, s *redisserver.Server) rueidis.ClientOption {
	t.Helper()
	o, err := redisstore.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestContract runs the rules of a store, with connections of its own and with a
// client of the user's, on a server that syncs always, on a cluster, and on a server
// that syncs now and then.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestContract(t *testing.T) {
	server := theServer(t)
	t.Run("own connections", func(t *testing.T) { contract(t, own, server) })
	t.Run("client", func(t *testing.T) { contract(t, onClient, server) })
	t.Run("cluster", func(t *testing.T) {
		s, _ := cluster(t)
		contract(t, spread, s)
	})
	t.Run("spread", func(t *testing.T) { contract(t, spread, server) })
	t.Run("everysec", func(t *testing.T) { contract(t, own, ownServer(t, "appendfsync everysec"), "appendfsync everysec") })
}

// contract runs the rules on a server; the settings are for further ones.
func contract(t *testing.T, open opener, server *redisserver.Server, settings ...string) {
	fresh := func(t *testing.T) func(*testing.T) store.Store {
		name := place()
		return func(t *testing.T) store.Store { return open(t, at(t, server), name) }
	}
	storetest.Run(t, storetest.Harness{
		New:    fresh,
		Shared: fresh,
		Remote: func(t *testing.T, dial storetest.Dialer) func(*testing.T) store.Store {
			name := place()
			return func(t *testing.T) store.Store {
				o := at(t, server)
				o.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
					return dial(ctx, "tcp", address)
				}
				return open(t, o, name)
			}
		},
		Rewind: func(t *testing.T) (func(*testing.T) store.Store, func(), func()) {
			s := ownServer(t, settings...)
			reopen := func(t *testing.T) store.Store { return open(t, at(t, s)) }
			saved := filepath.Join(t.TempDir(), "saved")
			move := func(from, to string) {
				s.Stop()
				if err := os.RemoveAll(to); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(to, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
				startAgain(t, s)
			}
			return reopen, func() { move(s.Dir(), saved) }, func() { move(saved, s.Dir()) }
		},
	})
}
