package stay_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// guestSite is an App whose guests have a cart, and everybody some notes.
type guestSite struct {
	*expiring
	cart, notes, seen *stay.State[counter]
	all               *stay.State[counter]
}

// newGuestSite opens the App on a store that stays. expiry is that of the carts.
func newGuestSite(t *testing.T, s store.Store, expiry time.Duration, opts stay.Options) *guestSite {
	t.Helper()
	x := &guestSite{expiring: &expiring{store: s, clock: newClock(), events: &events{}}}
	opts.Clock, opts.IdleTimeout, opts.Logger = x.clock.Now, time.Hour, slog.New(slog.DiscardHandler)
	x.App = newApp(t, unclosed{s}, &opts)
	m := watched("cart", stay.PerUser, x.events)
	m.Expiry = expiry
	m.Adopt = stay.KeepGuest[counter]
	x.cart = stay.Register(x.App, m)
	x.notes = stay.Register(x.App, watched("notes", nil, x.events))
	x.seen = stay.Register(x.App, stay.Module[counter]{Name: "seen", Persist: stay.PerSession})
	x.all = stay.Register(x.App, stay.Module[counter]{Name: "all", Persist: stay.Global})
	return x
}

// A session that is used keeps what it has in memory only, whatever it is used
// for, and loses it when it has been idle.
// Proves S2, S6, A12, A15.
func TestGuestStaysWhileItsSessionIsUsed(t *testing.T) {
	for use, fn := range map[string]func(t *testing.T, x *guestSite, b *browser){
		"a change of another module": func(t *testing.T, x *guestSite, b *browser) { mustUpdate(t, b.ctx(), x.seen) },
		"a read of another module, nothing stored": func(t *testing.T, x *guestSite, b *browser) {
			if _, err := x.seen.Get(b.ctx()); err != nil {
				t.Error(err)
			}
		},
		"a renewal": func(t *testing.T, _ *guestSite, b *browser) {
			ctx := b.ctx()
			noError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
	} {
		for mode, guests := range guestModes {
			t.Run(use+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newGuestSite(t, memstore.New(), 0, stay.Options{Guests: guests})
					b, other := newBrowser(x.App), newBrowser(x.App)
					for _, b := range []*browser{b, other} {
						mustUpdate(t, b.ctx(), x.cart)
						mustUpdate(t, b.ctx(), x.notes)
					}
					for i := range 60 {
						x.sweep(50 * time.Minute)
						fn(t, x, b)
						if got := x.events.take(); i == 0 && len(got) != 0 {
							t.Errorf("the hooks were told %q before any session was idle for long enough", got)
						}
					}
					wantCount(t, other.ctx(), x.cart, 0)
					wantCount(t, other.ctx(), x.notes, 0)
					wantCount(t, b.ctx(), x.cart, 1)
					wantCount(t, b.ctx(), x.notes, 1)
					x.sweep(61*time.Minute + 2*time.Minute)
					got := x.events.take()
					slices.Sort(got)
					if want := []string{"destroyed cart 1", "destroyed notes 1", "expired cart 1", "expired notes 1"}; guests == stay.GuestMemory && !slices.Equal(got, want) {
						t.Errorf("when the session was idle the hooks were told %q, want %q", got, want)
					}
					wantCount(t, b.ctx(), x.cart, 0)
					wantCount(t, b.ctx(), x.notes, 0)
				})
			})
		}
	}
}

// What needs no session is no use of one.
// Proves S2, A12.
func TestGlobalStateKeepsNoGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		b := newBrowser(x.App)
		mustUpdate(t, b.ctx(), x.cart)
		for range 3 {
			x.sweep(25 * time.Minute)
			mustUpdate(t, b.ctx(), x.all)
		}
		x.events.want(t, "expired cart 1", "destroyed cart 1")
	})
}

// A login is a use of the session for what it has in memory: that stays for
// as long as the new cookie is good.
// Proves S2, S5.
func TestLoginIsAUseForWhatIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		b := newBrowser(x.App)
		mustUpdate(t, b.ctx(), x.notes)
		x.clock.Advance(5 * time.Minute) // too early for the session to slide
		login(t, b, "ann")
		x.sweep(58 * time.Minute)
		wantCount(t, b.ctx(), x.notes, 1)
	})
}

// What a session has in memory goes at the end of its lifetime, also if it was
// used just before.
// Proves S6, A15.
func TestMemoryGoesWithTheSessionsLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{Lifetime: 3 * time.Hour})
		b := newBrowser(x.App)
		for range 6 {
			mustUpdate(t, b.ctx(), x.cart)
			x.clock.Advance(29*time.Minute + 50*time.Second)
		}
		wantCount(t, b.ctx(), x.cart, 6)
		x.sweep(2 * time.Minute)
		x.events.want(t, "expired cart 6", "destroyed cart 6")
		wantCount(t, b.ctx(), x.cart, 0)
	})
}

// A clock that was ahead for a while and is set back neither takes what a
// session in use has in memory, nor keeps for long what one that is idle has.
// Proves S2, E6.
func TestMemoryWithAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuestSite(t, memstore.New(), 0, stay.Options{})
		x.clock.Advance(10 * 24 * time.Hour)
		used, idle := newBrowser(x.App), newBrowser(x.App)
		for _, b := range []*browser{idle, used} {
			mustUpdate(t, b.ctx(), x.cart)
		}
		x.clock.Advance(-10 * 24 * time.Hour)
		for range 4 {
			x.sweep(30 * time.Minute)
			if _, err := x.seen.Get(used.ctx()); err != nil {
				t.Error(err)
			}
		}
		x.events.want(t, "expired cart 1", "destroyed cart 1")
		wantCount(t, used.ctx(), x.cart, 1)
	})
}

// Expiry holds for the states of guests, in memory and stored: so long after
// its last change a state is absent, and OnExpire is told, however much it was
// read and the session used.
// Proves A15, S2, S6.
func TestGuestsHaveTheExpiryOfTheirModule(t *testing.T) {
	for mode, guests := range guestModes {
		for _, read := range []bool{true, false} {
			name := mode + "/not looked at"
			if read {
				name = mode + "/read"
			}
			t.Run(name, func(t *testing.T) {
				onEachStoreBubble(t, func(t *testing.T, s store.Store) {
					x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
					b := newBrowser(x.App)
					mustUpdate(t, b.ctx(), x.cart)
					mustUpdate(t, b.ctx(), x.notes)
					x.sweep(9 * time.Minute)
					mustUpdate(t, b.ctx(), x.cart)
					x.sweep(9 * time.Minute)
					wantCount(t, b.ctx(), x.cart, 2)
					if _, err := x.cart.Update(b.ctx(), func(*counter) error { return nil }); err != nil {
						t.Error(err)
					}
					bridge.AppOf(x.App).Evict(false) // a stored one is loaded again
					x.events.take()
					x.clock.Advance(time.Minute - time.Millisecond)
					wantCount(t, b.ctx(), x.cart, 2)
					x.clock.Advance(time.Millisecond)
					if read {
						wantCount(t, b.ctx(), x.cart, 0)
						mustUpdate(t, b.ctx(), x.cart) // it begins anew
					}
					x.sweep(time.Minute)
					if got := x.events.take(); !slices.Contains(got, "expired cart 2") || len(got) > 2 {
						t.Errorf("the hooks were told %q", got)
					}
					if !read {
						wantCount(t, b.ctx(), x.cart, 0)
						return
					}
					wantCount(t, b.ctx(), x.cart, 1)
					wantCount(t, b.ctx(), x.notes, 1)
					x.sweep(10 * time.Minute)
					if got := x.events.take(); !slices.Contains(got, "expired cart 1") {
						t.Errorf("the hooks were told %q", got)
					}
				})
			})
		}
	}
}

// A page load that has nothing to reset does not put the expiry off, and one
// that comes later finds nothing.
// Proves A15, W4.
func TestPageLoadsAndTheExpiryOfGuests(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			clk := newClock()
			app := newApp(t, memstore.New(), &stay.Options{Guests: guests, Clock: clk.Now})
			hold := stay.Register(app, stay.Module[counter]{Name: "hold", Persist: stay.PerUser, Expiry: 10 * time.Minute, ResetOnPageLoad: true})
			b := newBrowser(app)
			change(t, b.ctx(), hold, func(c *counter) error { c.Label = "x"; return nil }) // which a reset keeps
			clk.Advance(6 * time.Minute)
			mustLoadPage(t, b.ctx(), app)
			wantState(t, b.ctx(), hold, `{"count":0,"label":"x"}`)
			clk.Advance(4 * time.Minute)
			mustLoadPage(t, b.ctx(), app)
			wantState(t, b.ctx(), hold, `{"count":0,"label":""}`)
		})
	}
}

// A guest's change that runs past the expiry of its state begins with a new one,
// in memory as in a store.
// Proves A15, E1.
func TestGuestChangeAcrossItsExpiry(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			onEachStoreBubble(t, func(t *testing.T, s store.Store) {
				x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
				b := newBrowser(x.App)
				mustUpdate(t, b.ctx(), x.cart)
				mustUpdate(t, b.ctx(), x.cart)
				runs := 0
				change(t, b.ctx(), x.cart, func(c *counter) error {
					if runs++; runs == 1 {
						x.clock.Advance(10 * time.Minute)
					}
					c.Count++
					return nil
				})
				wantCount(t, b.ctx(), x.cart, 1)
				x.sweep(time.Minute)
				if got := x.events.take(); runs != 2 || !slices.Contains(got, "expired cart 2") {
					t.Errorf("%d runs, the hooks were told %q", runs, got)
				}
			})
		})
	}
}

// A login takes along what has not expired, and only that: also where it had to
// wait until then for a change of the guest's.
// Proves K2, A15.
func TestLoginAtTheExpiryOfTheGuest(t *testing.T) {
	for mode, guests := range guestModes {
		for when, expired := range map[string]bool{"just before": false, "at it": true, "while it waits": true} {
			t.Run(mode+"/"+when, func(t *testing.T) {
				onEachStoreBubble(t, func(t *testing.T, s store.Store) {
					x := newGuestSite(t, s, 10*time.Minute, stay.Options{Guests: guests})
					b := newBrowser(x.App)
					mustUpdate(t, b.ctx(), x.cart)
					x.clock.Advance(10*time.Minute - time.Millisecond)
					if when == "at it" {
						x.clock.Advance(time.Millisecond)
					}
					if when == "while it waits" {
						go func(ctx context.Context) {
							_, _ = x.cart.Update(ctx, func(*counter) error {
								sleepAlone(time.Second)
								return errors.New("no")
							})
						}(b.ctx())
						synctest.Wait()
						go func() {
							sleepAlone(time.Second / 2)
							x.clock.Advance(time.Millisecond)
						}()
					}
					login(t, b, "ann")
					if expired {
						wantCount(t, b.ctx(), x.cart, 0)
					} else {
						wantCount(t, b.ctx(), x.cart, 1)
					}
					x.sweep(time.Minute)
					if told := slices.Contains(x.events.take(), "expired cart 1"); told != expired {
						t.Errorf("OnExpire was told: %v", told)
					}
				})
			})
		}
	}
}

// A guest's state whose time comes while the group that takes it along is at
// the store belongs to the user: it does not expire.
// Proves K2, A15.
func TestGuestExpiresWhileItsLoginIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		f := behindCommitter(unclosed{mem})
		x := newGuestSite(t, f, 10*time.Minute, stay.Options{})
		b := newBrowser(x.App)
		mustUpdate(t, b.ctx(), x.cart)
		guest := b.ctx()
		x.clock.Advance(10*time.Minute - time.Millisecond)
		gate := storefault.NewGate()
		f.Add(storefault.Rule{Op: storefault.Commit, Key: "user/cart/ann", Fault: storefault.Stop(gate)})
		done := make(chan struct{})
		go func() {
			defer close(done)
			login(t, b, "ann")
		}()
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.clock.Advance(time.Millisecond)
		go func() { _, _ = x.cart.Get(guest) }() // finds it expired, and waits
		synctest.Wait()
		x.sweep(0)
		gate.Open()
		<-done
		synctest.Wait()
		wantCount(t, b.ctx(), x.cart, 1)
		x.events.want(t, "destroyed cart 1")
	})
}

// A state that a logout leaves to the guest has the Expiry of its module as well.
// Proves A15, K3.
func TestGuestOfALogoutExpires(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			clk := newClock()
			app := newApp(t, memstore.New(), &stay.Options{Guests: guests, Clock: clk.Now})
			m := todosModule()
			m.Expiry = 10 * time.Minute
			list := stay.Register(app, m)
			b := newBrowser(app)
			must(t)(list.Update(b.ctx(), become("ann")))
			must(t)(list.Update(b.ctx(), func(l *todos) error {
				l.Owner = owner{Role: "left"}
				return nil
			}))
			clk.Advance(10*time.Minute - time.Millisecond)
			wantState(t, b.ctx(), list, `{"owner":{"id":"","role":"left"},"items":null,"theme":"light"}`)
			clk.Advance(time.Millisecond)
			wantState(t, b.ctx(), list, guestState)
		})
	}
}

// Expiry holds for guests whose changes are stored later: they are stored before
// it, and OnExpire is told.
// Proves A14, A15.
func TestDebouncedGuestsExpire(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		ev := &events{}
		app := newApp(t, unclosed{s}, &stay.Options{Guests: stay.GuestStored, Logger: slog.New(slog.DiscardHandler)})
		m := watched("hold", stay.PerUser, ev)
		m.Debounce, m.Expiry = time.Hour, 10*time.Minute
		hold := stay.Register(app, m)
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), hold)
		pass(9 * time.Minute)
		mustUpdate(t, b.ctx(), hold)
		pass(9 * time.Minute)
		wantCount(t, b.ctx(), hold, 2)
		pass(time.Minute)
		wantCount(t, b.ctx(), hold, 0)
		pass(3 * time.Minute)
		if got := ev.take(); !slices.Contains(got, "expired hold 2") {
			t.Errorf("the hooks were told %q", got)
		}
	})
}

// Where a session always reaches the same process, its guests are in that one's
// memory, by the same rules.
// Proves S2, A15, N1.
func TestGuestsInMemoryOfASharedStore(t *testing.T) {
	clk := newClock()
	apps := nodes(t, 2, &stay.Options{Clock: clk.Now, IdleTimeout: time.Hour, Guests: stay.GuestMemory, StickySessions: true})
	seen := stay.Register(apps[0], stay.Module[counter]{Name: "seen", Persist: stay.PerSession})
	cart := stay.Register(apps[0], stay.Module[counter]{Name: "cart", Persist: stay.PerUser})
	offer := stay.Register(apps[0], stay.Module[counter]{Name: "offer", Persist: stay.PerUser, Expiry: 3 * time.Hour})
	b := newBrowser(apps[0])
	mustUpdate(t, b.ctx(), cart)
	mustUpdate(t, b.ctx(), offer)
	for i := range 8 {
		wantCount(t, b.ctx(), seen, i)
		mustUpdate(t, b.ctx(), seen)
		clk.Advance(30 * time.Minute)
		for _, app := range apps {
			sweepNow(app)
		}
	}
	wantCount(t, b.ctx(), cart, 1)
	wantCount(t, b.ctx(), offer, 0)
}
