package stay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// expiries holds the counts of the states that OnExpire was called with.
type expiries struct {
	mu     sync.Mutex
	counts []int
}

func (x *expiries) hook(_ *stay.Call, c *counter) {
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

// aMinute is a little less, as a test begins with a minute and the store looks
// for what has expired in those that are over.
const aMinute = 59 * time.Second

// minutely is a module whose state stays for a minute after its last change.
func minutely(app *stay.App, after time.Duration) (*stay.State[counter], *expiries) {
	x := &expiries{}
	return stay.Register(app, stay.Module[counter]{
		Name: "s", Persist: stay.Global, Debounce: after, Expiry: aMinute, OnExpire: x.hook,
	}), x
}

// A change that runs while the state expires is not acknowledged on what has
// expired: it runs again on the state that begins anew, and is stored (A14,
// A15).
func TestA14A15DebounceChangeAcrossExpiry(t *testing.T) {
	inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s, expired := minutely(app, debounce)
		mustUpdate(t, t.Context(), s)
		mustUpdate(t, t.Context(), s)
		sleep(aMinute - time.Second)
		seen := []int{}
		change(t, t.Context(), s, func(c *counter) error {
			seen = append(seen, c.Count)
			sleep(2 * time.Second)
			c.Count++
			return nil
		})
		if !slices.Equal(seen, []int{2, 0}) {
			t.Errorf("the change ran on %v, want 2 and then what begins anew", seen)
		}
		wantCount(t, t.Context(), s, 1)
		sleep(time.Second)
		wantStored(t, mem, 1)
		wantCount(t, t.Context(), s, 1)
		bridge.AppOf(app).Sweep()
		expired.want(t, 2)
	})
}

// outage has the store take nothing from before a minute has passed since the
// last change that it has until after that, while a second change puts the
// expiry off in memory. It returns when the store is well again.
func outage(t *testing.T, st *storefault.Store, update func()) {
	t.Helper()
	update()
	sleep(50 * time.Second)
	rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
	update()
	sleep(11 * time.Second)
	rule.Remove()
}

// What was acknowledged before the stored record expired is stored after a
// failure of the store that has outlasted the record: the state has not
// expired (A14, A15).
func TestA14A15DebounceOutageAcrossExpiry(t *testing.T) {
	for _, swept := range []bool{false, true} {
		t.Run(map[bool]string{false: "not swept", true: "swept before"}[swept], func(t *testing.T) {
			var log faultLog
			inBubbles(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
				log.take()
				s, expired := minutely(app, debounce)
				outage(t, st, func() { mustUpdate(t, t.Context(), s) })
				if swept {
					bridge.AppOf(app).Sweep()
				}
				wantCount(t, t.Context(), s, 2)
				mustUpdate(t, t.Context(), s)
				sleep(30 * time.Second) // the longest pause
				wantStored(t, mem, 3)
				mustUpdate(t, t.Context(), s)
				sleep(time.Second)
				wantStored(t, mem, 4)
				for _, e := range log.take() {
					if e.Code != stay.ErrUnavailable {
						t.Errorf("OnError was told %v", e)
					}
				}
				bridge.AppOf(app).Sweep()
				expired.want(t) // also where a sweep has found the record before
				sleep(2 * time.Minute)
				wantCount(t, t.Context(), s, 0)
			})
		})
	}
}

// A state under a key that is stored anew because its record has expired
// meanwhile is still the one that sessions are attached to (A14, A15, K7).
func TestA14A15K7DebounceOutageKeepsAttachments(t *testing.T) {
	inBubbles(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		m := todosModule()
		m.Debounce, m.Expiry = debounce, aMinute
		s := stay.Register(app, m)
		b := newBrowser(app)
		change(t, b.ctx(), s, become("ann"))
		items := []string{"a", "b"}
		outage(t, st, func() {
			change(t, b.ctx(), s, addItem(items[0]))
			items = items[1:]
		})
		sleep(30 * time.Second)
		wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
		wantState(t, b.ctx(), s, annsTodos(`"a","b"`))
		bridge.AppOf(app).Evict(false)
		wantState(t, b.ctx(), s, annsTodos(`"a","b"`))
	})
}

// A state that expires while its save is at the store is neither shown nor
// changed any more: whoever wants it waits for the save, as long as its context
// allows, and gets what begins anew (A15, A14, E8).
func TestA15A14E8DebounceExpiresDuringSave(t *testing.T) {
	inBubbles(t, stay.Options{OnError: loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global, Debounce: debounce, Expiry: time.Second})
		for _, use := range []func() (*counter, error){
			func() (*counter, error) { return s.Get(t.Context()) },
			func() (*counter, error) {
				return s.Update(t.Context(), func(c *counter) error { c.Count -= 5; return nil })
			},
		} {
			mustUpdate(t, t.Context(), s)
			gate := storefault.NewGate()
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
			sleep(2 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), debounce)
			_, err := s.Get(ctx)
			wantCode(t, err, stay.ErrUnavailable)
			cancel()
			used := make(chan error, 1)
			go func() {
				c, err := use()
				if err == nil && c.Count > 0 {
					err = fmt.Errorf("a count of %d has expired", c.Count)
				}
				used <- err
			}()
			sleep(time.Second)
			if len(used) > 0 {
				t.Fatalf("it did not wait: %v", <-used)
			}
			rule.Remove()
			gate.Open()
			if err := <-used; err != nil {
				t.Error(err)
			}
			sleep(debounce)
		}
		wantStored(t, mem, -5)
		wantCount(t, t.Context(), s, -5)
	})
}

// What expires with a run under way while its save is at the store is not
// changed by that run (A15, A14).
func TestA15A14DebounceRunExpiresDuringSave(t *testing.T) {
	inBubbles(t, stay.Options{OnError: loud(t)}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.Global, Debounce: debounce, Expiry: time.Second})
		mustUpdate(t, t.Context(), s)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
		sleep(debounce)
		changed := make(chan error, 1)
		var seen []int
		go func() {
			_, err := s.Update(t.Context(), func(c *counter) error {
				seen = append(seen, c.Count)
				sleepAlone(2 * time.Second)
				c.Count++
				return nil
			})
			changed <- err
		}()
		sleep(3 * time.Second)
		if len(changed) > 0 {
			t.Error("it did not wait")
		}
		rule.Remove()
		gate.Open()
		if err := <-changed; err != nil || !slices.Equal(seen, []int{1, 0}) {
			t.Errorf("%v, ran on %v, want 1 and then what begins anew", err, seen)
		}
		sleep(debounce)
		wantStored(t, mem, 1)
	})
}

// loud is an OnError hook that must not be called.
func loud(t *testing.T) func(*stay.Call, *stay.Error) {
	return func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }
}
