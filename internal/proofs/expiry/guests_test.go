package expiry_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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

// guestSite is an App whose guests have a cart, and everybody some notes.
type guestSite struct {
	*testkit.Expiring
	cart, notes, seen *stay.State[testkit.Counter]
	all               *stay.State[testkit.Counter]
}

// newGuestSite opens the App on a store that outlives it. expiry is the Expiry
// of the carts.
func newGuestSite(t *testing.T, s store.Store, expiry time.Duration, opts stay.Options) *guestSite {
	t.Helper()
	x := &guestSite{Expiring: &testkit.Expiring{Store: s, Clock: testkit.NewClock(), Events: &testkit.Events{}}}
	opts.Clock, opts.IdleTimeout, opts.Logger = x.Clock.Now, time.Hour, slog.New(slog.DiscardHandler)
	x.App = testkit.NewApp(t, testkit.Unclosed{Store: s}, &opts)
	m := testkit.Watched("cart", stay.PerUser, x.Events)
	m.Expiry = expiry
	m.Adopt = stay.KeepGuest[testkit.Counter]
	x.cart = stay.Register(x.App, m)
	x.notes = stay.Register(x.App, testkit.Watched("notes", nil, x.Events))
	x.seen = stay.Register(x.App, stay.Module[testkit.Counter]{Name: "seen", Persist: stay.PerSession})
	x.all = stay.Register(x.App, stay.Module[testkit.Counter]{Name: "all", Persist: stay.Global})
	return x
}

// A session that is used keeps its states in memory, whatever it is used for,
// and loses them when it has been idle.
//
// Proves A12, A15, S2, S6.
func TestGuestStaysWhileItsSessionIsUsed(t *testing.T) {
	for use, fn := range map[string]func(t *testing.T, x *guestSite, b *testkit.Browser){
		"a change of another module": func(t *testing.T, x *guestSite, b *testkit.Browser) { testkit.MustUpdate(t, b.Ctx(), x.seen) },
		"a read of another module, nothing stored": func(t *testing.T, x *guestSite, b *testkit.Browser) {
			if _, err := x.seen.Get(b.Ctx()); err != nil {
				t.Error(err)
			}
		},
		"a renewal": func(t *testing.T, _ *guestSite, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
	} {
		for mode, guests := range testkit.GuestModes {
			t.Run(use+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newGuestSite(t, memstore.New(), 0, stay.Options{Guests: guests})
					b, other := testkit.NewBrowser(x.App), testkit.NewBrowser(x.App)
					for _, b := range []*testkit.Browser{b, other} {
						testkit.MustUpdate(t, b.Ctx(), x.cart)
						testkit.MustUpdate(t, b.Ctx(), x.notes)
					}
					for i := range 60 {
						x.Sweep(50 * time.Minute)
						fn(t, x, b)
						if got := x.Events.Take(); i == 0 && len(got) != 0 {
							t.Errorf("the hooks were told %q before any session was idle for long enough", got)
						}
					}
					testkit.WantCount(t, other.Ctx(), x.cart, 0)
					testkit.WantCount(t, other.Ctx(), x.notes, 0)
					testkit.WantCount(t, b.Ctx(), x.cart, 1)
					testkit.WantCount(t, b.Ctx(), x.notes, 1)
					x.Sweep(61*time.Minute + 2*time.Minute)
					got := x.Events.Take()
					slices.Sort(got)
					if want := []string{"destroyed cart 1", "destroyed notes 1", "expired cart 1", "expired notes 1"}; guests == stay.GuestMemory && !slices.Equal(got, want) {
						t.Errorf("when the session was idle the hooks were told %q, want %q", got, want)
					}
					testkit.WantCount(t, b.Ctx(), x.cart, 0)
					testkit.WantCount(t, b.Ctx(), x.notes, 0)
				})
			})
		}
	}
}

// Work without a session does not count as a use of one.
//
// Proves A12, S2.
func TestGlobalStateKeepsNoGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		b := testkit.NewBrowser(x.App)
		testkit.MustUpdate(t, b.Ctx(), x.cart)
		for range 3 {
			x.Sweep(25 * time.Minute)
			testkit.MustUpdate(t, b.Ctx(), x.all)
		}
		x.Events.Want(t, "expired cart 1", "destroyed cart 1")
	})
}

// A login is a use of the session for its states in memory: they stay as long
// as the new cookie is valid.
//
// Proves S2, S5.
func TestLoginIsAUseForWhatIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		b := testkit.NewBrowser(x.App)
		testkit.MustUpdate(t, b.Ctx(), x.notes)
		x.Clock.Advance(5 * time.Minute) // too early for the session to slide
		testkit.Login(t, b, "ann")
		x.Sweep(58 * time.Minute)
		testkit.WantCount(t, b.Ctx(), x.notes, 1)
	})
}

// What a session has in memory goes at the end of its lifetime, also if it was
// used just before.
//
// Proves A15, S6.
func TestMemoryGoesWithTheSessionsLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{Lifetime: 3 * time.Hour})
		b := testkit.NewBrowser(x.App)
		for range 6 {
			testkit.MustUpdate(t, b.Ctx(), x.cart)
			x.Clock.Advance(29*time.Minute + 50*time.Second)
		}
		testkit.WantCount(t, b.Ctx(), x.cart, 6)
		x.Sweep(2 * time.Minute)
		x.Events.Want(t, "expired cart 6", "destroyed cart 6")
		testkit.WantCount(t, b.Ctx(), x.cart, 0)
	})
}

// A clock that was ahead for a while and is set back neither removes the states
// of a session in use from memory, nor keeps those of an idle one for long.
//
// Proves E6, S2.
func TestMemoryWithAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		x.Clock.Advance(10 * 24 * time.Hour)
		used, idle := testkit.NewBrowser(x.App), testkit.NewBrowser(x.App)
		for _, b := range []*testkit.Browser{idle, used} {
			testkit.MustUpdate(t, b.Ctx(), x.cart)
		}
		x.Clock.Advance(-10 * 24 * time.Hour)
		for range 4 {
			x.Sweep(30 * time.Minute)
			if _, err := x.seen.Get(used.Ctx()); err != nil {
				t.Error(err)
			}
		}
		x.Events.Want(t, "expired cart 1", "destroyed cart 1")
		testkit.WantCount(t, used.Ctx(), x.cart, 1)
	})
}

// Expiry holds for the states of guests, in memory and stored: that long after
// its last change a state is absent, and OnExpire runs, however much the state
// was read and the session used.
//
// Proves A15, S2, S6.
func TestGuestsHaveTheExpiryOfTheirModule(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		for _, read := range []bool{true, false} {
			name := mode + "/not looked at"
			if read {
				name = mode + "/read"
			}
			t.Run(name, func(t *testing.T) {
				testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
					x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
					b := testkit.NewBrowser(x.App)
					testkit.MustUpdate(t, b.Ctx(), x.cart)
					testkit.MustUpdate(t, b.Ctx(), x.notes)
					x.Sweep(9 * time.Minute)
					testkit.MustUpdate(t, b.Ctx(), x.cart)
					x.Sweep(9 * time.Minute)
					testkit.WantCount(t, b.Ctx(), x.cart, 2)
					if _, err := x.cart.Update(b.Ctx(), func(*testkit.Counter) error { return nil }); err != nil {
						t.Error(err)
					}
					access.AppOf(x.App).Evict(false) // a stored one is loaded again
					x.Events.Take()
					x.Clock.Advance(time.Minute - time.Millisecond)
					testkit.WantCount(t, b.Ctx(), x.cart, 2)
					x.Clock.Advance(time.Millisecond)
					if read {
						testkit.WantCount(t, b.Ctx(), x.cart, 0)
						testkit.MustUpdate(t, b.Ctx(), x.cart) // it begins with the initial state
					}
					x.Sweep(time.Minute)
					if got := x.Events.Take(); !slices.Contains(got, "expired cart 2") || len(got) > 2 {
						t.Errorf("the hooks were told %q", got)
					}
					if !read {
						testkit.WantCount(t, b.Ctx(), x.cart, 0)
						return
					}
					testkit.WantCount(t, b.Ctx(), x.cart, 1)
					testkit.WantCount(t, b.Ctx(), x.notes, 1)
					x.Sweep(10 * time.Minute)
					if got := x.Events.Take(); !slices.Contains(got, "expired cart 1") {
						t.Errorf("the hooks were told %q", got)
					}
				})
			})
		}
	}
}

// A page load that has nothing to reset does not put the expiry off, and one
// that comes later finds nothing.
//
// Proves A15, W4.
func TestPageLoadsAndTheExpiryOfGuests(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			clk := testkit.NewClock()
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Guests: guests, Clock: clk.Now})
			hold := stay.Register(app, stay.Module[testkit.Counter]{Name: "hold", Persist: stay.PerUser, Expiry: 10 * time.Minute, ResetOnPageLoad: true})
			b := testkit.NewBrowser(app)
			testkit.Change(t, b.Ctx(), hold, func(c *testkit.Counter) error { c.Label = "x"; return nil }) // which a reset keeps
			clk.Advance(6 * time.Minute)
			testkit.MustLoadPage(t, b.Ctx(), app)
			testkit.WantState(t, b.Ctx(), hold, `{"count":0,"label":"x"}`)
			clk.Advance(4 * time.Minute)
			testkit.MustLoadPage(t, b.Ctx(), app)
			testkit.WantState(t, b.Ctx(), hold, `{"count":0,"label":""}`)
		})
	}
}

// A guest's change that runs past the expiry of its state begins with a new one,
// in memory as in a store.
//
// Proves A15, E1.
func TestGuestChangeAcrossItsExpiry(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
				x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
				b := testkit.NewBrowser(x.App)
				testkit.MustUpdate(t, b.Ctx(), x.cart)
				testkit.MustUpdate(t, b.Ctx(), x.cart)
				runs := 0
				testkit.Change(t, b.Ctx(), x.cart, func(c *testkit.Counter) error {
					if runs++; runs == 1 {
						x.Clock.Advance(10 * time.Minute)
					}
					c.Count++
					return nil
				})
				testkit.WantCount(t, b.Ctx(), x.cart, 1)
				x.Sweep(time.Minute)
				if got := x.Events.Take(); runs != 2 || !slices.Contains(got, "expired cart 2") {
					t.Errorf("%d runs, the hooks were told %q", runs, got)
				}
			})
		})
	}
}

// A login adopts a state that has not expired, and only that: even if it had to
// wait until then for a change of the guest's.
//
// Proves A15, K2.
func TestLoginAtTheExpiryOfTheGuest(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		for when, expired := range map[string]bool{"just before": false, "at it": true, "while it waits": true} {
			t.Run(mode+"/"+when, func(t *testing.T) {
				testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
					x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
					b := testkit.NewBrowser(x.App)
					testkit.MustUpdate(t, b.Ctx(), x.cart)
					x.Clock.Advance(10*time.Minute - time.Millisecond)
					if when == "at it" {
						x.Clock.Advance(time.Millisecond)
					}
					if when == "while it waits" {
						go func(ctx context.Context) {
							_, _ = x.cart.Update(ctx, func(*testkit.Counter) error {
								testkit.SleepAlone(time.Second)
								return errors.New("no")
							})
						}(b.Ctx())
						synctest.Wait()
						go func() {
							testkit.SleepAlone(time.Second / 2)
							x.Clock.Advance(time.Millisecond)
						}()
					}
					testkit.Login(t, b, "ann")
					if expired {
						testkit.WantCount(t, b.Ctx(), x.cart, 0)
					} else {
						testkit.WantCount(t, b.Ctx(), x.cart, 1)
					}
					x.Sweep(time.Minute)
					if told := slices.Contains(x.Events.Take(), "expired cart 1"); told != expired {
						t.Errorf("OnExpire was told: %v", told)
					}
				})
			})
		}
	}
}

// A guest's state whose time comes while the group of the login is at the store
// belongs to the user: it does not expire.
//
// Proves A15, K2.
func TestGuestExpiresWhileItsLoginIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		f := testkit.BehindCommitter(testkit.Unclosed{Store: mem})
		x := newGuestSite(t, f, 10*time.Minute, stay.Options{})
		b := testkit.NewBrowser(x.App)
		testkit.MustUpdate(t, b.Ctx(), x.cart)
		guest := b.Ctx()
		x.Clock.Advance(10*time.Minute - time.Millisecond)
		gate := storefault.NewGate()
		f.Add(storefault.Rule{Op: storefault.Commit, Key: "user/cart/ann", Fault: storefault.Stop(gate)})
		done := make(chan struct{})
		go func() {
			defer close(done)
			testkit.Login(t, b, "ann")
		}()
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.Clock.Advance(time.Millisecond)
		go func() { _, _ = x.cart.Get(guest) }() // finds it expired, and waits
		synctest.Wait()
		x.Sweep(0)
		gate.Open()
		<-done
		synctest.Wait()
		testkit.WantCount(t, b.Ctx(), x.cart, 1)
		x.Events.Want(t, "destroyed cart 1")
	})
}

// A state that a logout leaves to the guest has the Expiry of its module as well.
//
// Proves A15, K3.
func TestGuestOfALogoutExpires(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			clk := testkit.NewClock()
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Guests: guests, Clock: clk.Now})
			m := testkit.TodosModule()
			m.Expiry = 10 * time.Minute
			list := stay.Register(app, m)
			b := testkit.NewBrowser(app)
			testkit.Must(t)(list.Update(b.Ctx(), testkit.Become("ann")))
			testkit.Must(t)(list.Update(b.Ctx(), func(l *testkit.Todos) error {
				l.Owner = testkit.Owner{Role: "left"}
				return nil
			}))
			clk.Advance(10*time.Minute - time.Millisecond)
			testkit.WantState(t, b.Ctx(), list, `{"owner":{"id":"","role":"left"},"items":null,"theme":"light"}`)
			clk.Advance(time.Millisecond)
			testkit.WantState(t, b.Ctx(), list, testkit.GuestState)
		})
	}
}

// Expiry holds for guests whose changes are stored later: they are stored
// before it, and OnExpire runs.
//
// Proves A14, A15.
func TestDebouncedGuestsExpire(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		ev := &testkit.Events{}
		app := testkit.NewApp(t, testkit.Unclosed{Store: s}, &stay.Options{Guests: stay.GuestStored, Logger: slog.New(slog.DiscardHandler)})
		m := testkit.Watched("hold", stay.PerUser, ev)
		m.Debounce, m.Expiry = time.Hour, 10*time.Minute
		hold := stay.Register(app, m)
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), hold)
		testkit.Sleep(9 * time.Minute)
		testkit.MustUpdate(t, b.Ctx(), hold)
		testkit.Sleep(9 * time.Minute)
		testkit.WantCount(t, b.Ctx(), hold, 2)
		testkit.Sleep(time.Minute)
		testkit.WantCount(t, b.Ctx(), hold, 0)
		testkit.Sleep(3 * time.Minute)
		if got := ev.Take(); !slices.Contains(got, "expired hold 2") {
			t.Errorf("the hooks were told %q", got)
		}
	})
}

// Where a session always reaches the same process, its guests are in that one's
// memory, by the same rules.
//
// Proves A15, S2, N1.
func TestGuestsInMemoryOfASharedStore(t *testing.T) {
	clk := testkit.NewClock()
	apps := testkit.Nodes(t, 2, &stay.Options{Clock: clk.Now, IdleTimeout: time.Hour, Guests: stay.GuestMemory, StickySessions: true})
	seen := stay.Register(apps[0], stay.Module[testkit.Counter]{Name: "seen", Persist: stay.PerSession})
	cart := stay.Register(apps[0], stay.Module[testkit.Counter]{Name: "cart", Persist: stay.PerUser})
	offer := stay.Register(apps[0], stay.Module[testkit.Counter]{Name: "offer", Persist: stay.PerUser, Expiry: 3 * time.Hour})
	b := testkit.NewBrowser(apps[0])
	testkit.MustUpdate(t, b.Ctx(), cart)
	testkit.MustUpdate(t, b.Ctx(), offer)
	for i := range 8 {
		testkit.WantCount(t, b.Ctx(), seen, i)
		testkit.MustUpdate(t, b.Ctx(), seen)
		clk.Advance(30 * time.Minute)
		for _, app := range apps {
			testkit.Sweep(app)
		}
	}
	testkit.WantCount(t, b.Ctx(), cart, 1)
	testkit.WantCount(t, b.Ctx(), offer, 0)
}
