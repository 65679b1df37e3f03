package nodes_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A read that finds its state being loaded for somebody else does not take what
// that load brings for the truth: it began earlier, and another node may have
// changed the state since.
//
// Proves N1.
func TestReadDoesNotJoinAnEarlierLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[1], nil)
		here, there := testkit.NewApp(t, shared[0], nil), testkit.NewApp(t, st, nil)
		var at [2][2]*stay.State[testkit.Counter]
		for i, app := range []*stay.App{here, there} {
			at[i][0] = stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
			at[i][1] = stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		}
		b := testkit.NewBrowser(here)
		for i := range 2 {
			testkit.MustUpdate(t, b.Ctx(), at[0][i])
		}
		if _, err := at[1][1].Get(testkit.NewBrowser(there).Ctx()); err != nil { // the keys
			t.Fatal(err)
		}
		for i := range 2 {
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.StopAfter(gate)})
			read := func() <-chan int {
				ctx := b.On(there).Ctx()
				got := make(chan int, 1)
				go func() {
					c, err := at[1][i].Get(ctx)
					if err != nil {
						t.Error(err)
						c = &testkit.Counter{}
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
			testkit.MustUpdate(t, b.On(here).Ctx(), at[0][i])
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

// The answer to a change that has taken its time does not take back what
// another node has made of the state since, and readers have seen.
//
// Proves E3, N1.
func TestLateAnswerShowsNothingOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[0], nil)
		here, there := testkit.NewApp(t, st, nil), testkit.NewApp(t, shared[1], nil)
		a := stay.Register(here, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
		b := stay.Register(there, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
		testkit.MustUpdate(t, t.Context(), a)
		answer := stopped(t, st, storefault.Commit, func() { testkit.TryUpdate(t, context.Background(), a) })
		testkit.MustUpdate(t, t.Context(), b)
		testkit.WantCount(t, t.Context(), a, 3)
		read := stopped(t, st, storefault.Load, func() { testkit.WantCount(t, context.Background(), a, 3) })
		answer()
		read()
		testkit.WantCount(t, t.Context(), a, 3)
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

// Nor does it bring back what another node has deleted since, whether the read
// or the change is answered first, and whether the change has created the state
// or not.
//
// Proves E3, N1.
func TestLateAnswerShowsNothingDeleted(t *testing.T) {
	for what, stored := range map[string]bool{"created": false, "changed": true} {
		for order, readFirst := range map[string]bool{"read answered first": true, "change answered first": false} {
			t.Run(what+", "+order, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared := memstore.Shared(2)
					st := storefault.Wrap(shared[0], nil)
					here, there := testkit.NewApp(t, st, nil), testkit.NewApp(t, shared[1], nil)
					a := stay.Register(here, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
					b := stay.Register(there, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
					if stored {
						testkit.MustUpdate(t, t.Context(), a)
					}
					testkit.WantCount(t, t.Context(), a, map[bool]int{true: 1}[stored]) // it is in memory
					answer := stopped(t, st, storefault.Commit, func() { testkit.TryUpdate(t, context.Background(), a) })
					testkit.NoError(t, b.Delete(t.Context()))
					read := stopped(t, st, storefault.Load, func() { testkit.WantCount(t, context.Background(), a, 0) })
					if readFirst {
						read()
						answer()
					} else {
						answer()
						read()
					}
					testkit.WantCount(t, t.Context(), a, 0)
					testkit.MustUpdate(t, t.Context(), a)
					testkit.WantCount(t, t.Context(), b, 1)
				})
			})
		}
	}
}
