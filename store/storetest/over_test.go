package storetest

import (
	"context"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// halves makes groups of a store's single writes, and so half of them when it is
// stopped. If it claims more than it knows, it answers what it lost as rejected.
type halves struct {
	store.Store
	claims bool
}

func (h halves) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	for i, g := range groups {
		if len(g) < 2 {
			results[i] = h.Store.Commit(ctx, []store.Group{g})[0]
			continue
		}
		results[i].Outcome = store.Applied
		for _, w := range g {
			res := h.Store.Commit(ctx, []store.Group{{w}})[0]
			if res.Outcome != store.Applied {
				results[i] = store.Result{Outcome: store.Unknown, Err: errCut}
				if h.claims {
					results[i].Outcome = store.Rejected
				}
				break
			}
			results[i].Revisions = append(results[i].Revisions, res.Revisions[0])
		}
	}
	return results
}

// overBreakages are those of stores on other stores.
var overBreakages = []struct {
	claims bool
	caught []string
}{
	{false, []string{"C2 a process stops within a group", "C2 others write after a process has stopped within a group", "C6 an answer is lost within a group"}},
	{true, []string{"C6 an answer is lost within a group"}},
}

// A store that makes groups of several calls, and stops within one, is found out.
//
// Proves C2, C6.
func TestSuiteCatchesHalfGroups(t *testing.T) {
	for _, c := range overBreakages {
		wantCaught(t, c.caught, Harness{
			New: func(*testing.T) func(*testing.T) store.Store {
				return func(*testing.T) store.Store { return halves{memstore.New(), c.claims} }
			},
			Over: func(*testing.T) func(*testing.T, func(store.Store) store.Store) store.Store {
				all := memstore.Shared(64)
				return func(_ *testing.T, wrap func(store.Store) store.Store) store.Store {
					s := all[0]
					all = all[1:]
					return halves{wrap(s), c.claims}
				}
			},
		})
	}
}
