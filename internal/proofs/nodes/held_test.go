package nodes_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// One call of the store that is lost on its way, or whose answer is, or that is
// delivered when everybody has given it up, holds up no change of another key
// for longer than a moment. Its own change is stored within a few seconds, once.
//
// Proves E5, E8.
func TestOneHeldCallHoldsUpNobodyElse(t *testing.T) {
	for name, faults := range map[string]func(*storefault.Gate) []storefault.Fault{
		"before the store":   func(g *storefault.Gate) []storefault.Fault { return []storefault.Fault{storefault.Stop(g)} },
		"after the store":    func(g *storefault.Gate) []storefault.Fault { return []storefault.Fault{storefault.StopAfter(g)} },
		"the call is lost":   func(*storefault.Gate) []storefault.Fault { return []storefault.Fault{storefault.Hang()} },
		"the answer is lost": func(*storefault.Gate) []storefault.Fault { return []storefault.Fault{storefault.HangAfter()} },
		"delivered late": func(g *storefault.Gate) []storefault.Fault {
			return []storefault.Fault{storefault.Late(g, nil), storefault.HangAfter()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := storefault.Wrap(memstore.Shared(1)[0], nil)
				app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Loud(t)})
				held := stay.Register(app, stay.Module[testkit.Counter]{Name: "held", Persist: stay.Global})
				other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession})
				testkit.MustUpdate(t, t.Context(), held)
				testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), other)
				gate := storefault.NewGate()
				for _, f := range faults(gate) {
					st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/held/", Times: 1, Fault: f})
				}
				began, stored := time.Now(), make(chan time.Duration, 1)
				go func() {
					testkit.TryUpdate(t, context.Background(), held)
					stored <- time.Since(began)
				}()
				synctest.Wait()
				var others sync.WaitGroup
				for range 30 {
					others.Go(func() {
						began := time.Now()
						testkit.TryUpdate(t, testkit.NewBrowser(app).Ctx(), other)
						if took := time.Since(began); took > time.Second {
							t.Errorf("a change of another key took %v", took)
						}
					})
					testkit.Sleep(time.Second / 10)
				}
				others.Wait()
				testkit.Sleep(4*time.Second - time.Since(began))
				gate.Open()
				if took := <-stored; took > 3*time.Second {
					t.Errorf("the change took %v", took)
				}
				testkit.Sleep(time.Minute)
				testkit.WantCount(t, t.Context(), held, 2)
				testkit.MustUpdate(t, t.Context(), held)
				testkit.WantCount(t, t.Context(), held, 3)
			})
		})
	}
}

// While calls hang, a few more are made, and no more than that, so a store in
// trouble is not flooded.
//
// Proves E6.
func TestFewCallsAreUnderWayWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, nil)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
		gate := storefault.NewGate()
		hangs := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		before := st.Count(storefault.Commit)
		var changes sync.WaitGroup
		for range 15 {
			changes.Go(func() { testkit.TryUpdate(t, testkit.NewBrowser(app).Ctx(), s) })
			testkit.Sleep(time.Second / 10)
		}
		if n := st.Count(storefault.Commit) - before; n < 2 || n > 3 {
			t.Errorf("%d calls are under way, want 2 or 3", n)
		}
		hangs.Remove()
		gate.Open()
		changes.Wait()
	})
}

// Two calls that are under way never have a key in common, so neither can
// overtake the other.
//
// Proves E5.
func TestCallsUnderWayHaveNoKeyInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Loud(t)})
		var modules []*stay.State[testkit.Counter]
		for _, name := range []string{"a", "b", "c"} {
			modules = append(modules, stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: stay.PerSession}))
		}
		for _, m := range modules {
			testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), m) // they are listed in the store
		}
		gate := storefault.NewGate()
		var mu sync.Mutex
		under := map[string]int{}
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Match: func(c storefault.Call) bool {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range c.Keys {
				under[key]++
			}
			return true
		}, Fault: storefault.Stop(gate)})
		b := testkit.NewBrowser(app)
		_, err := modules[0].Get(b.Ctx())
		testkit.NoError(t, err)
		var changes sync.WaitGroup
		for _, m := range modules {
			ctx := b.Ctx()
			changes.Go(func() { testkit.TryUpdate(t, ctx, m) }) // with the record of the same session
			testkit.Sleep(time.Second / 4)
		}
		mu.Lock()
		sessions := 0
		for key, n := range under {
			if strings.HasPrefix(key, "stay/session/") {
				sessions += n
			}
		}
		mu.Unlock()
		if sessions != 1 {
			t.Errorf("%d calls with the session's record are under way: %v", sessions, under)
		}
		rule.Remove()
		gate.Open()
		changes.Wait()
		for _, m := range modules {
			testkit.WantCount(t, b.Ctx(), m, 1)
		}
	})
}

// A read whose call is lost is made again after a moment, and does not fail when
// all its patience is over.
//
// Proves E8.
func TestReadThatIsLostIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Loud(t)})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		testkit.MustUpdate(t, t.Context(), s)
		for range 3 {
			st.Add(storefault.Rule{Op: storefault.Load, Times: 1, Fault: storefault.Hang()})
			began := time.Now()
			testkit.WantCount(t, t.Context(), s, 1)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the read took %v", took)
			}
		}
	})
}

// A store that takes its time with everything, longer than the first attempt
// lasts, is slow and not broken: everything comes to its end.
//
// Proves E1, E8.
func TestSlowStoreIsNotBroken(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{
		"before": storefault.Delay(3*time.Second, 0), "after": storefault.Delay(0, 3*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memstore.Shared(2)
				st := storefault.Wrap(shared[0], nil)
				app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Loud(t)})
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
				testkit.MustUpdate(t, t.Context(), s)
				slow := st.Add(storefault.Rule{Match: func(c storefault.Call) bool { return c.Op == storefault.Load || c.Op == storefault.Commit }, Fault: fault})
				testkit.MustUpdate(t, t.Context(), s)
				testkit.WantCount(t, t.Context(), s, 2)
				slow.Remove()
				recs, err := shared[1].Load(t.Context(), []store.Read{{Key: "global/s/"}})
				if err != nil || string(recs[0].Value) != `{"count":2,"label":""}` {
					t.Errorf("%s, %v", recs[0].Value, err)
				}
			})
		})
	}
}
