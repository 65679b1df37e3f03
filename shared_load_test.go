package stay_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// N1: a read that finds its state being loaded for somebody else does not take
// what that load brings for the truth: it began earlier, and another node may
// have changed the state since.
func TestN1ReadDoesNotJoinAnEarlierLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[1], nil)
		here, there := newApp(t, shared[0], nil), newApp(t, st, nil)
		var at [2][2]*stay.State[counter]
		for i, app := range []*stay.App{here, there} {
			at[i][0] = stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global})
			at[i][1] = stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession})
		}
		b := newBrowser(here)
		for i := range 2 {
			mustUpdate(t, b.ctx(), at[0][i])
		}
		if _, err := at[1][1].Get(newBrowser(there).ctx()); err != nil { // the keys
			t.Fatal(err)
		}
		for i := range 2 {
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.StopAfter(gate)})
			read := func() <-chan int {
				ctx := b.on(there).ctx()
				got := make(chan int, 1)
				go func() {
					c, err := at[1][i].Get(ctx)
					if err != nil {
						t.Error(err)
						c = &counter{}
					}
					got <- c.Count
				}()
				synctest.Wait()
				return got
			}
			first := read()
			if _, err := gate.Arrived(context.Background()); err != nil {
				t.Fatal(err)
			}
			mustUpdate(t, b.on(here).ctx(), at[0][i])
			second := read()
			rule.Remove()
			gate.Open()
			<-first
			if n := <-second; n != 2 {
				t.Errorf("%s: a read gives %d after 2 was acknowledged", at[1][i].Name(), n)
			}
		}
	})
}

// N1, E3: the answer to a change that has taken its time does not take back
// what another node has made of the state since, and readers have seen.
func TestN1E3LateAnswerShowsNothingOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[0], nil)
		here, there := newApp(t, st, nil), newApp(t, shared[1], nil)
		a := stay.Register(here, stay.Module[counter]{Name: "g", Persist: stay.Global})
		b := stay.Register(there, stay.Module[counter]{Name: "g", Persist: stay.Global})
		mustUpdate(t, t.Context(), a)
		answer := stopped(t, st, storefault.Commit, func() { mustUpdateAsync(t, context.Background(), a) })
		mustUpdate(t, t.Context(), b)
		wantCount(t, t.Context(), a, 3)
		read := stopped(t, st, storefault.Load, func() { wantCount(t, context.Background(), a, 3) })
		answer()
		read()
		wantCount(t, t.Context(), a, 3)
	})
}

// stopped has do call st and returns when the work of its first call of op is
// done. That call is answered when pass is called, which returns with do.
func stopped(t *testing.T, st *storefault.Store, op storefault.Op, do func()) (pass func()) {
	t.Helper()
	gate := storefault.NewGate()
	rule := st.Add(storefault.Rule{Op: op, Fault: storefault.StopAfter(gate)})
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	if _, err := gate.Arrived(context.Background()); err != nil {
		t.Fatal(err)
	}
	rule.Remove()
	return func() { gate.Open(); <-done }
}

// N1, E3: nor does it bring back what another node has deleted since, whether
// the read or the change is answered first, and whether the change has created
// the state or not.
func TestN1E3LateAnswerShowsNothingDeleted(t *testing.T) {
	for what, stored := range map[string]bool{"created": false, "changed": true} {
		for order, readFirst := range map[string]bool{"read answered first": true, "change answered first": false} {
			t.Run(what+", "+order, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared := memstore.Shared(2)
					st := storefault.Wrap(shared[0], nil)
					here, there := newApp(t, st, nil), newApp(t, shared[1], nil)
					a := stay.Register(here, stay.Module[counter]{Name: "g", Persist: stay.Global})
					b := stay.Register(there, stay.Module[counter]{Name: "g", Persist: stay.Global})
					if stored {
						mustUpdate(t, t.Context(), a)
					}
					wantCount(t, t.Context(), a, map[bool]int{true: 1}[stored]) // it is in memory
					answer := stopped(t, st, storefault.Commit, func() { mustUpdateAsync(t, context.Background(), a) })
					noError(t, b.Delete(t.Context()))
					read := stopped(t, st, storefault.Load, func() { wantCount(t, context.Background(), a, 0) })
					if readFirst {
						read()
						answer()
					} else {
						answer()
						read()
					}
					wantCount(t, t.Context(), a, 0)
					mustUpdate(t, t.Context(), a)
					wantCount(t, t.Context(), b, 1)
				})
			})
		}
	}
}
