package natsstore_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/storetest"
)

// An opener opens a store on the servers of a URL; dial is nil unless the test has
// one.
type opener func(t *testing.T, url string, dial nats.CustomDialer, options ...natsstore.Option) store.Store

func own(t *testing.T, url string, dial nats.CustomDialer, options ...natsstore.Option) store.Store {
	t.Helper()
	s, err := natsstore.OpenWith(storekit.Within(t), url, dial, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// onConnection opens a store on a connection as programs have one.
func onConnection(t *testing.T, url string, dial nats.CustomDialer, options ...natsstore.Option) store.Store {
	t.Helper()
	o := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if dial != nil {
		o = append(o, nats.SetCustomDialer(dial))
	}
	nc := connect(t, url, o...)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := natsstore.New(storekit.Within(t), js, options...)
	if err != nil {
		t.Fatal(err)
	}
	return connectionStore{s, nc}
}

// A connectionStore closes the connection of a store after the store.
type connectionStore struct {
	*natsstore.Store
	nc *nats.Conn
}

func (s connectionStore) Close() error {
	defer s.nc.Close()
	return s.Store.Close()
}

// TestContract runs the rules of a store, with one replica on a connection of the
// user's, and with three replicas on connections of the store's own.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestContract(t *testing.T) {
	t.Run("one replica", func(t *testing.T) { contract(t, onConnection, theServer(t), natsstore.SyncAlways()) })
	t.Run("three replicas", func(t *testing.T) { contract(t, own, theCluster(t)) })
}

// contract runs the rules on servers.
func contract(t *testing.T, open opener, url string, options ...natsstore.Option) {
	fresh := func(t *testing.T) func(*testing.T) store.Store {
		at := append([]natsstore.Option{place()}, options...)
		return func(t *testing.T) store.Store { return open(t, url, nil, at...) }
	}
	storetest.Run(t, storetest.Harness{
		New:    fresh,
		Shared: fresh,
		Remote: func(t *testing.T, dial storetest.Dialer) func(*testing.T) store.Store {
			at := append([]natsstore.Option{place(), natsstore.Attempt(time.Second)}, options...)
			return func(t *testing.T) store.Store {
				return open(t, url, dialing(func(network, address string) (net.Conn, error) {
					return dial(context.Background(), network, address)
				}), at...)
			}
		},
	})
}
