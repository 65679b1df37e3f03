package debounce_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// expiries holds the counts of the states that OnExpire was called with.
type expiries struct {
	mu     sync.Mutex
	counts []int
}

func (x *expiries) hook(_ *stay.Call, c *testkit.Counter) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts = append(x.counts, c.Count)
}

func (x *expiries) want(t *testing.T, counts ...int) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.counts, counts) {
		t.Errorf("OnExpire was called with %v, want %v", x.counts, counts)
	}
}

// aMinute is a little less than a minute, because a test begins with a minute
// and the store searches only minutes that are over.
const aMinute = 59 * time.Second

// minutely is a module whose state stays for a minute after its last change.
func minutely(app *stay.App, after time.Duration) (*stay.State[testkit.Counter], *expiries) {
	x := &expiries{}
	return stay.Register(app, stay.Module[testkit.Counter]{
		Name: "s", Persist: stay.Global, Debounce: after, Expiry: aMinute, OnExpire: x.hook,
	}), x
}

// A change that runs while the state expires is not acknowledged on the expired
// state: it runs again on the initial state, and is stored.
//
// Proves A14, A15.
func TestChangeAcrossExpiryRunsAgain(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s, expired := minutely(app, testkit.Debounce)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.Sleep(aMinute - time.Second)
		seen := []int{}
		testkit.Change(t, t.Context(), s, func(c *testkit.Counter) error {
			seen = append(seen, c.Count)
			testkit.Sleep(2 * time.Second)
			c.Count++
			return nil
		})
		if !slices.Equal(seen, []int{2, 0}) {
			t.Errorf("the change ran on %v, want 2 and then the initial state", seen)
		}
		testkit.WantCount(t, t.Context(), s, 1)
		testkit.Sleep(time.Second)
		wantStored(t, mem, 1)
		testkit.WantCount(t, t.Context(), s, 1)
		access.AppOf(app).Sweep()
		expired.want(t, 2)
	})
}

// outage has the store take nothing from before a minute has passed since the
// last change that it has until after that, while a second change puts the
// expiry off in memory. It returns when the store is well again.
func outage(t *testing.T, st *storefault.Store, update func()) {
	t.Helper()
	update()
	testkit.Sleep(50 * time.Second)
	rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
	update()
	testkit.Sleep(11 * time.Second)
	rule.Remove()
}

// What was acknowledged before the stored record expired is stored after a
// failure of the store that has outlasted the record: the state has not
// expired.
//
// Proves A14, A15.
func TestOutageAcrossExpiryLosesNothing(t *testing.T) {
	for _, swept := range []bool{false, true} {
		t.Run(map[bool]string{false: "not swept", true: "swept before"}[swept], func(t *testing.T) {
			var log faultLog
			testkit.InBubbles(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
				log.take()
				s, expired := minutely(app, testkit.Debounce)
				outage(t, st, func() { testkit.MustUpdate(t, t.Context(), s) })
				if swept {
					access.AppOf(app).Sweep()
				}
				testkit.WantCount(t, t.Context(), s, 2)
				testkit.MustUpdate(t, t.Context(), s)
				testkit.Sleep(30 * time.Second) // the longest pause
				wantStored(t, mem, 3)
				testkit.MustUpdate(t, t.Context(), s)
				testkit.Sleep(time.Second)
				wantStored(t, mem, 4)
				for _, e := range log.take() {
					if e.Code != stay.ErrUnavailable {
						t.Errorf("OnError was told %v", e)
					}
				}
				access.AppOf(app).Sweep()
				expired.want(t) // also where a sweep has found the record before
				testkit.Sleep(2 * time.Minute)
				testkit.WantCount(t, t.Context(), s, 0)
			})
		})
	}
}

// A state under a key that is stored again because its record has expired
// meanwhile is still the one that sessions are attached to.
//
// Proves A14, A15, K7.
func TestOutageAcrossExpiryKeepsAttachments(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		m := testkit.TodosModule()
		m.Debounce, m.Expiry = testkit.Debounce, aMinute
		s := stay.Register(app, m)
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), s, testkit.Become("ann"))
		items := []string{"a", "b"}
		outage(t, st, func() {
			testkit.Change(t, b.Ctx(), s, testkit.AddItem(items[0]))
			items = items[1:]
		})
		testkit.Sleep(30 * time.Second)
		wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
		testkit.WantState(t, b.Ctx(), s, annsTodos(`"a","b"`))
		access.AppOf(app).Evict(false)
		testkit.WantState(t, b.Ctx(), s, annsTodos(`"a","b"`))
	})
}

// A state that expires while its save is at the store is neither shown nor
// changed any more: a caller waits for the save, as long as its context allows,
// and gets the initial state.
//
// Proves A14, A15, E8.
func TestStateThatExpiresDuringItsSaveIsNotShown(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Debounce: testkit.Debounce, Expiry: time.Second})
		for _, use := range []func() (*testkit.Counter, error){
			func() (*testkit.Counter, error) { return s.Get(t.Context()) },
			func() (*testkit.Counter, error) {
				return s.Update(t.Context(), func(c *testkit.Counter) error { c.Count -= 5; return nil })
			},
		} {
			testkit.MustUpdate(t, t.Context(), s)
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
			testkit.Sleep(2 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Debounce)
			_, err := s.Get(ctx)
			testkit.WantCode(t, err, stay.ErrUnavailable)
			cancel()
			used := make(chan error, 1)
			go func() {
				c, err := use()
				if err == nil && c.Count > 0 {
					err = fmt.Errorf("a count of %d has expired", c.Count)
				}
				used <- err
			}()
			testkit.Sleep(time.Second)
			if len(used) > 0 {
				t.Fatalf("it did not wait: %v", <-used)
			}
			rule.Remove()
			gate.Open()
			if err := <-used; err != nil {
				t.Error(err)
			}
			testkit.Sleep(testkit.Debounce)
		}
		wantStored(t, mem, -5)
		testkit.WantCount(t, t.Context(), s, -5)
	})
}

// What expires with a run under way while its save is at the store is not
// changed by that run.
//
// Proves A14, A15.
func TestRunDoesNotChangeWhatExpiredDuringItsSave(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Debounce: testkit.Debounce, Expiry: time.Second})
		testkit.MustUpdate(t, t.Context(), s)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
		testkit.Sleep(testkit.Debounce)
		changed := make(chan error, 1)
		var seen []int
		go func() {
			_, err := s.Update(t.Context(), func(c *testkit.Counter) error {
				seen = append(seen, c.Count)
				testkit.SleepAlone(2 * time.Second)
				c.Count++
				return nil
			})
			changed <- err
		}()
		testkit.Sleep(3 * time.Second)
		if len(changed) > 0 {
			t.Error("it did not wait")
		}
		rule.Remove()
		gate.Open()
		if err := <-changed; err != nil || !slices.Equal(seen, []int{1, 0}) {
			t.Errorf("%v, ran on %v, want 1 and then the initial state", err, seen)
		}
		testkit.Sleep(testkit.Debounce)
		wantStored(t, mem, 1)
	})
}
