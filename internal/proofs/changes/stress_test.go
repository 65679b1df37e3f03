package changes_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A total is one counter of the stress test, and the answers of its callers.
type total struct {
	state                 *stay.State[testkit.Counter]
	acked, unknown, after atomic.Int64
}

func newTotal(app *stay.App, name string) *total {
	x := &total{}
	damage := func(c *testkit.Counter) { c.Count += 1000 }
	x.state = stay.Register(app, stay.Module[testkit.Counter]{
		Name: name, Persist: stay.Global,
		Actions: stay.Actions[testkit.Counter]{
			"inc": func(c *stay.Call, s *testkit.Counter) error {
				c.After(func(context.Context) { x.after.Add(1) })
				return testkit.Increment(s)
			},
			"fail":  func(_ *stay.Call, s *testkit.Counter) error { damage(s); return errors.New("no") },
			"panic": func(_ *stay.Call, s *testkit.Counter) error { damage(s); panic("boom") },
			"exit":  func(_ *stay.Call, s *testkit.Counter) error { damage(s); testkit.Goexit(); return nil },
		},
	})
	return x
}

// do runs an action, which may panic or end its goroutine.
func (x *total) do(ctx context.Context, action string) (c *testkit.Counter, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		err = errors.New("the run did not return")
		c, err = x.state.Do(ctx, action, nil)
	}()
	<-done
	return c, err
}

// visit is one turn of one worker: a change, and a read. It returns the
// newest count that the worker has seen.
func (x *total) visit(t *testing.T, random *rand.Rand, seen int) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if random.IntN(4) == 0 {
		defer time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel).Stop()
	}
	action := "inc"
	if bad := []string{"fail", "panic", "exit"}; random.IntN(4) == 0 {
		action = bad[random.IntN(len(bad))]
	}
	c, err := x.do(ctx, action)
	switch {
	case err == nil && action != "inc":
		t.Errorf("%s succeeded", action)
	case err == nil:
		x.acked.Add(1)
		if c.Count <= seen {
			t.Errorf("a change gives %d after %d was seen", c.Count, seen)
		}
		seen = c.Count
	case errors.Is(err, stay.ErrUnknown) && action == "inc":
		x.unknown.Add(1)
	}
	if c, err := x.state.Get(context.Background()); err == nil {
		if c.Count < seen {
			t.Errorf("%d is read after %d was seen", c.Count, seen)
		}
		seen = c.Count
	}
	return seen
}

// Whatever the store, the callers and the actions do: the stored number is
// between the acknowledged changes and those plus the unknown ones, reads never
// go back, functions passed to After run once for each stored change, and no
// goroutine is left.
//
// Proves E1, E3, E4, E5, E7, E8.
func TestStressLosesAndDoublesNothing(t *testing.T) {
	for _, c := range []struct {
		name                      string
		immediate, faults, closed bool
	}{
		{name: "immediate", immediate: true},
		{name: "immediate with faults", immediate: true, faults: true},
		{name: "committer"},
		{name: "committer with faults", faults: true},
		{name: "committer with faults, closed in between", faults: true, closed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := testseed.New(t)
			goroutines := runtime.NumGoroutine()
			mem := memstore.New()
			st := storefault.Wrap(testkit.Unclosed{Store: mem}, &storefault.Options{Features: func(f store.Features) store.Features {
				f.Immediate = c.immediate
				return f
			}})
			if c.faults {
				commits := func(n uint64, f storefault.Fault) {
					st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.Every(n), Fault: f})
				}
				commits(5, storefault.Delay(time.Millisecond, time.Millisecond))
				commits(7, storefault.LoseAck(nil))
				commits(11, storefault.Fail(nil))
				commits(13, storefault.Drop(nil))
			}
			app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet, MaxInstances: 40})
			var totals []*total
			for i := range 4 {
				totals = append(totals, newTotal(app, fmt.Sprint("t", i)))
			}
			perSession := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			var work sync.WaitGroup
			half := make(chan struct{}, 16)
			for w := range cap(half) {
				work.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(w)))
					seen := make([]int, len(totals))
					for turn := range 40 {
						if turn == 20 {
							half <- struct{}{}
						}
						i := random.IntN(len(totals))
						seen[i] = totals[i].visit(t, random, seen[i])
						// Its outcome does not matter: it makes others leave memory.
						_, _ = perSession.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment)
					}
				})
			}
			if c.closed {
				<-half
				over, cancel := context.WithCancel(t.Context())
				cancel()
				if err := app.Close(over); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("close: %v", err)
				}
			}
			work.Wait()
			if err := app.Close(testkit.Soon(t)); err != nil && !c.closed {
				t.Errorf("close: %v", err)
			}
			for _, x := range totals {
				x.check(t, mem, c.closed)
			}
			ctx := testkit.Soon(t)
			for runtime.NumGoroutine() > goroutines && ctx.Err() == nil {
				runtime.Gosched()
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("%d goroutines are left, there were %d", n, goroutines)
			}
		})
	}
}

// check compares the answers of the callers with the stored number. If the App
// was closed in between, changes may be stored whose After functions were not
// called.
func (x *total) check(t *testing.T, s store.Store, closed bool) {
	t.Helper()
	c, _ := testkit.StoredCounter(t, s, x.state.Name())
	n, acked, unknown, after := int64(c.Count), x.acked.Load(), x.unknown.Load(), x.after.Load()
	if n < acked || n > acked+unknown {
		t.Errorf("%s: %d changes are stored, %d were acknowledged and %d unknown", x.state.Name(), n, acked, unknown)
	}
	if after > n || after < n && !closed {
		t.Errorf("%s: After was called %d times for %d stored changes", x.state.Name(), after, n)
	}
}

// A change whose answer was lost never fails with ErrClosed: it may be stored.
//
// Proves E1, E5, E7.
func TestCloseWhileAnAnswerIsAwaitedTellsNoFailure(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			mem := memstore.New()
			st := testkit.BehindCommitter(testkit.Unclosed{Store: mem})
			app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
			st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/s/", Times: 1, Fault: storefault.LoseAck(nil)})
			result := make(chan error, 1)
			go func() {
				_, err := s.Update(context.Background(), testkit.Increment)
				result <- err
			}()
			// The moment at which the write is sent again.
			over, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
			defer cancel()
			if err := app.Close(over); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("close: %v", err)
			}
			err := <-result
			if _, found := testkit.StoredCounter(t, mem, "s"); found && err != nil && !errors.Is(err, stay.ErrUnknown) {
				t.Fatalf("the change is stored, and its caller got %v", err)
			}
		})
	}
}
