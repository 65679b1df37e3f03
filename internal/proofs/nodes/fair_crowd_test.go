package nodes_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Many nodes that want a state at once all get their turns, about as often, and
// none of their changes fails.
//
// Proves N3.
func TestManyNodesThatComeAtOnceAllGetTheirTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 20 * time.Millisecond
		var done [24]int // by each node
		var callers sync.WaitGroup
		for i, s := range memstore.Shared(len(done)) {
			st := storefault.Wrap(s, nil)
			for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
				st.Add(storefault.Rule{Op: op, Fault: storefault.Delay(trip/2, trip/2)})
			}
			g := stay.Register(testkit.NewApp(t, st, nil), stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
			callers.Go(func() {
				for began := time.Now(); time.Since(began) < 20*time.Second; {
					if _, err := g.Update(context.Background(), testkit.Increment); err != nil {
						t.Errorf("node %d: %v", i, err)
						return
					}
					done[i]++
				}
			})
		}
		callers.Wait()
		if least, most := slices.Min(done[:]), slices.Max(done[:]); 2*least < most {
			t.Errorf("the nodes made between %d and %d changes: %v", least, most, done)
		}
	})
}
