package stay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// events records what hooks are told, in order.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf(format, args...))
}

// take returns the events since the last take.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// want fails the test unless the events since the last take are these.
func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	if got := e.take(); !slices.Equal(got, want) {
		t.Errorf("the hooks were told %q, want %q", got, want)
	}
}

// watched is a module whose hooks record what they are told.
func watched(name string, persist stay.Strategy, e *events) stay.Module[counter] {
	m := stay.Module[counter]{
		Name: name, Persist: persist,
		OnDestroyed: func(c *stay.Call, v *counter) { e.add("destroyed %s %d", c.Module(), v.Count) },
		OnExpire:    func(c *stay.Call, v *counter) { e.add("expired %s %d", c.Module(), v.Count) },
		OnError:     func(c *stay.Call, err *stay.Error) { e.add("error %s %s", err.Phase, err.Code) },
	}
	if persist == stay.Global {
		m.Expiry = 1000 * time.Hour // else it would never expire
	}
	return m
}

func (k unclosed) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return k.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

// allRows returns the keys in the store, expired ones included, but for the
// records of all programs.
func allRows(t *testing.T, s store.Store) []string {
	t.Helper()
	keys, err := s.(store.Lister).List(context.Background(), time.Time{}, "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, ofAllPrograms)
}

// expiring is an App on a store that stays, with a clock.
type expiring struct {
	*stay.App
	store  store.Store
	clock  *clock
	events *events
}

func newExpiring(t *testing.T, s store.Store, c *clock) *expiring {
	e := &expiring{store: s, clock: c, events: &events{}}
	e.App = newApp(t, unclosed{s}, &stay.Options{
		Clock: c.Now, IdleTimeout: time.Hour, Lifetime: 24 * time.Hour, MaxNewSessions: 100_000,
		Logger:  slog.New(slog.DiscardHandler),
		OnError: func(_ *stay.Call, err *stay.Error) { e.events.add("error %s %s", err.Phase, err.Code) },
	})
	return e
}

// sweep lets time pass and removes what has expired by then. Hooks of what
// leaves memory have been called when it returns.
func (e *expiring) sweep(d time.Duration) {
	e.clock.Advance(d)
	sweepNow(e.App)
	synctest.Wait()
}

// onEachStoreBubble runs the test in a bubble of synctest for each kind of
// store.
func onEachStoreBubble(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, open()) })
		})
	}
}

// A session that has expired takes its states along: OnExpire gets each one,
// stored or not, before its record is removed, and OnDestroyed after it (A15,
// A12, S6).
func TestA15SessionExpires(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		app := newExpiring(t, s, newClock())
		m := watched("cart", stay.PerSession, app.events)
		hook := m.OnExpire
		m.OnExpire = func(c *stay.Call, v *counter) {
			if rows := strings.Join(allRows(t, s), " "); !strings.Contains(rows, "session/cart/") {
				t.Errorf("the record went before the hook: %s", rows)
			}
			if c.Session() != nil || c.Action() != "" {
				t.Errorf("the hook got session %v and action %q", c.Session(), c.Action())
			}
			hook(c, v)
			v.Count = 99
		}
		cart := stay.Register(app.App, m)
		plain := stay.Register(app.App, stay.Module[counter]{Name: "plain", Persist: stay.PerSession})
		idle := &events{}
		notes := stay.Register(app.App, watched("notes", nil, idle))
		b := newBrowser(app.App)
		mustUpdate(t, b.ctx(), cart)
		mustUpdate(t, b.ctx(), cart)
		mustUpdate(t, b.ctx(), plain)
		mustUpdate(t, b.ctx(), notes)
		app.sweep(59 * time.Minute)
		app.events.want(t)
		app.sweep(5 * time.Minute)
		app.events.want(t, "expired cart 2", "destroyed cart 2")
		idle.want(t, "expired notes 1", "destroyed notes 1")
		if left := allRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		app.sweep(5 * time.Minute)
		app.events.want(t)
	})
}

// A session that ended leaves a tombstone; nothing expires with it, also not a
// state that could not be deleted then (S6).
func TestS6TombstonesExpireSilently(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		f, silent := storefault.Wrap(unclosed{s}, nil), &events{}
		app := newExpiring(t, f, newClock())
		cart := stay.Register(app.App, watched("cart", stay.PerSession, app.events))
		stuck := stay.Register(app.App, watched("stuck", stay.PerSession, silent))
		notes := stay.Register(app.App, watched("notes", nil, app.events))
		b := newBrowser(app.App)
		mustUpdate(t, b.ctx(), cart)
		mustUpdate(t, b.ctx(), stuck)
		mustUpdate(t, b.ctx(), notes)
		ctx := b.ctx()
		f.Add(storefault.Rule{
			Op: storefault.Commit, Key: "session/stuck/" + stay.SessionFrom(ctx).ID(), Times: 1, Fault: storefault.Fail(nil),
		})
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := app.events.take()
		slices.Sort(got)
		if want := []string{"destroyed cart 1", "destroyed notes 1"}; !slices.Equal(got, want) {
			t.Errorf("Destroy told the hooks %q, want %q", got, want)
		}
		if left := allRows(t, s); len(left) != 2 {
			t.Errorf("left by Destroy: %q, want the tombstone and a state", left)
		}
		bridge.AppOf(app.App).Evict(false)
		silent.take()
		app.sweep(2 * time.Hour)
		silent.want(t)
		app.events.want(t)
		if left := allRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A state with Expiry expires so long after its last change; reading does not
// put that off, nor does a change that changes nothing. Memory never serves
// what has expired, and what is used again begins anew (A15, S6).
func TestA15Expiry(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		app := newExpiring(t, s, newClock())
		m := watched("offer", stay.Global, app.events)
		m.Expiry = 10 * time.Minute
		offer := stay.Register(app.App, m)
		ctx := t.Context()
		mustUpdate(t, ctx, offer)
		app.clock.Advance(9 * time.Minute)
		mustUpdate(t, ctx, offer)
		app.clock.Advance(9 * time.Minute)
		wantCount(t, ctx, offer, 2)
		if _, err := offer.Update(ctx, func(*counter) error { return nil }); err != nil {
			t.Fatal(err)
		}
		app.clock.Advance(time.Minute - time.Millisecond)
		wantCount(t, ctx, offer, 2)
		app.clock.Advance(time.Millisecond)
		wantCount(t, ctx, offer, 0)
		synctest.Wait()
		app.events.want(t, "destroyed offer 2")
		app.sweep(5 * time.Minute)
		app.events.want(t, "expired offer 2")

		mustUpdate(t, ctx, offer)
		app.sweep(15 * time.Minute)
		if got := app.events.take(); !slices.Contains(got, "expired offer 1") || !slices.Contains(got, "destroyed offer 1") {
			t.Errorf("a state in memory expired: %q", got)
		}
		wantCount(t, ctx, offer, 0)
		if left := allRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A state that is used again after it has expired begins anew, and the old one
// still gets its OnExpire (A15).
func TestA15UsedAgainBeforeTheSweep(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		c := newClock()
		m := stay.Module[counter]{Name: "offer", Persist: stay.Global, Expiry: 10 * time.Minute, OnExpire: func(*stay.Call, *counter) {}}
		before := newExpiring(t, s, c)
		offer := stay.Register(before.App, m)
		mustUpdate(t, t.Context(), offer)
		mustUpdate(t, t.Context(), offer)
		inMemory := newExpiring(t, memstore.New(), c)
		m2 := watched("offer", stay.Global, inMemory.events)
		m2.Expiry = m.Expiry
		kept := stay.Register(inMemory.App, m2)
		mustUpdate(t, t.Context(), kept)

		c.Advance(time.Hour)
		// The one has to load it, the other one has it in memory.
		after := newExpiring(t, s, c)
		m3 := watched("offer", stay.Global, after.events)
		m3.Expiry = m.Expiry
		offer = stay.Register(after.App, m3)
		mustUpdate(t, t.Context(), offer)
		mustUpdate(t, t.Context(), kept)
		wantCount(t, t.Context(), offer, 1)
		wantCount(t, t.Context(), kept, 1)
		after.sweep(2 * time.Minute)
		after.events.want(t, "expired offer 2")
		inMemory.sweep(0)
		inMemory.events.want(t, "destroyed offer 1", "expired offer 1")
		wantCount(t, t.Context(), offer, 1)
		wantCount(t, t.Context(), kept, 1)
		for _, s := range []store.Store{s, inMemory.store} {
			if left := allRows(t, s); len(left) != 1 {
				t.Errorf("left: %q", left)
			}
		}
	})
}

// The state of a session expires with the session at the latest, however long
// its Expiry is (S6).
func TestS6ExpiryWithinTheSession(t *testing.T) {
	s, c := memstore.New(), newClock()
	app := newExpiring(t, s, c)
	short := stay.Register(app.App, stay.Module[counter]{Name: "short", Persist: stay.PerSession, Expiry: 20 * time.Minute})
	long := stay.Register(app.App, stay.Module[counter]{Name: "long", Persist: stay.PerSession, Expiry: 48 * time.Hour})
	b := newBrowser(app.App)
	born := c.Now()
	expires := func(module string) time.Duration {
		id := stay.SessionFrom(b.ctx()).ID()
		recs, err := s.Load(t.Context(), c.Now(), []store.Read{{Key: "session/" + module + "/" + id}})
		if err != nil {
			t.Fatal(err)
		}
		return recs[0].Expires.Sub(born)
	}
	for i := range 4 {
		mustUpdate(t, b.ctx(), short)
		mustUpdate(t, b.ctx(), long)
		if got, want := expires("short"), time.Duration(i)*15*time.Minute+20*time.Minute; got != want {
			t.Errorf("after change %d the short one expires after %v, want %v", i, got, want)
		}
		if got := expires("long"); got != 24*time.Hour {
			t.Errorf("after change %d the long one expires after %v, want the session's 24h", i, got)
		}
		c.Advance(15 * time.Minute)
	}
	c.Advance(5 * time.Minute)
	wantCount(t, b.ctx(), short, 0)
	wantCount(t, b.ctx(), long, 4)
}

// Ephemeral state that was not used for IdleTimeout expires, and leaves memory
// then (A12, A15).
func TestA12A15IdleExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newExpiring(t, memstore.New(), newClock())
		notes := stay.Register(app.App, watched("notes", nil, app.events))
		used, unused := newBrowser(app.App), newBrowser(app.App)
		for range 600 { // more than one batch
			mustUpdate(t, newBrowser(app.App).ctx(), notes)
		}
		mustUpdate(t, unused.ctx(), notes)
		mustUpdate(t, used.ctx(), notes)
		app.clock.Advance(50 * time.Minute)
		mustUpdate(t, used.ctx(), notes)
		app.sweep(20 * time.Minute)
		got := app.events.take()
		if len(got) != 2*601 || got[0] != "expired notes 1" || got[1] != "destroyed notes 1" {
			t.Errorf("%d calls of hooks, beginning with %q", len(got), got[:min(4, len(got))])
		}
		wantCount(t, used.ctx(), notes, 2)
		wantCount(t, unused.ctx(), notes, 0)
	})
}

// A hook that panics or ends its goroutine is reported, and keeps neither its
// own state nor others from expiring; changing state with its context is
// ErrNested, reading is not (A15, A21, E10).
func TestA15A21HooksThatFail(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		app := newExpiring(t, s, newClock())
		ev := app.events
		other := stay.Register(app.App, stay.Module[counter]{Name: "other", Persist: stay.Global})
		m := watched("cart", stay.PerSession, ev)
		var n int
		m.OnExpire = func(c *stay.Call, v *counter) {
			n++
			_, err := other.Update(c.Context(), increment)
			wantCode(t, err, stay.ErrNested)
			wantCount(t, c.Context(), other, 0)
			switch n {
			case 1:
				panic("no")
			case 2:
				runtime.Goexit()
			}
		}
		m.OnDestroyed = func(c *stay.Call, v *counter) {
			_, err := other.Update(c.Context(), increment)
			wantCode(t, err, stay.ErrNested)
			panic(errors.New("neither"))
		}
		cart := stay.Register(app.App, m)
		for range 3 {
			mustUpdate(t, newBrowser(app.App).ctx(), cart)
		}
		app.sweep(2 * time.Hour)
		got := ev.take()
		slices.Sort(got)
		if want := slices.Concat(
			slices.Repeat([]string{"error onDestroyed internal"}, 3), slices.Repeat([]string{"error onExpire internal"}, 2),
		); !slices.Equal(got, want) {
			t.Errorf("reported: %q", got)
		}
		if left := allRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}
