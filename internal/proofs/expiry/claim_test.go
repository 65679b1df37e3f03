package expiry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Two processes on one store that sweep at the same time, again and again, run
// OnExpire once for each state.
//
// Proves A15, S6.
func TestTwoProcessesExpireEachStateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 300
		s, c := memstore.New(), testkit.NewClock()
		// The calls of the two take turns, so that they meet at every step.
		slow := func() store.Store {
			f := storefault.Wrap(testkit.Unclosed{Store: s}, nil)
			f.Add(storefault.Rule{Fault: storefault.Delay(time.Millisecond, time.Millisecond)})
			return f
		}
		one, two := testkit.NewExpiring(t, slow(), c), testkit.NewExpiring(t, slow(), c)
		var expired atomic.Int32
		m := stay.Module[testkit.Counter]{
			Name: "cart", Persist: stay.PerSession,
			OnExpire: func(_ *stay.Call, v *testkit.Counter) { expired.Add(1) },
		}
		cart := stay.Register(one.App, m)
		stay.Register(two.App, m)
		for range sessions {
			testkit.MustUpdate(t, testkit.NewBrowser(one.App).Ctx(), cart)
		}
		c.Advance(2 * time.Hour)
		var wg sync.WaitGroup
		for range 3 {
			for _, app := range []*testkit.Expiring{one, two} {
				wg.Go(func() { testkit.Sweep(app.App) })
			}
			wg.Wait()
		}
		if n := expired.Load(); n != sessions {
			t.Errorf("OnExpire ran %d times for %d states", n, sessions)
		}
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A process that dies after it has claimed, or after the hook has run, leaves
// the claim behind: nobody runs the hook while it holds, another process does
// when it has expired, and OnExpire has run at least once in the end.
//
// Proves A15.
func TestCrashDuringExpiryLeavesTheHookToAnother(t *testing.T) {
	isDelete := func(call storefault.Call) bool {
		return len(call.Groups) == 1 && slices.ContainsFunc(call.Groups[0], func(w store.Write) bool {
			return w.Op == store.Delete && strings.HasPrefix(w.Key, "session/cart/")
		})
	}
	isClaim := func(call storefault.Call) bool {
		return len(call.Groups) == 1 && call.Groups[0][0].Op == store.Put && strings.HasPrefix(call.Groups[0][0].Key, "stay/claim/")
	}
	for name, c := range map[string]struct {
		rule storefault.Rule
		runs []string // of the hook, before the crash
	}{
		"before the hook":              {storefault.Rule{Op: storefault.Commit, Match: isClaim, Fault: storefault.LoseAck(nil)}, nil},
		"between the hook and deletes": {storefault.Rule{Op: storefault.Commit, Match: isDelete, Fault: storefault.Drop(nil)}, []string{"expired cart 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, clock := memstore.New(), testkit.NewClock()
				f := storefault.Wrap(testkit.Unclosed{Store: s}, nil)
				dies, lives := testkit.NewExpiring(t, f, clock), testkit.NewExpiring(t, s, clock)
				m := testkit.Watched("cart", stay.PerSession, dies.Events)
				m.OnDestroyed = nil
				cart := stay.Register(dies.App, m)
				m = testkit.Watched("cart", stay.PerSession, lives.Events)
				m.OnDestroyed = nil
				stay.Register(lives.App, m)
				testkit.MustUpdate(t, testkit.NewBrowser(dies.App).Ctx(), cart)
				f.Add(c.rule)
				dies.Sweep(2 * time.Hour)
				dies.Events.Want(t, append(c.runs, "error expire unavailable")...)
				lives.Sweep(0)
				lives.Sweep(time.Minute)
				lives.Events.Want(t)
				if left := testkit.AllRows(t, s); len(left) != 3 {
					t.Errorf("left after the crash: %q, want session, state and claim", left)
				}
				lives.Sweep(3 * time.Minute)
				lives.Events.Want(t, "expired cart 1")
				lives.Sweep(3 * time.Minute)
				lives.Events.Want(t)
				if left := testkit.AllRows(t, s); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			})
		})
	}
}

// A state that is created again while the hook runs stays, and the hook may
// change it with a context from outside.
//
// Proves A15, E8.
func TestStateCreatedAgainDuringTheHookStays(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		var offer *stay.State[testkit.Counter]
		m := testkit.Watched("offer", stay.Global, app.Events)
		m.Expiry, m.OnDestroyed = 10*time.Minute, nil
		expired := 0
		m.OnExpire = func(c *stay.Call, v *testkit.Counter) {
			if expired++; v.Count != 3 {
				t.Errorf("the hook got %d, want 3", v.Count)
			}
			if expired == 1 {
				testkit.TryUpdate(t, testkit.Soon(t), offer)
			}
		}
		offer = stay.Register(app.App, m)
		for range 3 {
			testkit.MustUpdate(t, t.Context(), offer)
		}
		app.Sweep(15 * time.Minute)
		testkit.WantCount(t, t.Context(), offer, 1)
		app.Sweep(2 * time.Minute)
		testkit.WantCount(t, t.Context(), offer, 1)
		if expired < 1 || expired > 2 {
			t.Errorf("the hook ran %d times", expired)
		}
		if left := testkit.AllRows(t, s); len(left) != 1 {
			t.Errorf("left: %q", left)
		}
		app.Events.Want(t)
	})
}

// A state that is created again before the sweep has claimed it is not the one
// that expired: it stays, and only the old one gets OnExpire.
//
// Proves A15.
func TestStateCreatedAgainBeforeTheClaimStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		var offer *stay.State[testkit.Counter]
		var once sync.Once
		f := storefault.Wrap(testkit.Unclosed{Store: s}, &storefault.Options{Hook: func(c storefault.Call) {
			if c.Op == storefault.Commit && strings.HasPrefix(c.Keys[0], "stay/claim/") {
				once.Do(func() { testkit.TryUpdate(t, t.Context(), offer) })
			}
		}})
		app := testkit.NewExpiring(t, f, testkit.NewClock())
		m := testkit.Watched("offer", stay.Global, app.Events)
		m.Expiry, m.OnDestroyed = 10*time.Minute, nil
		offer = stay.Register(app.App, m)
		for range 3 {
			testkit.MustUpdate(t, t.Context(), offer)
		}
		app.Sweep(15 * time.Minute)
		testkit.WantCount(t, t.Context(), offer, 1)
		app.Sweep(2 * time.Minute)
		app.Events.Want(t, "expired offer 3")
		testkit.WantCount(t, t.Context(), offer, 1)
		if left := testkit.AllRows(t, s); len(left) != 1 {
			t.Errorf("left: %q", left)
		}
	})
}

// The context of a hook that is still running at the end of the claim ends; the
// other states wait for the next sweep.
//
// Proves A15.
func TestExpiryHooksHaveAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		var ran int
		cart := stay.Register(app.App, stay.Module[testkit.Counter]{
			Name: "cart", Persist: stay.PerSession,
			OnExpire: func(c *stay.Call, _ *testkit.Counter) {
				ran++
				<-c.Context().Done()
			},
		})
		for range 3 {
			testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), cart)
		}
		app.Clock.Advance(2 * time.Hour)
		for i := range 3 {
			began := time.Now()
			testkit.Sweep(app.App)
			if took := time.Since(began); ran != i+1 || took != time.Minute {
				t.Errorf("sweep %d: %d hooks ran in %v", i, ran, took)
			}
			if left, want := len(testkit.AllRows(t, s)), 2*(2-i); left != want {
				t.Errorf("sweep %d: %d records are left, want %d", i, left, want)
			}
		}
	})
}

// Close stops a sweep: the hook that runs may finish within Close's context, no
// other begins, and the remaining states wait for the next process.
//
// Proves A15, E7.
func TestCloseStopsASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := memstore.New(), testkit.NewClock()
		app := testkit.NewExpiring(t, s, c)
		inHook, goOn := make(chan struct{}, 1), make(chan struct{})
		var ran int
		m := stay.Module[testkit.Counter]{
			Name: "cart", Persist: stay.PerSession,
			OnExpire: func(c *stay.Call, _ *testkit.Counter) {
				ran++
				inHook <- struct{}{}
				<-goOn
				if c.Context().Err() != nil {
					t.Error("the hook's context ended before Close's")
				}
			},
		}
		cart := stay.Register(app.App, m)
		for range 3 {
			testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), cart)
		}
		c.Advance(2 * time.Hour)
		<-inHook // the App sweeps by itself
		closed := make(chan error)
		go func() { closed <- app.Close(context.Background()) }()
		synctest.Wait()
		close(goOn)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if left := testkit.AllRows(t, s); ran != 1 || len(left) != 4 {
			t.Errorf("%d hooks ran, left: %q", ran, left)
		}
		next := testkit.NewExpiring(t, s, c)
		m.OnExpire = func(*stay.Call, *testkit.Counter) { ran++ }
		stay.Register(next.App, m)
		next.Sweep(0)
		if left := testkit.AllRows(t, s); ran != 3 || len(left) != 0 {
			t.Errorf("%d hooks ran in all, left: %q", ran, left)
		}
	})
}

// What OnExpire needs and a store lacks is said when the module is registered:
// ephemeral state needs no store.
//
// Proves C5.
func TestOnExpireNeedsAStoreThatExpires(t *testing.T) {
	app := testkit.NewApp(t, store.FromSimple(folder{}), nil)
	onExpire := func(*stay.Call, *testkit.Counter) {}
	for name, persist := range map[string]stay.Strategy{"session": stay.PerSession, "user": stay.PerUser} {
		testkit.WantPanic(t, func() {
			stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: persist, OnExpire: onExpire})
		}, fmt.Sprintf("%q", name), "OnExpire", "Features.Expire")
	}
	stay.Register(app, stay.Module[testkit.Counter]{Name: "notes", OnExpire: onExpire})
	stay.Register(app, stay.Module[testkit.Counter]{Name: "short", Persist: stay.Global, Expiry: time.Hour})

	app = testkit.NewApp(t, memstore.New(), nil)
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "x", Persist: stay.Global, OnExpire: onExpire})
	}, "OnExpire", "never expires", "Expiry")
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "x", Expiry: time.Hour})
	}, "Expiry has no effect", "Persist")
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "x", Persist: stay.Global, Expiry: time.Microsecond})
	}, "Expiry", "millisecond")
}

// A folder is a store.Simple that keeps nothing.
type folder struct{}

func (folder) Load(context.Context, string) ([]byte, error) { return nil, nil }
func (folder) Save(context.Context, string, []byte) error   { return nil }
func (folder) Delete(context.Context, string) error         { return nil }
