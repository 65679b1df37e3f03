package stay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// programs are two Apps on one store: the first knows all modules, the second
// is one that a test registers fewer with.
func programs(t *testing.T, c *clock) (knows, lacks *expiring, s store.Store) {
	t.Helper()
	all := memstore.Shared(3)
	return newExpiring(t, all[0], c), newExpiring(t, all[1], c), all[2]
}

// A program that does not register a module leaves its expired states to one
// that does, whose OnExpire is told of each once.
//
// Proves A15.
func TestExpiredStatesAreLeftToTheProgramWithTheHook(t *testing.T) {
	for what, register := range map[string]func(app *stay.App){
		"no module": func(*stay.App) {},
		"no hook": func(app *stay.App) {
			for name, persist := range map[string]stay.Strategy{"own": stay.PerSession, "offer": stay.Global, "profile": stay.PerUser} {
				stay.Register(app, stay.Module[counter]{Name: name, Persist: persist, Expiry: 2 * time.Hour})
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				knows, lacks, s := programs(t, newClock())
				module := func(name string, persist stay.Strategy) *stay.State[counter] {
					m := watched(name, persist, knows.events)
					m.Expiry, m.OnDestroyed = 2*time.Hour, nil
					return stay.Register(knows.App, m)
				}
				own, offer, profile := module("own", stay.PerSession), module("offer", stay.Global), module("profile", stay.PerUser)
				register(lacks.App)
				b := newBrowser(knows.App)
				mustUpdate(t, b.ctx(), own)
				mustUpdate(t, b.ctx(), profile) // a guest's
				mustUpdate(t, t.Context(), offer)
				mustUpdate(t, t.Context(), profile.At("ann"))
				for range 3 {
					lacks.sweep(3 * time.Hour)
				}
				lacks.events.want(t)
				knows.sweep(2 * time.Minute)
				got := knows.events.take()
				slices.Sort(got)
				if want := []string{"expired offer 1", "expired own 1", "expired profile 1", "expired profile 1"}; !slices.Equal(got, want) {
					t.Errorf("the hooks were told %q, want %q", got, want)
				}
				knows.sweep(2 * time.Hour)
				knows.events.want(t)
				if left := allRows(t, s); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		})
	}
}

// More expired states than a sweep goes around do not keep a program from
// removing its own.
//
// Proves A15.
func TestExpiredStatesOfAnotherProgramDoNotHoldUpASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		all := memstore.Shared(3)
		knows, lacks := newExpiring(t, all[0], c), newExpiring(t, oldestFirst{all[1]}, c)
		const many = 5000
		var told atomic.Int32
		profile := stay.Register(knows.App, stay.Module[counter]{
			Name: "profile", Persist: stay.PerUser, Expiry: time.Hour, OnExpire: func(*stay.Call, *counter) { told.Add(1) },
		})
		plain := stay.Register(lacks.App, stay.Module[counter]{Name: "plain", Persist: stay.PerUser, Expiry: 2 * time.Hour})
		for i := range many {
			mustUpdate(t, t.Context(), profile.At(fmt.Sprint(i)))
		}
		mustUpdate(t, t.Context(), plain.At("ann"))
		lacks.sweep(3 * time.Hour)
		lacks.sweep(2 * time.Minute)
		if left := allRows(t, all[2]); slices.Contains(left, "user/plain/ann") || len(left) != many {
			t.Errorf("%d records are left, want the %d of the other program", len(left), many)
		}
		knows.sweep(2 * time.Hour)
		if told.Load() != many {
			t.Errorf("OnExpire was told of %d states, want %d", told.Load(), many)
		}
		if left := allRows(t, all[2]); len(left) != 0 {
			t.Errorf("%d records are left", len(left))
		}
	})
}

// What the guest did in a module goes to the user also where the login is that
// of a program which does not register it: at the next use in one that does.
// What two guests did goes where each of them went.
//
// Proves K2, K3, S5.
func TestLoginOfAProgramWithoutTheModuleBringsTheGuestAlong(t *testing.T) {
	knows, lacks, s := programs(t, newClock())
	profiles, carts := userModules(knows.App)
	named := stay.Register(knows.App, stay.Module[cart]{
		Name: "named", Persist: stay.ResolveKey(func(c *stay.Call, _ *cart) string { return c.Session().User() }),
	})
	other := stay.Register(lacks.App, stay.Module[counter]{Name: "other", Persist: stay.PerUser})

	b := newBrowser(knows.App)
	change(t, b.ctx(), carts, put("pear"))
	change(t, b.ctx(), named, put("plum"))
	b = b.at(lacks.App)
	mustUpdate(t, b.ctx(), other)
	login(t, b, "ann")
	wantCount(t, t.Context(), other.At("ann"), 1)
	logout(t, b)
	login(t, b, "bob") // nobody has done anything since
	b = b.at(knows.App)
	wantState(t, b.ctx(), carts, `{"items":null}`)
	wantState(t, b.ctx(), named, `{"items":null}`)
	wantState(t, b.ctx(), profiles, `{"name":"guest"}`)
	wantState(t, t.Context(), carts.At("ann"), `{"items":["pear"]}`)
	wantState(t, t.Context(), named.At("ann"), `{"items":["plum"]}`)
	for _, key := range allRows(t, s) {
		if strings.HasPrefix(key, "guest/") {
			t.Errorf("left: %q", key)
		}
	}

	logout(t, b)
	change(t, b.ctx(), carts, put("fig"))
	b = b.at(lacks.App)
	login(t, b, "ann")
	b = b.at(knows.App)
	login(t, b, "cyd") // takes along first
	wantState(t, b.ctx(), carts, `{"items":null}`)
	wantState(t, t.Context(), carts.At("ann"), `{"items":["pear","fig"]}`)
}

// A guest's state that cannot come along stays behind, and OnError is told: a
// reader has done nothing wrong.
//
// Proves K3, A21.
func TestAGuestThatCannotComeAlongLaterIsReported(t *testing.T) {
	for what, fail := range map[string]func() error{
		"Adopt refuses": func() error { return errors.New("no") },
		"Adopt panics":  func() error { panic("no") },
	} {
		t.Run(what, func(t *testing.T) {
			knows, lacks, _ := programs(t, newClock())
			carts := stay.Register(knows.App, stay.Module[cart]{
				Name: "cart", Persist: stay.PerUser, Adopt: func(*cart, *cart) error { return fail() },
			})
			change(t, t.Context(), carts.At("ann"), put("fig"))
			b := newBrowser(knows.App)
			change(t, b.ctx(), carts, put("pear"))
			b = b.at(lacks.App)
			login(t, b, "ann")
			b = b.at(knows.App)
			wantState(t, b.ctx(), carts, `{"items":["fig"]}`)
			wantState(t, b.ctx(), carts, `{"items":["fig"]}`)
			if got := knows.events.take(); len(got) != 1 || !strings.HasPrefix(got[0], "error adopt ") {
				t.Errorf("OnError was told %q, want one failure of adopt", got)
			}
		})
	}
}

// Destroy removes the session's states of all modules on the store, whatever
// its program registers, and OnExpire is not told of them.
//
// Proves S5.
func TestDestroyRemovesStatesOfOtherProgramsModules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		knows, lacks, s := programs(t, newClock())
		own := stay.Register(knows.App, watched("own", stay.PerSession, knows.events))
		profile := stay.Register(knows.App, watched("profile", stay.PerUser, knows.events))
		kept := stay.Register(knows.App, watched("kept", stay.PerUser, knows.events))
		b := newBrowser(knows.App)
		mustUpdate(t, b.ctx(), profile)
		mustUpdate(t, b.ctx(), own)
		mustUpdate(t, t.Context(), kept.At("ann"))
		ctx := b.at(lacks.App).ctx()
		noError(t, stay.SessionFrom(ctx).Destroy(ctx))
		left := allRows(t, s)
		if len(left) != 2 || !slices.Contains(left, "user/kept/ann") {
			t.Errorf("left: %q, want the tombstone and the user's state", left)
		}
		lacks.sweep(3 * time.Hour)
		knows.sweep(2 * time.Minute)
		for _, e := range knows.events.take() {
			if strings.HasPrefix(e, "expired") || strings.HasPrefix(e, "error") {
				t.Error(e)
			}
		}
		lacks.events.want(t)
	})
}

// A program makes itself known before it stores the first state of a module, so
// that no other one can come across a state that it knows nothing of.
//
// Proves A15.
func TestModulesAreListedBeforeTheirFirstState(t *testing.T) {
	s := storefault.Wrap(memstore.New(), nil)
	app := newApp(t, s, &stay.Options{OnError: quiet})
	clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
	rule := s.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/modules", Fault: storefault.Fail(nil)})
	b := newBrowser(app)
	_, err := clicks.Update(b.ctx(), increment)
	wantCode(t, err, stay.ErrUnavailable)
	for _, key := range rows(t, s) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("stored %q", key)
		}
	}
	rule.Remove()
	mustUpdate(t, b.ctx(), clicks)

	late := stay.Register(app, stay.Module[counter]{Name: "late", Persist: stay.PerUser})
	mustUpdate(t, t.Context(), late.At("ann"))
	recs, err := s.Load(t.Context(), time.Now(), []store.Read{{Key: "stay/modules"}})
	noError(t, err)
	var list struct{ Modules map[string]any }
	noError(t, json.Unmarshal(recs[0].Value, &list))
	if list.Modules["session/clicks"] == nil || list.Modules["user/late"] == nil {
		t.Errorf("the list is %s", recs[0].Value)
	}
}

// A list that cannot be read stops no change and no login. Only what it might
// say somebody else has a hook of is not removed.
//
// Proves M3, A15.
func TestAListOfModulesThatCannotBeReadStopsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := memstore.New(), newClock()
		res := s.Commit(t.Context(), c.Now(), []store.Group{{{Key: "stay/modules", Version: 1, Value: []byte("{")}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		app := newExpiring(t, s, c)
		own := stay.Register(app.App, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
		b := newBrowser(app.App)
		mustUpdate(t, b.ctx(), own)
		login(t, b, "ann")
		mustUpdate(t, b.ctx(), own)
		app.events.want(t, "error decode corrupt")
		app.sweep(3 * time.Hour)
		app.events.want(t, "error expire corrupt")
		if left := allRows(t, s); len(left) != 3 {
			t.Errorf("left: %q, want the session, its state and the user's list", left)
		}
		recs, err := s.Load(t.Context(), c.Now(), []store.Read{{Key: "stay/modules"}})
		noError(t, err)
		del := store.Group{{Op: store.Delete, Key: "stay/modules", Base: recs[0].Revision}}
		if res := s.Commit(t.Context(), c.Now(), []store.Group{del}); res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		app.sweep(2 * time.Minute)
		app.events.want(t)
		if left := allRows(t, s); len(left) != 1 {
			t.Errorf("left: %q, want the user's list alone", left)
		}
	})
}

// Modules that no program has registered for a month are forgotten: their
// states expire as any other.
//
// Proves A15.
func TestModulesThatNobodyRegistersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := memstore.New(), newClock()
		knows := newExpiring(t, s, c)
		m := watched("offer", stay.Global, knows.events)
		m.Expiry = 40 * 24 * time.Hour
		mustUpdate(t, t.Context(), stay.Register(knows.App, m))
		wantClosed(t, knows.App)
		lacks := newExpiring(t, s, c)
		lacks.sweep(41 * 24 * time.Hour)
		if left := allRows(t, s); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// What is left to other programs is logged, once for each module.
//
// Proves A15, B13.
func TestWhatIsLeftToOtherProgramsIsLoggedOnce(t *testing.T) {
	c, out := newClock(), &strings.Builder{}
	all := memstore.Shared(2)
	knows := newExpiring(t, all[0], c)
	m := watched("profile", stay.PerUser, knows.events)
	m.Expiry = time.Hour
	profile := stay.Register(knows.App, m)
	lacks := newApp(t, all[1], &stay.Options{Clock: c.Now, Logger: slog.New(slog.NewTextHandler(out, nil))})
	mustUpdate(t, t.Context(), profile.At("ann"))
	mustUpdate(t, t.Context(), profile.At("bob"))
	for _, user := range []string{"ann", "bob"} {
		b := newBrowser(knows.App)
		mustUpdate(t, b.ctx(), profile)
		login(t, b.at(lacks), user)
	}
	c.Advance(2 * time.Hour)
	for range 2 {
		stay.Sweep(context.Background(), lacks)
	}
	if got := out.String(); strings.Count(got, "module=profile") != 2 || strings.Contains(got, "ann") {
		t.Errorf("logged:\n%s\nwant one line of the sweep and one of the logins, without names", got)
	}
}

// A process that knows a state to be absent does not write over the expired
// record of one that another process has made since: OnExpire is told of it.
//
// Proves A15, N1.
func TestExpiredStatesOfOtherProcessesAreNotWrittenOver(t *testing.T) {
	for _, hooked := range []bool{true, false} {
		t.Run(fmt.Sprintf("its own hook %t", hooked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there, s := programs(t, newClock())
				module := func(app *expiring, hooked bool) *stay.State[counter] {
					m := watched("offer", stay.PerUser, here.events)
					if m.Expiry, m.OnDestroyed = time.Hour, nil; !hooked {
						m.OnExpire = nil
					}
					return stay.Register(app.App, m)
				}
				offer, same := module(here, true), module(there, hooked)
				_, err := same.At("ann").Get(t.Context())
				wantCode(t, err, stay.ErrNotFound)
				mustUpdate(t, t.Context(), offer.At("ann"))
				here.clock.Advance(2 * time.Hour)
				mustUpdate(t, t.Context(), same.At("ann"))
				wantCount(t, t.Context(), same.At("ann"), 1)
				here.sweep(2 * time.Minute)
				here.events.want(t, "expired offer 1")
				wantCount(t, t.Context(), offer.At("ann"), 1)
				here.sweep(2 * time.Hour)
				here.events.want(t, "expired offer 1")
				if left := allRows(t, s); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		})
	}
}

// A state that had expired before its session was ended has expired all the
// same.
//
// Proves A15, S6.
func TestWhatExpiredBeforeDestroyIsToldAfterIt(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		app := newExpiring(t, s, newClock())
		register := func(name string, expiry time.Duration) *stay.State[counter] {
			m := watched(name, stay.PerSession, app.events)
			m.Expiry, m.OnDestroyed = expiry, nil
			return stay.Register(app.App, m)
		}
		brief, long := register("brief", 10*time.Minute), register("long", 20*time.Minute)
		b := newBrowser(app.App)
		mustUpdate(t, b.ctx(), brief)
		mustUpdate(t, b.ctx(), long)
		app.clock.Advance(15 * time.Minute)
		ctx := b.ctx()
		noError(t, stay.SessionFrom(ctx).Destroy(ctx))
		app.sweep(3 * time.Hour)
		app.events.want(t, "expired brief 1")
		if left := allRows(t, s); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}
