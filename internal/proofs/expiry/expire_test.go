package expiry_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
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

// A session that has expired takes its states along: OnExpire gets each one,
// stored or not, before its record is removed, and OnDestroyed after it.
//
// Proves A12, A15, S6.
func TestSessionThatExpiresTakesItsStatesAlong(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		m := testkit.Watched("cart", stay.PerSession, app.Events)
		hook := m.OnExpire
		m.OnExpire = func(c *stay.Call, v *testkit.Counter) {
			if rows := strings.Join(testkit.AllRows(t, s), " "); !strings.Contains(rows, "session/cart/") {
				t.Errorf("the record went before the hook: %s", rows)
			}
			if c.Session() != nil || c.Action() != "" {
				t.Errorf("the hook got session %v and action %q", c.Session(), c.Action())
			}
			hook(c, v)
			v.Count = 99
		}
		cart := stay.Register(app.App, m)
		plain := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "plain", Persist: stay.PerSession})
		idle := &testkit.Events{}
		notes := stay.Register(app.App, testkit.Watched("notes", nil, idle))
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), cart)
		testkit.MustUpdate(t, b.Ctx(), cart)
		testkit.MustUpdate(t, b.Ctx(), plain)
		testkit.MustUpdate(t, b.Ctx(), notes)
		app.Sweep(59 * time.Minute)
		app.Events.Want(t)
		app.Sweep(5 * time.Minute)
		app.Events.Want(t, "expired cart 2", "destroyed cart 2")
		idle.Want(t, "expired notes 1", "destroyed notes 1")
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		app.Sweep(5 * time.Minute)
		app.Events.Want(t)
	})
}

// A session that ended leaves a tombstone; nothing expires with it, also not a
// state that could not be deleted then.
//
// Proves S6.
func TestTombstonesExpireSilently(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		f, silent := storefault.Wrap(testkit.Unclosed{Store: s}, nil), &testkit.Events{}
		app := testkit.NewExpiring(t, f, testkit.NewClock())
		cart := stay.Register(app.App, testkit.Watched("cart", stay.PerSession, app.Events))
		stuck := stay.Register(app.App, testkit.Watched("stuck", stay.PerSession, silent))
		notes := stay.Register(app.App, testkit.Watched("notes", nil, app.Events))
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), cart)
		testkit.MustUpdate(t, b.Ctx(), stuck)
		testkit.MustUpdate(t, b.Ctx(), notes)
		ctx := b.Ctx()
		f.Add(storefault.Rule{
			Op: storefault.Commit, Key: "session/stuck/" + stay.SessionFrom(ctx).ID(), Times: 1, Fault: storefault.Fail(nil),
		})
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := app.Events.Take()
		slices.Sort(got)
		if want := []string{"destroyed cart 1", "destroyed notes 1"}; !slices.Equal(got, want) {
			t.Errorf("Destroy told the hooks %q, want %q", got, want)
		}
		if left := testkit.AllRows(t, s); len(left) != 2 {
			t.Errorf("left by Destroy: %q, want the tombstone and a state", left)
		}
		access.AppOf(app.App).Evict(false)
		silent.Take()
		app.Sweep(2 * time.Hour)
		silent.Want(t)
		app.Events.Want(t)
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A state with Expiry expires that long after its last change; reading does not
// put that off, nor does a change that changes nothing. Memory never serves an
// expired state, and the next use begins with the initial state.
//
// Proves A15, S6.
func TestExpiryCountsFromTheLastChange(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		m := testkit.Watched("offer", stay.Global, app.Events)
		m.Expiry = 10 * time.Minute
		offer := stay.Register(app.App, m)
		ctx := t.Context()
		testkit.MustUpdate(t, ctx, offer)
		app.Clock.Advance(9 * time.Minute)
		testkit.MustUpdate(t, ctx, offer)
		app.Clock.Advance(9 * time.Minute)
		testkit.WantCount(t, ctx, offer, 2)
		if _, err := offer.Update(ctx, func(*testkit.Counter) error { return nil }); err != nil {
			t.Fatal(err)
		}
		app.Clock.Advance(time.Minute - time.Millisecond)
		testkit.WantCount(t, ctx, offer, 2)
		app.Clock.Advance(time.Millisecond)
		testkit.WantCount(t, ctx, offer, 0)
		synctest.Wait()
		app.Events.Want(t, "destroyed offer 2")
		app.Sweep(5 * time.Minute)
		app.Events.Want(t, "expired offer 2")

		testkit.MustUpdate(t, ctx, offer)
		app.Sweep(15 * time.Minute)
		if got := app.Events.Take(); !slices.Contains(got, "expired offer 1") || !slices.Contains(got, "destroyed offer 1") {
			t.Errorf("a state in memory expired: %q", got)
		}
		testkit.WantCount(t, ctx, offer, 0)
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A state that is used again after it has expired begins with the initial
// value, and OnExpire still gets the old one.
//
// Proves A15.
func TestStateUsedAgainBeforeTheSweepBeginsAnew(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		c := testkit.NewClock()
		m := stay.Module[testkit.Counter]{Name: "offer", Persist: stay.Global, Expiry: 10 * time.Minute, OnExpire: func(*stay.Call, *testkit.Counter) {}}
		before := testkit.NewExpiring(t, s, c)
		offer := stay.Register(before.App, m)
		testkit.MustUpdate(t, t.Context(), offer)
		testkit.MustUpdate(t, t.Context(), offer)
		inMemory := testkit.NewExpiring(t, memstore.New(), c)
		m2 := testkit.Watched("offer", stay.Global, inMemory.Events)
		m2.Expiry = m.Expiry
		kept := stay.Register(inMemory.App, m2)
		testkit.MustUpdate(t, t.Context(), kept)

		c.Advance(time.Hour)
		// The one has to load it, the other one has it in memory.
		after := testkit.NewExpiring(t, s, c)
		m3 := testkit.Watched("offer", stay.Global, after.Events)
		m3.Expiry = m.Expiry
		offer = stay.Register(after.App, m3)
		testkit.MustUpdate(t, t.Context(), offer)
		testkit.MustUpdate(t, t.Context(), kept)
		testkit.WantCount(t, t.Context(), offer, 1)
		testkit.WantCount(t, t.Context(), kept, 1)
		after.Sweep(2 * time.Minute)
		after.Events.Want(t, "expired offer 2")
		inMemory.Sweep(0)
		inMemory.Events.Want(t, "destroyed offer 1", "expired offer 1")
		testkit.WantCount(t, t.Context(), offer, 1)
		testkit.WantCount(t, t.Context(), kept, 1)
		for _, s := range []store.Store{s, inMemory.Store} {
			if left := testkit.AllRows(t, s); len(left) != 1 {
				t.Errorf("left: %q", left)
			}
		}
	})
}

// The state of a session expires with the session at the latest, however long
// its Expiry is.
//
// Proves S6.
func TestStateExpiresWithItsSessionAtTheLatest(t *testing.T) {
	s, c := memstore.New(), testkit.NewClock()
	app := testkit.NewExpiring(t, s, c)
	short := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "short", Persist: stay.PerSession, Expiry: 20 * time.Minute})
	long := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "long", Persist: stay.PerSession, Expiry: 48 * time.Hour})
	b := testkit.NewBrowser(app.App)
	born := c.Now()
	expires := func(module string) time.Duration {
		id := stay.SessionFrom(b.Ctx()).ID()
		recs, err := s.Load(t.Context(), []store.Read{{Key: "session/" + module + "/" + id}})
		if err != nil {
			t.Fatal(err)
		}
		return recs[0].Expires.Sub(born)
	}
	for i := range 4 {
		testkit.MustUpdate(t, b.Ctx(), short)
		testkit.MustUpdate(t, b.Ctx(), long)
		if got, want := expires("short"), time.Duration(i)*15*time.Minute+20*time.Minute; got != want {
			t.Errorf("after change %d the short one expires after %v, want %v", i, got, want)
		}
		if got := expires("long"); got != 24*time.Hour {
			t.Errorf("after change %d the long one expires after %v, want the session's 24h", i, got)
		}
		c.Advance(15 * time.Minute)
	}
	c.Advance(5 * time.Minute)
	testkit.WantCount(t, b.Ctx(), short, 0)
	testkit.WantCount(t, b.Ctx(), long, 4)
}

// Ephemeral state that was not used for IdleTimeout expires, and leaves memory
// then.
//
// Proves A12, A15.
func TestIdleEphemeralStateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := testkit.NewExpiring(t, memstore.New(), testkit.NewClock())
		notes := stay.Register(app.App, testkit.Watched("notes", nil, app.Events))
		used, unused := testkit.NewBrowser(app.App), testkit.NewBrowser(app.App)
		for range 600 { // more than one batch
			testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), notes)
		}
		testkit.MustUpdate(t, unused.Ctx(), notes)
		testkit.MustUpdate(t, used.Ctx(), notes)
		app.Clock.Advance(50 * time.Minute)
		testkit.MustUpdate(t, used.Ctx(), notes)
		app.Sweep(20 * time.Minute)
		got := app.Events.Take()
		if len(got) != 2*601 || got[0] != "expired notes 1" || got[1] != "destroyed notes 1" {
			t.Errorf("%d calls of hooks, beginning with %q", len(got), got[:min(4, len(got))])
		}
		testkit.WantCount(t, used.Ctx(), notes, 2)
		testkit.WantCount(t, unused.Ctx(), notes, 0)
	})
}

// A hook that panics or ends its goroutine is reported, and keeps neither its
// own state nor others from expiring; changing state with its context is
// ErrNested, reading is not.
//
// Proves A15, A21, E10.
func TestHooksThatFailKeepNothingFromExpiring(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		ev := app.Events
		other := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
		m := testkit.Watched("cart", stay.PerSession, ev)
		var n int
		m.OnExpire = func(c *stay.Call, v *testkit.Counter) {
			n++
			_, err := other.Update(c.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrNested)
			testkit.WantCount(t, c.Context(), other, 0)
			switch n {
			case 1:
				panic("no")
			case 2:
				runtime.Goexit()
			}
		}
		m.OnDestroyed = func(c *stay.Call, v *testkit.Counter) {
			_, err := other.Update(c.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrNested)
			panic(errors.New("neither"))
		}
		cart := stay.Register(app.App, m)
		for range 3 {
			testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), cart)
		}
		app.Sweep(2 * time.Hour)
		got := ev.Take()
		slices.Sort(got)
		if want := slices.Concat(
			slices.Repeat([]string{"error onDestroyed internal"}, 3), slices.Repeat([]string{"error onExpire internal"}, 2),
		); !slices.Equal(got, want) {
			t.Errorf("reported: %q", got)
		}
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}
