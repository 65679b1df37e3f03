package watching_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// round is how long what other nodes change may stay unseen where nothing is
// announced.
const round = 15 * time.Second

// silent is a store that announces nothing.
func silent(f store.Features) store.Features {
	f.Watch = false
	return f
}

// twoNodes are an App that changes states and one that watches them, and what is
// between the second and the store.
func twoNodes(t *testing.T, opts stay.Options, features func(store.Features) store.Features) (here, there *stay.App, st *storefault.Store) {
	shared := memstore.Shared(2)
	st = storefault.Wrap(shared[1], &storefault.Options{Features: features})
	return testkit.NewApp(t, shared[0], &opts), testkit.NewApp(t, st, &opts), st
}

// onBothNodes runs the test where changes are announced, with two ways to commit,
// and where they are not. seen waits until they have been seen at the latest.
func onBothNodes(t *testing.T, opts stay.Options, test func(t *testing.T, here, there *stay.App, seen func())) {
	for name, c := range map[string]struct {
		features func(store.Features) store.Features
		wait     time.Duration
	}{
		"announced":          {nil, 0},
		"announced, waiting": {func(f store.Features) store.Features { f.Immediate = false; return f }, 0},
		"not announced":      {silent, round},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there, _ := twoNodes(t, opts, c.features)
				test(t, here, there, func() { testkit.Sleep(c.wait) })
			})
		})
	}
}

func everybodys(app *stay.App, created func(*stay.Call, *testkit.Counter) error) *stay.State[testkit.Counter] {
	return stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, OnCreated: created})
}

// What another node does to a state is seen: each change, a deletion and a new
// beginning, whether the state is in memory or not, and whether loading it runs the
// user's code.
//
// Proves L5, L34, L35.
func TestChangesByAnotherNodeAreSeen(t *testing.T) {
	for name, created := range map[string]func(*stay.Call, *testkit.Counter) error{
		"no hook": nil, "a hook": func(*stay.Call, *testkit.Counter) error { return nil },
	} {
		for _, memory := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, MaxInstances %d", name, memory), func(t *testing.T) {
				onBothNodes(t, stay.Options{MaxInstances: memory}, func(t *testing.T, here, there *stay.App, seen func()) {
					a, b := everybodys(here, created), everybodys(there, created)
					others := stay.Register(there, stay.Module[testkit.Counter]{Name: "others", Persist: stay.PerUser})
					v := watch(t, t.Context(), b)
					v.want(t, testkit.Counter{})
					for i := 1; i < 4; i++ {
						testkit.MustUpdate(t, t.Context(), others.At(fmt.Sprint(i))) // has it evicted if there is room for one
						testkit.MustUpdate(t, t.Context(), a)
						seen()
						v.want(t, testkit.Counter{Count: i})
					}
					testkit.NoError(t, a.Delete(t.Context()))
					seen()
					v.want(t, testkit.Counter{})
					testkit.MustUpdate(t, t.Context(), a)
					seen()
					v.want(t, testkit.Counter{Count: 1})
				})
			})
		}
	}
}

// A change that other nodes make costs one call of the store, however many watch.
//
// Proves L34.
func TestAChangeByAnotherNodeIsLoadedOnce(t *testing.T) {
	const watchers, changes = 500, 20
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{}, nil)
		a, b := everybodys(here, nil), everybodys(there, nil)
		all := make([]*viewer[testkit.Counter], watchers)
		for i := range all {
			all[i] = watch(t, t.Context(), b)
		}
		before := st.Count(storefault.Load)
		for range changes {
			testkit.MustUpdate(t, t.Context(), a)
			synctest.Wait()
		}
		if n := st.Count(storefault.Load) - before; n > changes {
			t.Errorf("%d calls for %d changes", n, changes)
		}
		for _, v := range all {
			seen := v.take()
			if len(seen) == 0 || seen[len(seen)-1].Count != changes {
				t.Fatalf("seen %v, want the last of %d changes", seen, changes)
			}
		}
		before = st.Count(storefault.Load)
		for range changes {
			testkit.MustUpdate(t, t.Context(), b)
			synctest.Wait()
		}
		if n := st.Count(storefault.Load) - before; n > changes {
			t.Errorf("%d calls for %d own changes", n, changes)
		}
	})
}

// A state that is not in memory is loaded once for all who watch it.
//
// Proves L34.
func TestAStateThatWasEvictedIsLoadedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{MaxInstances: 1}, nil)
		a, b := everybodys(here, nil), everybodys(there, nil)
		others := stay.Register(there, stay.Module[testkit.Counter]{Name: "others", Persist: stay.PerUser})
		all := make([]*viewer[testkit.Counter], 100)
		for i := range all {
			all[i] = watch(t, t.Context(), b)
		}
		testkit.MustUpdate(t, t.Context(), others.At("ann"))
		testkit.MustUpdate(t, t.Context(), others.At("bob"))
		before := st.Count(storefault.Load)
		testkit.MustUpdate(t, t.Context(), a)
		synctest.Wait()
		if n := st.Count(storefault.Load) - before; n > 3 {
			t.Errorf("%d calls", n)
		}
		for _, v := range all {
			v.want(t, testkit.Counter{}, testkit.Counter{Count: 1})
		}
	})
}

// The end of a session on one node ends what is watched on another, and nothing
// that follows is seen there.
//
// Proves L4, L34, L35.
func TestEndsOnAnotherNodeEndAWatch(t *testing.T) {
	session := func(fn func(s *stay.Session, ctx context.Context) error) func(*testing.T, *stay.App, context.Context) {
		return func(t *testing.T, _ *stay.App, ctx context.Context) {
			testkit.NoError(t, fn(stay.SessionFrom(ctx), ctx))
		}
	}
	for name, end := range map[string]func(t *testing.T, app *stay.App, ctx context.Context){
		"Login":   session(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }),
		"Logout":  session((*stay.Session).Logout),
		"Renew":   session((*stay.Session).Renew),
		"Destroy": session((*stay.Session).Destroy),
		"Revoke": func(t *testing.T, app *stay.App, _ context.Context) {
			testkit.NoError(t, app.Revoke(t.Context(), "ann"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothNodes(t, stay.Options{}, func(t *testing.T, here, there *stay.App, seen func()) {
				tasks := func(app *stay.App) *stay.State[testkit.Counter] {
					return stay.Register(app, stay.Module[testkit.Counter]{Name: "tasks", Persist: stay.PerUser})
				}
				a, b := tasks(here), tasks(there)
				browser := testkit.NewBrowser(here)
				testkit.Login(t, browser, "ann")
				testkit.MustUpdate(t, browser.Ctx(), a)
				v := watch(t, browser.On(there).Ctx(), b)
				v.want(t, testkit.Counter{Count: 1})
				end(t, here, browser.Ctx())
				seen()
				v.wantEnd(t, stay.ErrEnded)
				testkit.MustUpdate(t, t.Context(), a.At("ann"))
				seen()
				v.want(t)
			})
		})
	}
}

// What a session was good for and is changed after its end is not seen, although both
// are found out at once: in a round, or after announcements that came together.
//
// Proves L4, L34, L35.
func TestNothingIsSeenThatFollowsAnEnd(t *testing.T) {
	const users = 200
	onBothNodes(t, stay.Options{}, func(t *testing.T, here, there *stay.App, seen func()) {
		tasks := func(app *stay.App) *stay.State[testkit.Counter] {
			return stay.Register(app, stay.Module[testkit.Counter]{Name: "tasks", Persist: stay.PerUser})
		}
		a, b := tasks(here), tasks(there)
		var browsers []*testkit.Browser
		var views []*viewer[testkit.Counter]
		for i := range users {
			browser := testkit.NewBrowser(here)
			testkit.Login(t, browser, fmt.Sprint(i))
			browsers = append(browsers, browser)
			views = append(views, watch(t, browser.On(there).Ctx(), b))
			views[i].want(t, testkit.Counter{})
		}
		for i, browser := range browsers {
			user := fmt.Sprint(i)
			if i%2 == 0 {
				testkit.Logout(t, browser)
			} else {
				testkit.NoError(t, here.Revoke(t.Context(), user))
			}
			testkit.MustUpdate(t, t.Context(), a.At(user))
		}
		seen()
		for _, v := range views {
			v.want(t)
			v.wantEnd(t, stay.ErrEnded)
		}
	})
}

// Whatever becomes of announcements, no watcher sees an older version after a newer
// one, and all have the last one after a round.
//
// Proves L6, L35.
func TestAnnouncementsAreHints(t *testing.T) {
	for name, c := range map[string]struct {
		faults []storefault.Fault
		chance float64
	}{
		"all lost":                     {[]storefault.Fault{storefault.Drop(nil)}, 1},
		"all doubled":                  {[]storefault.Fault{storefault.Twice()}, 1},
		"all late":                     {[]storefault.Fault{storefault.Delay(20*time.Millisecond, 0)}, 1},
		"half lost":                    {[]storefault.Fault{storefault.Drop(nil)}, 0.5},
		"some lost, doubled, or later": {[]storefault.Fault{storefault.Drop(nil), storefault.Twice(), storefault.Delay(20*time.Millisecond, 0)}, 0.4},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testseed.New(t)
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				source := rand.New(rand.NewPCG(seed, 0))
				random := func() float64 {
					mu.Lock()
					defer mu.Unlock()
					return source.Float64()
				}
				here, there, st := twoNodes(t, stay.Options{}, nil)
				for _, f := range c.faults {
					st.Add(storefault.Rule{Op: storefault.Announce, Fault: f, Match: func(call storefault.Call) bool {
						return len(call.Keys) > 0 && random() < c.chance // each draws for itself
					}})
				}
				st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Delay(time.Millisecond, time.Millisecond)})
				a := stay.Register(here, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser})
				b := stay.Register(there, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser})
				const keys, watchers = 4, 3
				var all [keys][watchers]*viewer[testkit.Counter]
				for k := range keys {
					for w := range watchers {
						all[k][w] = watch(t, t.Context(), b.At(fmt.Sprint(k)))
					}
				}
				testkit.Sleep(time.Second)
				var counts [keys]int
				for range 60 {
					k := int(random() * keys)
					at := []*stay.State[testkit.Counter]{a, b}[int(random()*2)]
					testkit.MustUpdate(t, t.Context(), at.At(fmt.Sprint(k)))
					counts[k]++
					testkit.Sleep(time.Duration(random() * float64(10*time.Millisecond)))
				}
				testkit.Sleep(round + time.Second)
				for k := range keys {
					for w := range watchers {
						seen := all[k][w].take()
						counted := func(a, b testkit.Counter) int { return a.Count - b.Count }
						if !slices.IsSortedFunc(seen, counted) || len(seen) == 0 || seen[len(seen)-1].Count != counts[k] {
							t.Errorf("key %d, watcher %d: seen %v, want %d at the end", k, w, seen, counts[k])
						}
					}
				}
			})
		})
	}
}

// A store that ends to announce changes is asked again, soon and then less often;
// one that cannot is not.
//
// Proves L35, L36.
func TestAnnouncementsBeginAgain(t *testing.T) {
	begin := func(t *testing.T, err error, times int) (a *stay.State[testkit.Counter], v *viewer[testkit.Counter], st *storefault.Store) {
		here, there, st := twoNodes(t, stay.Options{}, nil)
		st.Add(storefault.Rule{Op: storefault.Watch, Times: times, Fault: storefault.Fail(err)})
		a = everybodys(here, nil)
		v = watch(t, t.Context(), everybodys(there, nil))
		v.want(t, testkit.Counter{})
		return a, v, st
	}
	t.Run("it fails for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, v, st := begin(t, nil, 3)
			testkit.MustUpdate(t, t.Context(), a)
			testkit.Sleep(time.Second)
			v.want(t, testkit.Counter{Count: 1})
			testkit.MustUpdate(t, t.Context(), a)
			v.want(t, testkit.Counter{Count: 2})
			if n := st.Count(storefault.Watch); n != 4 {
				t.Errorf("%d calls of Watch, want 4", n)
			}
		})
	})
	t.Run("it always fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, v, st := begin(t, nil, 0)
			testkit.Sleep(time.Hour)
			if n := st.Count(storefault.Watch); n < 240 || n > 250 {
				t.Errorf("%d calls of Watch in an hour, want one in 15 s in the end", n)
			}
			testkit.MustUpdate(t, t.Context(), a)
			testkit.Sleep(round)
			v.want(t, testkit.Counter{Count: 1})
		})
	})
	t.Run("it cannot", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, v, st := begin(t, errors.ErrUnsupported, 0)
			testkit.MustUpdate(t, t.Context(), a)
			testkit.Sleep(time.Hour)
			v.want(t, testkit.Counter{Count: 1})
			if n := st.Count(storefault.Watch); n != 1 {
				t.Errorf("%d calls of Watch, want 1", n)
			}
		})
	})
}
