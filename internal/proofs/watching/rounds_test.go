package watching_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A counted store counts what it is asked for.
type counted struct {
	*memstore.Store
	mu       sync.Mutex
	calls    []int // the number of reads of each
	complete int   // records that were answered with all fields
	watches  int   // calls of Watch under way
	beside   func(announce func([]store.Change, bool))
}

// Load implements store.Store.
func (s *counted) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Store.Load(ctx, reads)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, len(reads))
	for _, rec := range recs {
		if rec.Value != nil {
			s.complete++
		}
	}
	return recs, err
}

// Watch implements store.Watcher.
func (s *counted) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	s.count(1)
	defer s.count(-1)
	if s.beside != nil {
		s.beside(announce)
	}
	return s.Store.Watch(ctx, announce)
}

func (s *counted) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches += n
}

// take returns the calls since the last time, and forgets them.
func (s *counted) take() (calls []int, complete, watches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls, complete, s.calls, s.complete = s.calls, s.complete, nil, 0
	return calls, complete, s.watches
}

// A round compares the revisions of all that is watched, in calls of a bounded size,
// and reads nothing else; without watchers there is no round and no call of Watch.
//
// Proves L35.
func TestARoundComparesRevisions(t *testing.T) {
	const states = 1100
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := &counted{Store: shared[1]}
		here, there := testkit.NewApp(t, shared[0], nil), testkit.NewApp(t, st, nil)
		module := stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser}
		a, b := stay.Register(here, module), stay.Register(there, module)
		testkit.Sleep(time.Hour)
		if _, _, watches := st.take(); watches != 0 {
			t.Errorf("%d calls of Watch while nobody watches", watches)
		}
		var all []*viewer[testkit.Counter]
		for i := range states {
			testkit.MustUpdate(t, t.Context(), a.At(fmt.Sprint(i)))
			all = append(all, watch(t, t.Context(), b.At(fmt.Sprint(i))))
		}
		testkit.Sleep(round)
		st.take()
		for range 3 {
			testkit.Sleep(round)
			calls, complete, watches := st.take()
			slices.Sort(calls)
			if n := len(calls); n < 3 || !slices.Equal(calls[n-3:], []int{states - 2*512, 512, 512}) || complete != 0 || watches != 1 {
				t.Errorf("calls with %v reads, %d complete records, %d watches; want one round, no record and 1", calls, complete, watches)
			}
		}
		for _, v := range all {
			v.stop()
		}
		testkit.Sleep(round)
		st.take()
		testkit.Sleep(10 * round)
		if calls, _, watches := st.take(); slices.Max(append(calls, 0)) > 2 || watches != 0 {
			t.Errorf("calls with %v reads, %d watches after the last has gone", calls, watches)
		}
		again := watch(t, t.Context(), b.At("1"))
		testkit.MustUpdate(t, t.Context(), a.At("1"))
		again.want(t, testkit.Counter{Count: 1}, testkit.Counter{Count: 2})
	})
}

// The end of the App ends what compares and listens, while somebody watches. The
// bubble would not end otherwise.
//
// Proves E7, L35.
func TestCloseEndsTheRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := &counted{Store: shared[1]}
		app := testkit.NewApp(t, st, nil)
		v := watch(t, t.Context(), everybodys(app, nil))
		if _, _, watches := st.take(); watches != 1 {
			t.Errorf("%d watches, want 1", watches)
		}
		testkit.NoError(t, app.Close(t.Context()))
		v.wantEnd(t, stay.ErrClosed)
		if _, _, watches := st.take(); watches != 0 {
			t.Errorf("%d watches after Close", watches)
		}
	})
}

// A store that says all the time that announcements are lost has rounds for a tenth
// of the time, and what it names is seen at once nevertheless.
//
// Proves L35, L36.
func TestRoundsTakeATenthOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		shared := memstore.Shared(2)
		inner := &counted{Store: shared[1], beside: func(announce func([]store.Change, bool)) {
			go func() {
				for range 2000 {
					testkit.SleepAlone(time.Millisecond)
					announce(nil, true)
				}
			}()
		}}
		st := storefault.Wrap(inner, nil)
		here, there := testkit.NewApp(t, shared[0], nil), testkit.NewApp(t, st, nil)
		a := everybodys(here, nil)
		v := watch(t, t.Context(), everybodys(there, nil))
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Delay(takes, 0)})
		before := st.Count(storefault.Load)
		testkit.Sleep(time.Second)
		if n := st.Count(storefault.Load) - before; n < 4 || n > 6 {
			t.Errorf("%d rounds of %v in a second", n, takes)
		}
		v.take()
		testkit.MustUpdate(t, t.Context(), a)
		testkit.Sleep(takes)
		v.want(t, testkit.Counter{Count: 1})
		testkit.Sleep(2 * time.Second)
	})
}

// A change that is announced while the state is being loaded is seen, although the
// load may have read what was before.
//
// Proves L34.
func TestAChangeDuringALoadIsSeen(t *testing.T) {
	for _, hook := range []bool{false, true} {
		t.Run(fmt.Sprint("hook ", hook), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there, st := twoNodes(t, stay.Options{}, func(f store.Features) store.Features {
					f.Immediate = false
					return f
				})
				var created func(*stay.Call, *testkit.Counter) error
				if hook {
					created = func(*stay.Call, *testkit.Counter) error { return nil }
				}
				a, b := everybodys(here, created), everybodys(there, created)
				testkit.MustUpdate(t, t.Context(), a)
				gate := storefault.NewGate()
				st.Add(storefault.Rule{Op: storefault.Load, Key: "global/s/", Times: 1, Fault: storefault.StopAfter(gate)})
				loading := watch(t, t.Context(), b)
				if _, err := gate.Arrived(t.Context()); err != nil {
					t.Fatal(err)
				}
				testkit.MustUpdate(t, t.Context(), a)
				synctest.Wait()
				gate.Open()
				testkit.Sleep(time.Second)
				if seen := loading.take(); len(seen) == 0 || seen[len(seen)-1].Count != 2 {
					t.Errorf("seen %v, want 2 at the end", seen)
				}
			})
		})
	}
}

// A record that cannot be read, and a hook that hangs, hold up nobody who watches
// another state.
//
// Proves L34, E8.
func TestWatchedStatesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{OnError: testkit.Quiet}, nil)
		module := stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser}
		a, b := stay.Register(here, module), stay.Register(there, module)
		hang := make(chan struct{})
		module.Name = "hangs"
		hangsHere := stay.Register(here, module)
		module.OnCreated = func(_ *stay.Call, c *testkit.Counter) error {
			if c.Count > 0 {
				<-hang
			}
			return nil
		}
		hangsThere := stay.Register(there, module)
		good, bad, slow := watch(t, t.Context(), b.At("good")), watch(t, t.Context(), b.At("bad")), watch(t, t.Context(), hangsThere.At("ann"))
		rule := st.Add(storefault.Rule{Op: storefault.Load, Key: "user/s/bad", Fault: storefault.Fail(store.ErrCorrupt)})
		testkit.MustUpdate(t, t.Context(), hangsHere.At("ann"))
		synctest.Wait()
		lost := st.Add(storefault.Rule{Op: storefault.Announce, Fault: storefault.Drop(nil)}) // so that one call has all
		for _, key := range []string{"bad", "good"} {
			testkit.MustUpdate(t, t.Context(), a.At(key))
		}
		testkit.Sleep(round)
		lost.Remove()
		good.want(t, testkit.Counter{}, testkit.Counter{Count: 1})
		bad.want(t, testkit.Counter{})
		slow.want(t, testkit.Counter{})
		rule.Remove()
		for i := 2; i < 5; i++ {
			testkit.MustUpdate(t, t.Context(), hangsHere.At("ann"))
			testkit.Sleep(round)
			testkit.MustUpdate(t, t.Context(), a.At("good"))
			good.want(t, testkit.Counter{Count: i})
		}
		bad.want(t, testkit.Counter{Count: 1})
		close(hang)
		synctest.Wait()
		if seen := slow.take(); len(seen) == 0 || seen[len(seen)-1].Count != 4 {
			t.Errorf("seen %v, want 4 at the end", seen)
		}
	})
}

// A change whose read fails because of its record is read again soon, then less
// often, and in the end with the rounds; other states are not read with it. So one
// failure does not hide a change until the next round.
//
// Proves L35.
func TestAChangeWhoseReadFailsIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{OnError: testkit.Quiet}, nil)
		module := stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser}
		a, b := stay.Register(here, module), stay.Register(there, module)
		v, other := watch(t, t.Context(), b.At("ann")), watch(t, t.Context(), b.At("bob"))
		fails := func(times int) *storefault.Added {
			return st.Add(storefault.Rule{Op: storefault.Load, Key: "user/s/ann", Times: times, Fault: storefault.Fail(store.ErrCorrupt)})
		}
		testkit.Sleep(time.Second) // the first round is 14 seconds away
		v.want(t, testkit.Counter{})
		fails(3)
		before := st.Count(storefault.Load)
		testkit.MustUpdate(t, t.Context(), a.At("ann"))
		testkit.Sleep(time.Second)
		v.want(t, testkit.Counter{Count: 1})
		if n := st.Count(storefault.Load) - before; n != 4 {
			t.Errorf("%d calls for a change that could be read the fourth time", n)
		}
		testkit.MustUpdate(t, t.Context(), a.At("ann"))
		v.want(t, testkit.Counter{Count: 2}) // at once

		always := fails(0)
		testkit.MustUpdate(t, t.Context(), a.At("ann"))
		testkit.Sleep(2 * round)
		before = st.Count(storefault.Load)
		testkit.Sleep(10 * round)
		if n := st.Count(storefault.Load) - before; n > 4*10 { // one for both, and one for each
			t.Errorf("%d calls in ten rounds for a state that cannot be read", n)
		}
		testkit.MustUpdate(t, t.Context(), a.At("bob"))
		other.want(t, testkit.Counter{}, testkit.Counter{Count: 1})
		always.Remove()
		testkit.Sleep(round)
		v.want(t, testkit.Counter{Count: 3})
	})
}

// While a store fails, it is asked less and less often, down to once in two seconds
// for all that is watched.
//
// Proves L35.
func TestAStoreThatFailsIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{OnError: testkit.Quiet}, nil)
		a := everybodys(here, nil)
		v := watch(t, t.Context(), everybodys(there, nil))
		v.want(t, testkit.Counter{})
		rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(store.ErrUnavailable)})
		testkit.MustUpdate(t, t.Context(), a)
		testkit.Sleep(10 * time.Second)
		before := st.Count(storefault.Load)
		testkit.Sleep(time.Minute)
		if n := st.Count(storefault.Load) - before; n < 29 || n > 31 {
			t.Errorf("%d calls in a minute", n)
		}
		rule.Remove()
		testkit.Sleep(2 * time.Second)
		v.want(t, testkit.Counter{Count: 1})
	})
}

// While the store does not answer, a watch keeps what it has; when it answers again,
// what has changed meanwhile is seen soon.
//
// Proves L35.
func TestAWatchOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there, st := twoNodes(t, stay.Options{OnError: testkit.Quiet}, func(f store.Features) store.Features {
			f.Immediate = false
			return f
		})
		a := everybodys(here, nil)
		v := watch(t, t.Context(), everybodys(there, nil))
		v.want(t, testkit.Counter{})
		rule := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Hang()})
		testkit.MustUpdate(t, t.Context(), a)
		testkit.Sleep(10 * time.Minute)
		v.want(t)
		rule.Remove()
		testkit.Sleep(round + 10*time.Second) // the last call that hangs has to end
		v.want(t, testkit.Counter{Count: 1})
		testkit.MustUpdate(t, t.Context(), a)
		v.want(t, testkit.Counter{Count: 2})
	})
}
