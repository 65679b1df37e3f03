package debounce_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/storefault"
)

// While a first change waits for the record of its user, which has left memory,
// another change of the same state waits as long as its context allows, and no
// longer.
//
// Proves A14, E8.
func TestFirstChangeThatLoadsItsUserHoldsNobodyUp(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			st := storefault.Wrap(open(), nil)
			app := testkit.NewApp(t, st, nil)
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser, Debounce: time.Hour})
			b := testkit.NewBrowser(app)
			testkit.Login(t, b, "ann")
			gate := storefault.NewGate()
			defer gate.Open()
			first, runs := make(chan error, 1), 0
			ctx := b.Ctx()
			go func() {
				_, err := s.Update(ctx, func(c *testkit.Counter) error {
					if runs++; runs == 1 {
						st.Add(storefault.Rule{Op: storefault.Load, Key: "stay/user/ann", Times: 1, Fault: storefault.Stop(gate)})
						access.AppOf(app).Evict(false)
					}
					return testkit.Increment(c)
				})
				first <- err
			}()
			if _, err := gate.Arrived(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
			second := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := s.At("ann").Update(ctx, testkit.Increment)
				second <- err
			}()
			select {
			case err := <-second:
				testkit.WantCode(t, err, stay.ErrBusy)
			case <-time.After(5 * time.Second): // half of MaxWait
				t.Error("the second change does not keep to its context")
			}
			gate.Open()
			if err := <-first; err != nil || runs != 1 {
				t.Errorf("the first change: %v after %d runs", err, runs)
			}
			testkit.WantCount(t, t.Context(), s.At("ann"), 1)
		})
	}
}
