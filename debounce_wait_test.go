package stay_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store/storefault"
)

// While a first change waits for the record of its user, which has left memory,
// another change of the same state waits as long as its context allows, and no
// longer (E8, A14).
func TestE8A14DebounceFirstChangeLoadsTheUser(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			st := storefault.Wrap(open(), nil)
			app := newApp(t, st, nil)
			s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerUser, Debounce: time.Hour})
			b := newBrowser(app)
			login(t, b, "ann")
			gate := storefault.NewGate()
			defer gate.Open()
			first, runs := make(chan error, 1), 0
			ctx := b.ctx()
			go func() {
				_, err := s.Update(ctx, func(c *counter) error {
					if runs++; runs == 1 {
						st.Add(storefault.Rule{Op: storefault.Load, Key: "stay/user/ann", Times: 1, Fault: storefault.Stop(gate)})
						bridge.AppOf(app).Evict(false)
					}
					return increment(c)
				})
				first <- err
			}()
			if _, err := gate.Arrived(soon(t)); err != nil {
				t.Fatal(err)
			}
			second := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := s.At("ann").Update(ctx, increment)
				second <- err
			}()
			select {
			case err := <-second:
				wantCode(t, err, stay.ErrBusy)
			case <-time.After(5 * time.Second): // half of MaxWait
				t.Error("the second change does not keep to its context")
			}
			gate.Open()
			if err := <-first; err != nil || runs != 1 {
				t.Errorf("the first change: %v after %d runs", err, runs)
			}
			wantCount(t, t.Context(), s.At("ann"), 1)
		})
	}
}
