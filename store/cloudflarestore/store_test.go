package cloudflarestore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/storetest"
)

// TestContract runs the rules of a store on one object, with an object for each home,
// and on eight objects with groups over several of them.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestContract(t *testing.T) {
	t.Run("one object", func(t *testing.T) { contract(t, cloudflarestore.Shards(1)) })
	t.Run("an object per home", func(t *testing.T) { contract(t, cloudflarestore.ObjectPerHome()) })
	t.Run("eight objects", func(t *testing.T) {
		fresh := func(t *testing.T) func(*testing.T) store.Store {
			name := place()
			return func(t *testing.T) store.Store {
				return over(t, opened(t, theServer(t), nil, cloudflarestore.Shards(8), name))
			}
		}
		storetest.Run(t, storetest.Harness{New: fresh, Shared: fresh})
	})
}

func contract(t *testing.T, mode cloudflarestore.Option) {
	server := theServer(t)
	fresh := func(t *testing.T) func(*testing.T) store.Store {
		name := place()
		return func(t *testing.T) store.Store { return opened(t, server, nil, mode, name) }
	}
	storetest.Run(t, storetest.Harness{
		New:    fresh,
		Shared: fresh,
		Remote: func(t *testing.T, dial storetest.Dialer) func(*testing.T) store.Store {
			name := place()
			return func(t *testing.T) store.Store {
				return opened(t, server, dial, mode, name, cloudflarestore.Attempt(time.Second))
			}
		},
		Rewind: func(t *testing.T) (func(*testing.T) store.Store, func(), func()) {
			s := ownServer(t, deployed())
			saved := filepath.Join(t.TempDir(), "saved")
			move := func(from, to string) {
				s.Stop()
				if err := os.RemoveAll(to); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(to, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
				if err := s.Start(deployed()); err != nil {
					t.Fatal(err)
				}
			}
			reopen := func(t *testing.T) store.Store { return opened(t, s, nil, mode) }
			return reopen, func() { move(s.Objects(), saved) }, func() { move(saved, s.Objects()) }
		},
	})
}

// over makes groups over several homes.
func over(t *testing.T, s store.Store) store.Store {
	t.Helper()
	whole, err := sharded.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// opened opens a store that its caller closes.
func opened(t *testing.T, s *workerd.Server, dial storetest.Dialer, options ...cloudflarestore.Option) store.Store {
	t.Helper()
	opened, err := cloudflarestore.OpenWith(storekit.Within(t), dial, s.URL(), secret, options...)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}
