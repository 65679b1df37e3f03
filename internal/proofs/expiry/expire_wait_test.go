package expiry_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A state that expires while a change of it is at the store is not shown any
// more: who reads it waits for the answer, as long as the context allows.
//
// Proves A15, E8.
func TestStateThatExpiresDuringACommitIsNotShown(t *testing.T) {
	for name, fault := range map[string]func(*storefault.Gate) storefault.Fault{"before": storefault.Stop, "after": storefault.StopAfter} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubbles(t, stay.Options{OnError: testkit.Loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Expiry: 10 * time.Second})
				testkit.MustUpdate(t, t.Context(), s)
				testkit.MustUpdate(t, t.Context(), s)
				testkit.Sleep(9 * time.Second)
				gate := storefault.NewGate()
				rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: fault(gate)})
				go func() { testkit.TryUpdate(t, t.Context(), s) }()
				testkit.Sleep(2 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, err := s.Get(ctx)
				testkit.WantCode(t, err, stay.ErrUnavailable)
				go func() {
					testkit.SleepAlone(time.Second)
					rule.Remove()
					gate.Open()
				}()
				c, err := s.Get(t.Context())
				if err != nil || c.Count != 3 {
					t.Errorf("%+v, %v, want the change, which was in time", c, err)
				}
				testkit.Sleep(time.Second)
				testkit.WantCount(t, t.Context(), s, 3)
			})
		})
	}
}
