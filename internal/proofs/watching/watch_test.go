package watching_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A viewer has a loop over Watch in its own goroutine.
type viewer[S any] struct {
	cancel context.CancelFunc
	hold   chan struct{} // not nil: each step of the loop waits for a value
	ended  chan struct{} // closed when the loop has ended
	err    error

	mu   sync.Mutex
	seen []S
}

// watch begins a loop. The test ends it by its bubble at the latest.
func watch[S any](t *testing.T, ctx context.Context, s *stay.State[S]) *viewer[S] {
	t.Helper()
	return start(t, ctx, s, nil)
}

func start[S any](t *testing.T, ctx context.Context, s *stay.State[S], hold chan struct{}) *viewer[S] {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	v := &viewer[S]{cancel: cancel, ended: make(chan struct{}), hold: hold}
	go func() {
		defer close(v.ended)
		for now, err := range s.Watch(ctx) {
			if err != nil {
				v.err = err
				continue
			}
			v.mu.Lock()
			v.seen = append(v.seen, *now)
			v.mu.Unlock()
			if v.hold != nil {
				<-v.hold
			}
		}
	}()
	t.Cleanup(func() { v.stop() })
	synctest.Wait()
	return v
}

func (v *viewer[S]) stop() {
	v.cancel()
	<-v.ended
}

// want compares what was seen since the last call.
func (v *viewer[S]) want(t *testing.T, want ...S) {
	t.Helper()
	testkit.WantEqual(t, "seen", v.take(), want)
}

// take returns what was seen since the last call.
func (v *viewer[S]) take() []S {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.seen
	v.seen = nil
	return all
}

// wantEnd checks how the loop has ended; "" is without an error.
func (v *viewer[S]) wantEnd(t *testing.T, code stay.Code) {
	t.Helper()
	synctest.Wait()
	select {
	case <-v.ended:
		if got := stay.CodeOf(v.err); got != code {
			t.Errorf("the watch has ended with %q (%v), want %q", got, v.err, code)
		}
	default:
		t.Errorf("the watch goes on, want its end with %q", code)
	}
}

func onEach(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App)) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) { test(t, testkit.NewApp(t, s, &opts)) })
}

func TestWatchYieldsWhatHasChanged(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		v := watch(t, t.Context(), s)
		v.want(t, testkit.Counter{})
		for i := 1; i < 4; i++ {
			testkit.MustUpdate(t, t.Context(), s)
			v.want(t, testkit.Counter{Count: i})
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.want(t, testkit.Counter{})
		v.cancel()
		v.wantEnd(t, "")
	})
}

// Whoever is slow gets the newest version, however many there were, and the last
// one is never left out.
//
// Proves L1.
func TestASlowWatcherSeesTheNewest(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		hold := make(chan struct{})
		v := start(t, t.Context(), s, hold)
		for range 100 {
			testkit.MustUpdate(t, t.Context(), s)
		}
		hold <- struct{}{}
		v.want(t, testkit.Counter{}, testkit.Counter{Count: 100})
		close(hold)
		testkit.MustUpdate(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 101})
	})
}

// All of a thousand watchers see the last of many changes, while they come and go.
//
// Proves L1, L2.
func TestManyWatchersSeeTheLastChange(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		var all []*viewer[testkit.Counter]
		for range 1000 {
			all = append(all, start(t, t.Context(), s, nil))
		}
		for round := 1; round <= 3; round++ {
			for i := range 20 {
				testkit.MustUpdate(t, t.Context(), s)
				all[i].cancel()
			}
			synctest.Wait()
			for _, v := range all[:20] {
				v.wantEnd(t, "")
			}
			all = all[20:]
			for i, v := range all {
				seen := v.take()
				if last := seen[len(seen)-1].Count; last != 20*round {
					t.Fatalf("watcher %d saw %d last, want %d", i, last, 20*round)
				}
			}
		}
	})
}

// When an Update has returned, those who watch have been woken: a watcher that
// looks by itself finds the wake, whatever other goroutines do.
//
// Proves L2.
func TestAWakePrecedesTheAnswer(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		f := access.AppOf(app).Follow(t.Context(), nil)
		defer f.Close()
		for i := range 10 {
			f.Take()
			sight, err := f.Look(access.StateOf(s))
			testkit.NoError(t, err)
			if got := sight.Value.(*testkit.Counter).Count; got != i {
				t.Errorf("the look shows %d, want %d", got, i)
			}
			testkit.MustUpdate(t, t.Context(), s)
			select {
			case <-f.Wake():
			default:
				t.Fatal("the Update has returned, and nobody was woken")
			}
			if !f.Changed() {
				t.Fatal("the follower was woken, and nothing has changed")
			}
		}
	})
}

// A change that is refused, or changes nothing, wakes nobody.
//
// Proves L6.
func TestNothingNewIsYielded(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		v := watch(t, t.Context(), s)
		v.want(t, testkit.Counter{})
		_, err := s.Update(t.Context(), func(c *testkit.Counter) error { c.Count++; return stay.ErrDenied })
		testkit.WantCode(t, err, stay.ErrDenied)
		testkit.Change(t, t.Context(), s, func(*testkit.Counter) error { return nil })
		v.want(t)
		testkit.Change(t, t.Context(), s, func(c *testkit.Counter) error { c.Count = 1; return nil })
		v.want(t, testkit.Counter{Count: 1})
		testkit.Change(t, t.Context(), s, func(c *testkit.Counter) error { c.Count = 0; return nil })
		v.want(t, testkit.Counter{})
		testkit.NoError(t, s.Delete(t.Context())) // what is left is what it was
		v.want(t)
		testkit.MustUpdate(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 1})
	})
}

// What a loop gets is its own: to change it changes nothing for others.
//
// Proves L6.
func TestAWatchedStateIsTheCallers(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Cart]{Name: "s", Persist: stay.Global, Initial: testkit.Cart{Items: []string{"tea"}}})
		for c, err := range s.Watch(t.Context()) {
			testkit.NoError(t, err)
			c.Items[0] = "sand"
			break
		}
		testkit.WantState(t, t.Context(), s, `{"items":["tea"]}`)
	})
}

// A state that is evicted while it is watched is not kept, is not yielded again,
// and its next change is seen.
//
// Proves L5.
func TestAnEvictedStateIsWatched(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, _ store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		testkit.MustUpdate(t, t.Context(), s)
		v := watch(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 1})
		access.AppOf(app).Evict(false)
		v.want(t)
		loads := st.Count(storefault.Load)
		testkit.WantCount(t, t.Context(), s, 1)
		if got := st.Count(storefault.Load) - loads; got != 1 {
			t.Errorf("a read after the eviction has made %d loads, want 1: the watch keeps the state in memory", got)
		}
		v.want(t)
		access.AppOf(app).Evict(true) // and after each use from now on
		testkit.MustUpdate(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 2})
		testkit.NoError(t, s.Delete(t.Context()))
		v.want(t, testkit.Counter{})
	})
}

// On a store with other owners, where each load may find something new, whoever
// looks and loads what was evicted does not wake itself again and again.
//
// Proves L5.
func TestALookThatLoadsIsNotEndless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[0], nil)
		app := testkit.NewApp(t, st, nil)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		testkit.MustUpdate(t, t.Context(), s)
		access.AppOf(app).Evict(true)
		v, w := watch(t, t.Context(), s), watch(t, t.Context(), s)
		before := st.Count(storefault.Load)
		testkit.MustUpdate(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 1}, testkit.Counter{Count: 2})
		w.want(t, testkit.Counter{Count: 1}, testkit.Counter{Count: 2})
		testkit.Sleep(time.Second)
		if got := st.Count(storefault.Load) - before; got > 20 {
			t.Errorf("two watchers have made %d loads for one change", got)
		}
	})
}

// A state that is only in memory is lost when it is evicted, and its watcher sees
// that.
//
// Proves L5.
func TestALostStateIsSeen(t *testing.T) {
	onEach(t, stay.Options{MaxGuests: 2}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s"})
		ctx := testkit.NewBrowser(app).Ctx()
		testkit.MustUpdate(t, ctx, s)
		v := watch(t, ctx, s)
		v.want(t, testkit.Counter{Count: 1})
		for range 3 {
			testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
		}
		v.want(t, testkit.Counter{})
		testkit.MustUpdate(t, ctx, s)
		v.want(t, testkit.Counter{Count: 1})
	})
}

// A state that expires is seen to, also if nobody else uses it, at the moment when
// it does.
//
// Proves L5.
func TestAnExpiredStateIsSeen(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Expiry: 10 * time.Second})
		testkit.MustUpdate(t, t.Context(), s)
		v := watch(t, t.Context(), s)
		v.want(t, testkit.Counter{Count: 1})
		testkit.Sleep(9 * time.Second)
		testkit.Change(t, t.Context(), s, func(c *testkit.Counter) error { c.Count = 7; return nil })
		v.want(t, testkit.Counter{Count: 7})
		testkit.Sleep(9 * time.Second)
		v.want(t)
		testkit.Sleep(time.Second)
		v.want(t, testkit.Counter{})
	})
}

// Where the App's clock jumps, the sweep tells, also of a state that is not in
// memory.
//
// Proves L5.
func TestASweptStateIsSeen(t *testing.T) {
	for name, evicted := range map[string]bool{"in memory": false, "evicted": true} {
		t.Run(name, func(t *testing.T) {
			clock := testkit.NewClock()
			onEach(t, stay.Options{Clock: clock.Now}, func(t *testing.T, app *stay.App) {
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global, Expiry: time.Hour})
				testkit.MustUpdate(t, t.Context(), s)
				v := watch(t, t.Context(), s)
				v.want(t, testkit.Counter{Count: 1})
				clock.Advance(2 * time.Hour)
				if evicted {
					access.AppOf(app).Evict(false)
				}
				testkit.Sweep(app)
				v.want(t, testkit.Counter{})
			})
		})
	}
}

// A change that is saved later is seen at once, and its save is no change.
//
// Proves L6.
func TestADelayedChangeIsSeenOnce(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		v := watch(t, t.Context(), s)
		testkit.MustUpdate(t, t.Context(), s)
		v.want(t, testkit.Counter{}, testkit.Counter{Count: 1})
		testkit.Sleep(time.Second)
		if c, found := testkit.StoredCounter(t, mem, "s"); !found || c.Count != 1 {
			t.Errorf("stored: %v, %v", c, found)
		}
		v.want(t)
	})
}

// A watch that begins at a node sees what another one has acknowledged, although
// memory has an older version.
//
// Proves L3.
func TestAWatchBeginsWithWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apps := testkit.Nodes(t, 2, nil)
		var s []*stay.State[testkit.Counter]
		for _, app := range apps {
			s = append(s, stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global}))
		}
		testkit.MustUpdate(t, t.Context(), s[0])
		testkit.MustUpdate(t, t.Context(), s[1])
		v := watch(t, t.Context(), s[0])
		v.want(t, testkit.Counter{Count: 2})
		testkit.MustUpdate(t, t.Context(), s[1])
		testkit.WantCount(t, t.Context(), s[0], 3) // the read that tells the node
		v.want(t, testkit.Counter{Count: 3})
	})
}

// The state of a key that has none is the initial one, until there is one.
//
// Proves L5.
func TestAKeyWithoutAStateIsWatched(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		v := watch(t, t.Context(), s.At("a"))
		other := watch(t, t.Context(), s.At("b"))
		v.want(t, testkit.Todos{Theme: "light"})
		testkit.Change(t, t.Context(), s.At("a"), testkit.Become("a"))
		who := testkit.Owner{ID: "a", Role: "r-a"}
		v.want(t, testkit.Todos{Owner: who, Theme: "light"})
		testkit.Change(t, t.Context(), s.At("a"), testkit.AddItem("x"))
		v.want(t, testkit.Todos{Owner: who, Items: []string{"x"}, Theme: "light"})
		testkit.NoError(t, s.At("a").Delete(t.Context()))
		v.want(t, testkit.Todos{Theme: "light"})
		other.want(t, testkit.Todos{Theme: "light"})
	})
}

// A watch ends with what a read would return: without a session, with a record
// that cannot be read, with a store that fails, once each.
//
// Proves L6.
func TestAWatchEndsWithTheErrorOfARead(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		v := watch(t, t.Context(), own)
		v.wantEnd(t, stay.ErrNoSession)

		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		testkit.Commit(t, mem, store.Write{Op: store.Put, Key: "global/s/", Value: []byte("{")})
		v = watch(t, t.Context(), s)
		v.wantEnd(t, stay.ErrCorrupt)

		late := stay.Register(app, stay.Module[testkit.Counter]{Name: "gone", Persist: stay.Global})
		broken := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(testkit.ErrDisk)})
		v = watch(t, t.Context(), late)
		v.wantEnd(t, stay.ErrUnavailable)
		broken.Remove()
	})
}

// Close ends every watch at once, while its state can be read and before work
// under way has ended; a watch that begins later ends at once, too.
//
// Proves L5.
func TestCloseEndsAWatch(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		v := watch(t, t.Context(), s)
		running, goOn := make(chan struct{}), make(chan struct{})
		go func() {
			_, _ = s.Update(context.Background(), func(*testkit.Counter) error {
				close(running)
				<-goOn
				return nil
			})
		}()
		<-running
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = app.Close(context.Background())
		}()
		v.wantEnd(t, stay.ErrClosed)
		select {
		case <-closed:
			t.Error("the App is closed, although a change is under way")
		default:
		}
		close(goOn)
		<-closed
		v = watch(t, t.Context(), s)
		v.wantEnd(t, stay.ErrClosed)
		v.want(t)
	})
}

// A watch whose context has ended yields nothing, not even an error.
//
// Proves L6.
func TestAWatchEndsWithItsContext(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		ctx, cancel := context.WithCancel(t.Context())
		v := watch(t, ctx, s)
		v.want(t, testkit.Counter{})
		cancel()
		v.wantEnd(t, "")
		v = watch(t, ctx, s)
		v.wantEnd(t, "")
		v.want(t)
	})
}
