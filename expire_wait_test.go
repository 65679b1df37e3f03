package stay_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A state that expires while a change of it is at the store is not shown any
// more: who reads it waits for the answer, as long as the context allows (A15,
// E8).
func TestA15E8ExpiresDuringACommit(t *testing.T) {
	for name, fault := range map[string]func(*storefault.Gate) storefault.Fault{"before": storefault.Stop, "after": storefault.StopAfter} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, stay.Options{OnError: loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
				s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global, Expiry: 10 * time.Second})
				mustUpdate(t, t.Context(), s)
				mustUpdate(t, t.Context(), s)
				sleep(9 * time.Second)
				gate := storefault.NewGate()
				rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault(gate)})
				go func() { mustUpdateAsync(t, t.Context(), s) }()
				sleep(2 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, err := s.Get(ctx)
				wantCode(t, err, stay.ErrUnavailable)
				go func() {
					sleepAlone(time.Second)
					rule.Remove()
					gate.Open()
				}()
				c, err := s.Get(t.Context())
				if err != nil || c.Count != 3 {
					t.Errorf("%+v, %v, want the change, which was in time", c, err)
				}
				sleep(time.Second)
				wantCount(t, t.Context(), s, 3)
			})
		})
	}
}

// sleepAlone is sleep for a goroutine beside the test's.
func sleepAlone(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the bubble's time
