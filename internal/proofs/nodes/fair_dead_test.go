package nodes_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// When nearly all of the nodes that took turns at a state have died, those that
// are left go on: none of their changes fails, or waits for the turns of many
// dead nodes.
//
// Proves N3.
func TestManyDeadNodesDoNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 60 * time.Millisecond
		var stores []*storefault.Store
		var here *stay.State[testkit.Counter]
		var dead, over atomic.Bool
		var callers sync.WaitGroup
		for i, s := range memstore.Shared(24) {
			st := storefault.Wrap(s, nil)
			for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
				st.Add(storefault.Rule{Op: op, Fault: storefault.Delay(trip/2, trip/2)})
			}
			g := stay.Register(testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet}), stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
			if i == 0 {
				here = g
			} else {
				stores = append(stores, st)
			}
			callers.Go(func() {
				for !over.Load() && (i == 0 || !dead.Load()) {
					if _, err := g.Update(context.Background(), testkit.Increment); err != nil && i == 0 {
						t.Error(err)
					}
				}
			})
		}
		testkit.Sleep(8 * time.Second)
		dead.Store(true)
		for _, st := range stores {
			st.Add(storefault.Rule{Fault: storefault.Fail(store.ErrClosed)})
		}
		testkit.Sleep(5 * time.Second) // those that were under way
		over.Store(true)
		callers.Wait()
		for range 20 {
			began := time.Now()
			testkit.MustUpdate(t, t.Context(), here)
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("a change has waited for %v", d)
			}
		}
	})
}
