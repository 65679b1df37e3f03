package sharded_test

import (
	"context"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/storetest"
)

// atHome is a store that has groups at one home only.
type atHome struct{ *memstore.Store }

func (s atHome) Features() store.Features {
	f := s.Store.Features()
	f.Groups, f.GroupsAtHome = false, true
	return f
}

func (s atHome) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	bad := store.CheckGroups(groups, s.Features())
	var good []store.Group
	var places []int
	for i, g := range groups {
		if bad != nil && bad[i] != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
			continue
		}
		good, places = append(good, g), append(places, i)
	}
	for i, res := range s.Store.Commit(ctx, good) {
		results[places[i]] = res
	}
	return results
}

// handles is how many handles a test opens on one place at most.
const handles = 64

// sharing returns a function that opens handles on one set of records.
func sharing() func(t *testing.T) store.Store {
	all := memstore.Shared(handles)
	return func(t *testing.T) store.Store {
		s := all[0]
		all = all[1:]
		return over(t, atHome{s})
	}
}

func over(t *testing.T, inner store.Store) *sharded.Store {
	s, err := sharded.New(inner)
	if err != nil {
		if t == nil {
			panic(err)
		}
		t.Fatal(err)
	}
	return s
}

// Groups over homes keep the contract on a store that has them at one home.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func(*testing.T) store.Store {
			return func(t *testing.T) store.Store { return over(t, atHome{memstore.New()}) }
		},
		Shared: func(*testing.T) func(*testing.T) store.Store { return sharing() },
	})
}
