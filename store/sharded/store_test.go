package sharded_test

import (
	"context"
	"fmt"
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
const handles = 128

// An opener opens handles on one place, on wrapped stores.
type opener func(t *testing.T, wrap func(store.Store) store.Store) store.Store

// sharing opens handles on one set of records, as what open makes of a memstore.
func sharing(open func(s *memstore.Store) store.Store) opener {
	all := memstore.Shared(handles)
	return func(t *testing.T, wrap func(store.Store) store.Store) store.Store {
		if len(all) == 0 {
			fatal(t, "a rule opened more handles than the harness has")
		}
		s := all[0]
		all = all[1:]
		return wrap(open(s))
	}
}

// routing opens routers over three places.
func routing(open func(s *memstore.Store) store.Store) opener {
	a, b, c := sharing(open), sharing(open), sharing(open)
	return func(t *testing.T, wrap func(store.Store) store.Store) store.Store {
		return routed(t, a(t, wrap), b(t, wrap), c(t, wrap))
	}
}

func unwrapped(s store.Store) store.Store { return s }

func home(s *memstore.Store) store.Store  { return atHome{s} }
func whole(s *memstore.Store) store.Store { return s }

// fatal fails the test, which may be nil.
func fatal(t *testing.T, args ...any) {
	if t == nil {
		panic(args)
	}
	t.Helper()
	t.Fatal(args...)
}

// over returns a store on another one.
func over(t *testing.T, inner store.Store) *sharded.Store {
	s, err := sharded.New(inner)
	if err != nil {
		fatal(t, err)
	}
	return s
}

// routed returns a router over stores that are named by their numbers.
func routed(t *testing.T, places ...store.Store) *sharded.Router {
	names := map[string]store.Store{}
	for i, s := range places {
		names[fmt.Sprint("place", i)] = s
	}
	r, err := sharded.OpenRouter(context.Background(), names)
	if err != nil {
		fatal(t, err)
	}
	return r
}

// Groups over homes keep the contract: on a store that has them at one home, and
// on a router over stores with and without them.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestConformance(t *testing.T) {
	for name, place := range map[string]func() opener{
		"one store":            func() opener { return sharing(home) },
		"a router over homes":  func() opener { return routing(home) },
		"a router over stores": func() opener { return routing(whole) },
	} {
		t.Run(name, func(t *testing.T) {
			open := func(*testing.T) func(*testing.T) store.Store {
				open := place()
				return func(t *testing.T) store.Store { return over(t, open(t, unwrapped)) }
			}
			storetest.Run(t, storetest.Harness{
				New: open, Shared: open,
				Over: func(*testing.T) func(*testing.T, func(store.Store) store.Store) store.Store {
					open := place()
					return func(t *testing.T, wrap func(store.Store) store.Store) store.Store { return over(t, open(t, wrap)) }
				},
			})
		})
	}
}

// A router alone keeps the contract for groups at one home.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestConformanceOfRouter(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func(*testing.T) store.Store {
			return func(t *testing.T) store.Store { return routed(t, memstore.New(), memstore.New(), memstore.New()) }
		},
		Shared: func(*testing.T) func(*testing.T) store.Store {
			open := routing(whole)
			return func(t *testing.T) store.Store { return open(t, unwrapped) }
		},
	})
}
