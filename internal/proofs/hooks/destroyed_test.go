package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// OnDestroyed gets a copy of the committed state of each instance that leaves
// memory: when it is evicted, deleted, and when the App is closed (DESIGN 4,
// Hooks).
func TestDestroyedWhenItLeavesMemory(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		ev := &testkit.Events{}
		app := testkit.NewApp(t, s, &stay.Options{MaxInstances: 20})
		m := testkit.Watched("s", stay.PerSession, ev)
		hook := m.OnDestroyed
		m.OnDestroyed = func(c *stay.Call, v *testkit.Counter) {
			hook(c, v)
			v.Count = 99
		}
		states := stay.Register(app, m)
		g := stay.Register(app, testkit.Watched("g", stay.Global, ev))
		var browsers []*testkit.Browser
		for i := range 30 {
			b := testkit.NewBrowser(app)
			for range i + 1 {
				testkit.MustUpdate(t, b.Ctx(), states)
			}
			browsers = append(browsers, b)
		}
		synctest.Wait()
		evicted := ev.Take()
		if len(evicted) < 15 || !slices.Contains(evicted, "destroyed s 1") || slices.Contains(evicted, "destroyed s 30") {
			t.Errorf("eviction told the hook %q", evicted)
		}
		for i, b := range browsers {
			testkit.WantCount(t, b.Ctx(), states, i+1) // a hook's changes are its own
		}
		access.AppOf(app).Evict(false)
		ev.Take()

		testkit.MustUpdate(t, t.Context(), g)
		testkit.MustUpdate(t, t.Context(), g)
		if err := g.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ev.Want(t, "destroyed g 2")
		if err := g.Delete(t.Context()); err != nil { // nothing is there
			t.Fatal(err)
		}
		testkit.MustUpdate(t, t.Context(), g)
		testkit.WantCount(t, browsers[4].Ctx(), states, 5)
		access.AppOf(app).Evict(false)
		got := ev.Take()
		slices.Sort(got)
		if want := []string{"destroyed g 1", "destroyed s 5"}; !slices.Equal(got, want) {
			t.Errorf("Evict told the hook %q, want %q", got, want)
		}

		testkit.MustUpdate(t, t.Context(), g)
		if err := app.Close(t.Context()); err != nil {
			t.Error(err)
		}
		ev.Want(t, "destroyed g 2")
	})
}

// OnDestroyed of ephemeral state: when there is too much of it, when the
// session is destroyed, and when the App is closed.
//
// Proves A12.
func TestOnDestroyedOfEphemeralState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := &testkit.Events{}
		app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxGuests: 2, Logger: slog.New(slog.DiscardHandler)})
		notes := stay.Register(app, testkit.Watched("notes", nil, ev))
		var last *testkit.Browser
		for i := range 3 {
			last = testkit.NewBrowser(app)
			for range i + 1 {
				testkit.MustUpdate(t, last.Ctx(), notes)
			}
		}
		synctest.Wait()
		ev.Want(t, "destroyed notes 1")
		ctx := last.Ctx()
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ev.Want(t, "destroyed notes 3")
		if err := app.Close(t.Context()); err != nil {
			t.Error(err)
		}
		ev.Want(t, "destroyed notes 2")
	})
}

// OnDestroyed is not called for states that nobody kept: states that were only
// read, loads that failed, and instances that are loaded again because others
// wrote the record; that state goes on.
//
// Proves B1, E4.
func TestNotDestroyed(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		ev := &testkit.Events{}
		f := storefault.Wrap(s, nil)
		app := testkit.NewApp(t, f, nil)
		notes := stay.Register(app, testkit.Watched("notes", nil, ev))
		states := stay.Register(app, testkit.Watched("s", stay.PerSession, ev))
		g := stay.Register(app, testkit.Watched("g", stay.Global, ev))
		refuse := func(*testkit.Counter) error { return errors.New("no") }
		for _, st := range []*stay.State[testkit.Counter]{notes, states} {
			testkit.WantCount(t, testkit.NewBrowser(app).Ctx(), st, 0)
			if _, err := st.Update(testkit.NewBrowser(app).Ctx(), refuse); err == nil {
				t.Error("no error")
			}
		}
		down := f.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		_, err := g.Get(t.Context())
		testkit.WantCode(t, err, stay.ErrUnavailable)
		down.Remove()
		ev.Want(t, "error load unavailable")

		testkit.MustUpdate(t, t.Context(), g)
		recs, err := s.Load(t.Context(), []store.Read{{Key: "global/g/"}})
		if err != nil {
			t.Fatal(err)
		}
		w := store.Write{Key: "global/g/", Base: recs[0].Revision, Value: []byte(`{"count":7}`)}
		if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		testkit.MustUpdate(t, t.Context(), g)
		testkit.WantCount(t, t.Context(), g, 8)
		synctest.Wait()
		ev.Want(t)
		if err := app.Close(t.Context()); err != nil {
			t.Error(err)
		}
		ev.Want(t, "destroyed g 8")
	})
}

// The hook runs outside of changes and locks: it may read and, with a context
// from outside, change the very state that left, also when it is evicted in the
// middle of another change.
//
// Proves E8, E10.
func TestOnDestroyedRunsOutsideOfTurns(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewApp(t, s, &stay.Options{MaxInstances: 4})
		var a *stay.State[testkit.Counter]
		var told atomic.Int32
		var late context.Context
		outer := stay.Register(app, stay.Module[testkit.Counter]{Name: "outer", Persist: stay.Global})
		a = stay.Register(app, stay.Module[testkit.Counter]{
			Name: "a", Persist: stay.Global,
			OnDestroyed: func(c *stay.Call, v *testkit.Counter) {
				if told.Add(1) > 1 {
					return
				}
				if v.Count != 1 || c.Module() != "a" {
					t.Errorf("the hook got %+v of %q", v, c.Module())
				}
				late = c.Context()
				_, err := a.Update(late, testkit.Increment)
				testkit.WantCode(t, err, stay.ErrNested)
				testkit.WantCount(t, testkit.Soon(t), a, 1)
				testkit.TryUpdate(t, testkit.Soon(t), a)
				testkit.TryUpdate(t, testkit.Soon(t), outer) // which waits for the change that evicted
			},
		})
		others := stay.Register(app, stay.Module[testkit.Counter]{Name: "others", Persist: stay.PerSession})
		testkit.MustUpdate(t, t.Context(), a)
		if _, err := outer.Update(t.Context(), func(o *testkit.Counter) error {
			for range 6 { // evicts a
				testkit.TryUpdate(t, testkit.NewBrowser(app).Ctx(), others)
			}
			return testkit.Increment(o)
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if told.Load() == 0 {
			t.Fatal("the hook was not called")
		}
		testkit.WantCount(t, t.Context(), a, 2)
		testkit.WantCount(t, t.Context(), outer, 2)
		testkit.MustUpdate(t, late, outer) // the hook is over, so its context is free
	})
}

// However slow the hooks are, what waits for them is bounded, and so are the
// goroutines that call them: loading more of such states waits, and is ErrBusy
// after MaxWait; everything else goes on.
//
// Proves E6.
func TestSlowOnDestroyedIsBounded(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		const limit = 8
		app := testkit.NewApp(t, s, &stay.Options{MaxInstances: limit, MaxWait: time.Second, MaxNewSessions: 100_000})
		goOn := make(chan struct{})
		var running, most atomic.Int32
		slow := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "slow", Persist: stay.PerSession,
			OnDestroyed: func(*stay.Call, *testkit.Counter) {
				most.Store(max(most.Load(), running.Add(1)))
				<-goOn
				running.Add(-1)
			},
		})
		other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
		goroutines := runtime.NumGoroutine()
		loaded := 0
		var err error
		for ; err == nil && loaded < 5000; loaded++ {
			_, err = slow.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment)
		}
		testkit.WantCode(t, err, stay.ErrBusy)
		if loaded < 1000 || loaded > 1100 {
			t.Errorf("%d states were loaded with a hook that waits", loaded)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 4 {
			t.Errorf("%d goroutines more", n)
		}
		testkit.MustUpdate(t, t.Context(), other)
		waited := make(chan error)
		go func() {
			_, err := slow.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment)
			waited <- err
		}()
		synctest.Wait()
		close(goOn)
		if err := <-waited; err != nil {
			t.Errorf("once the hooks return: %v", err)
		}
		synctest.Wait()
		if n := most.Load(); n != 1 {
			t.Errorf("%d hooks at once", n)
		}
	})
}

// Close calls the hooks of all states in memory before it returns, with a
// context that lasts until its own ends; then it gives up on the rest, returns
// an error, and leaves no goroutine.
//
// Proves E7.
func TestCloseCallsOnDestroyed(t *testing.T) {
	for name, patient := range map[string]bool{"patient": true, "impatient": false} {
		t.Run(name, func(t *testing.T) {
			testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
				const n = 1000
				app := stay.New(s, nil)
				var told, cut atomic.Int32
				m := stay.Module[testkit.Counter]{OnDestroyed: func(c *stay.Call, _ *testkit.Counter) {
					select {
					case <-time.After(time.Second):
						told.Add(1)
					case <-c.Context().Done():
						cut.Add(1)
					}
				}}
				for i, p := range []stay.Strategy{stay.PerSession, nil} {
					m.Name, m.Persist = fmt.Sprint("m", i), p
					state := stay.Register(app, m)
					for range n / 2 {
						testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), state)
					}
				}
				ctx := context.Background()
				if !patient {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 10500*time.Millisecond)
					defer cancel()
				}
				err := app.Close(ctx)
				switch {
				case patient && (err != nil || told.Load() != n || cut.Load() != 0):
					t.Errorf("Close: %v after %d hooks, %d cut off; want %d", err, told.Load(), cut.Load(), n)
				case !patient && (!errors.Is(err, context.DeadlineExceeded) || told.Load() != 10 || cut.Load() != 1):
					t.Errorf("Close: %v after %d hooks, %d cut off; want 10 and 1", err, told.Load(), cut.Load())
				}
			})
		})
	}
}

// The same on a store that several processes use, where states are loaded when
// the store is asked for new versions.
//
// Proves E6, N1.
func TestSlowOnDestroyedIsBoundedOnASharedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := testkit.NewApp(t, memstore.Shared(1)[0], &stay.Options{MaxInstances: 8, MaxWait: time.Second})
		goOn := make(chan struct{})
		defer close(goOn)
		slow := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "slow", Persist: stay.PerUser, OnDestroyed: func(*stay.Call, *testkit.Counter) { <-goOn },
		})
		loaded := 0
		var err error
		for ; err == nil && loaded < 3000; loaded++ {
			_, err = slow.At(strconv.Itoa(loaded)).Update(t.Context(), testkit.Increment)
		}
		testkit.WantCode(t, err, stay.ErrBusy)
		if loaded < 1000 || loaded > 1100 {
			t.Errorf("%d states were loaded with a hook that waits", loaded)
		}
	})
}

// What other nodes write counts for MaxBytes too.
//
// Proves E6, N1.
func TestMaxBytesCountsWhatOtherNodesWrite(t *testing.T) {
	handles := memstore.Shared(2)
	var left atomic.Int32
	m := stay.Module[testkit.Profile]{Name: "p", Persist: stay.PerUser}
	far := stay.Register(testkit.NewApp(t, handles[0], nil), m)
	m.OnDestroyed = func(*stay.Call, *testkit.Profile) { left.Add(1) }
	near := testkit.NewApp(t, handles[1], &stay.Options{MaxBytes: 1 << 20})
	p := stay.Register(near, m)
	const n, size = 50, 50_000
	for _, text := range []string{"", strings.Repeat("x", size)} {
		for i := range n {
			key := strconv.Itoa(i)
			testkit.Change(t, t.Context(), far.At(key), func(p *testkit.Profile) error { p.Name = text + key; return nil })
			if got, err := p.At(key).Get(t.Context()); err != nil || got.Name != text+key {
				t.Fatal(err)
			}
		}
	}
	access.AppOf(near).Evict(false) // waits for the hooks
	if got := left.Load(); got <= n {
		t.Errorf("%d states of %d bytes fit into 1 MiB", n, 2*size)
	}
}
