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

func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, lasts = 8, 3 * time.Second
		var states []*stay.State[testkit.Counter]
		for i, s := range memstore.Shared(3) {
			way := time.Millisecond / 2
			if i == 2 {
				way += 3 * time.Millisecond / 2
			}
			st := storefault.Wrap(s, nil)
			for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
				st.Add(storefault.Rule{Op: op, Fault: storefault.Delay(way, way)})
			}
			states = append(states, stay.Register(testkit.NewApp(t, st, nil), stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global}))
		}
		testkit.MustUpdate(t, t.Context(), states[0])
		var mu sync.Mutex
		waits := make([][]time.Duration, len(states))
		end := time.Now().Add(lasts)
		var wg sync.WaitGroup
		for i, s := range states {
			for range clients {
				wg.Go(func() {
					for time.Now().Before(end) {
						began := time.Now()
						if _, err := s.Update(context.Background(), testkit.Increment); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						waits[i] = append(waits[i], time.Since(began))
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		all := 0
		for _, w := range waits {
			all += len(w)
		}
		for _, w := range waits {
			slices.Sort(w)
			t.Logf("%d changes of %d, p50 %v, p99 %v", len(w), all, w[len(w)/2], w[len(w)*99/100])
		}
		testkit.WantCount(t, t.Context(), states[2], all+1)
	})
}
