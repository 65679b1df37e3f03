package nodes_test

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

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// programs are two Apps on one store: the first knows all modules, the second
// is one that a test registers fewer with.
func programs(t *testing.T, c *testkit.Clock) (knows, lacks *testkit.Expiring, s store.Store) {
	t.Helper()
	all := memstore.Shared(3)
	return testkit.NewExpiring(t, all[0], c), testkit.NewExpiring(t, all[1], c), all[2]
}

// A program that does not register a module leaves its expired states to one
// that does, whose OnExpire gets each one once.
//
// Proves A15.
func TestExpiredStatesAreLeftToTheProgramWithTheHook(t *testing.T) {
	for what, register := range map[string]func(app *stay.App){
		"no module": func(*stay.App) {},
		"no hook": func(app *stay.App) {
			for name, persist := range map[string]stay.Strategy{"own": stay.PerSession, "offer": stay.Global, "profile": stay.PerUser} {
				stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: persist, Expiry: 2 * time.Hour})
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				knows, lacks, s := programs(t, testkit.NewClock())
				module := func(name string, persist stay.Strategy) *stay.State[testkit.Counter] {
					m := testkit.Watched(name, persist, knows.Events)
					m.Expiry, m.OnDestroyed = 2*time.Hour, nil
					return stay.Register(knows.App, m)
				}
				own, offer, profile := module("own", stay.PerSession), module("offer", stay.Global), module("profile", stay.PerUser)
				register(lacks.App)
				b := testkit.NewBrowser(knows.App)
				testkit.MustUpdate(t, b.Ctx(), own)
				testkit.MustUpdate(t, b.Ctx(), profile) // a guest's
				testkit.MustUpdate(t, t.Context(), offer)
				testkit.MustUpdate(t, t.Context(), profile.At("ann"))
				for range 3 {
					lacks.Sweep(3 * time.Hour)
				}
				lacks.Events.Want(t)
				knows.Sweep(2 * time.Minute)
				got := knows.Events.Take()
				slices.Sort(got)
				if want := []string{"expired offer 1", "expired own 1", "expired profile 1", "expired profile 1"}; !slices.Equal(got, want) {
					t.Errorf("the hooks were told %q, want %q", got, want)
				}
				knows.Sweep(2 * time.Hour)
				knows.Events.Want(t)
				if left := testkit.AllRows(t, s); len(left) != 0 {
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
		c := testkit.NewClock()
		all := memstore.Shared(3)
		knows, lacks := testkit.NewExpiring(t, all[0], c), testkit.NewExpiring(t, testkit.OldestFirst{Store: all[1]}, c)
		const many = 5000
		var told atomic.Int32
		profile := stay.Register(knows.App, stay.Module[testkit.Counter]{
			Name: "profile", Persist: stay.PerUser, Expiry: time.Hour, OnExpire: func(*stay.Call, *testkit.Counter) { told.Add(1) },
		})
		plain := stay.Register(lacks.App, stay.Module[testkit.Counter]{Name: "plain", Persist: stay.PerUser, Expiry: 2 * time.Hour})
		for i := range many {
			testkit.MustUpdate(t, t.Context(), profile.At(fmt.Sprint(i)))
		}
		testkit.MustUpdate(t, t.Context(), plain.At("ann"))
		lacks.Sweep(3 * time.Hour)
		lacks.Sweep(2 * time.Minute)
		if left := testkit.AllRows(t, all[2]); slices.Contains(left, "user/plain/ann") || len(left) != many {
			t.Errorf("%d records are left, want the %d of the other program", len(left), many)
		}
		knows.Sweep(2 * time.Hour)
		if told.Load() != many {
			t.Errorf("OnExpire was told of %d states, want %d", told.Load(), many)
		}
		if left := testkit.AllRows(t, all[2]); len(left) != 0 {
			t.Errorf("%d records are left", len(left))
		}
	})
}

// The user gets the guest's state of a module even if the program of the login
// does not register the module: at the next use in a program that does. The
// states of two guests go to their own users.
//
// Proves K2, K3, S5.
func TestLoginOfAProgramWithoutTheModuleBringsTheGuestAlong(t *testing.T) {
	knows, lacks, s := programs(t, testkit.NewClock())
	profiles, carts := testkit.UserModules(knows.App)
	named := stay.Register(knows.App, stay.Module[testkit.Cart]{
		Name: "named", Persist: stay.ResolveKey(func(c *stay.Call, _ *testkit.Cart) string { return c.Session().User() }),
	})
	other := stay.Register(lacks.App, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerUser})

	b := testkit.NewBrowser(knows.App)
	testkit.Change(t, b.Ctx(), carts, testkit.Put("pear"))
	testkit.Change(t, b.Ctx(), named, testkit.Put("plum"))
	b = b.On(lacks.App)
	testkit.MustUpdate(t, b.Ctx(), other)
	testkit.Login(t, b, "ann")
	testkit.WantCount(t, t.Context(), other.At("ann"), 1)
	testkit.Logout(t, b)
	testkit.Login(t, b, "bob") // nothing has happened since
	b = b.On(knows.App)
	testkit.WantState(t, b.Ctx(), carts, `{"items":null}`)
	testkit.WantState(t, b.Ctx(), named, `{"items":null}`)
	testkit.WantState(t, b.Ctx(), profiles, `{"name":"guest"}`)
	testkit.WantState(t, t.Context(), carts.At("ann"), `{"items":["pear"]}`)
	testkit.WantState(t, t.Context(), named.At("ann"), `{"items":["plum"]}`)
	for _, key := range testkit.AllRows(t, s) {
		if strings.HasPrefix(key, "guest/") {
			t.Errorf("left: %q", key)
		}
	}

	testkit.Logout(t, b)
	testkit.Change(t, b.Ctx(), carts, testkit.Put("fig"))
	b = b.On(lacks.App)
	testkit.Login(t, b, "ann")
	b = b.On(knows.App)
	testkit.Login(t, b, "cyd") // adopts first
	testkit.WantState(t, b.Ctx(), carts, `{"items":null}`)
	testkit.WantState(t, t.Context(), carts.At("ann"), `{"items":["pear","fig"]}`)
}

// A guest's state that cannot be adopted is left, and OnError gets the failure:
// a reader has done nothing wrong.
//
// Proves A21, K3.
func TestAGuestThatCannotComeAlongLaterIsReported(t *testing.T) {
	for what, fail := range map[string]func() error{
		"Adopt refuses": func() error { return errors.New("no") },
		"Adopt panics":  func() error { panic("no") },
	} {
		t.Run(what, func(t *testing.T) {
			knows, lacks, _ := programs(t, testkit.NewClock())
			carts := stay.Register(knows.App, stay.Module[testkit.Cart]{
				Name: "cart", Persist: stay.PerUser, Adopt: func(*testkit.Cart, *testkit.Cart) error { return fail() },
			})
			testkit.Change(t, t.Context(), carts.At("ann"), testkit.Put("fig"))
			b := testkit.NewBrowser(knows.App)
			testkit.Change(t, b.Ctx(), carts, testkit.Put("pear"))
			b = b.On(lacks.App)
			testkit.Login(t, b, "ann")
			b = b.On(knows.App)
			testkit.WantState(t, b.Ctx(), carts, `{"items":["fig"]}`)
			testkit.WantState(t, b.Ctx(), carts, `{"items":["fig"]}`)
			if got := knows.Events.Take(); len(got) != 1 || !strings.HasPrefix(got[0], "error adopt ") {
				t.Errorf("OnError was told %q, want one failure of adopt", got)
			}
		})
	}
}

// Destroy removes the session's states of all modules on the store, whatever
// its program registers, and OnExpire does not get them.
//
// Proves S5.
func TestDestroyRemovesStatesOfOtherProgramsModules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		knows, lacks, s := programs(t, testkit.NewClock())
		own := stay.Register(knows.App, testkit.Watched("own", stay.PerSession, knows.Events))
		profile := stay.Register(knows.App, testkit.Watched("profile", stay.PerUser, knows.Events))
		kept := stay.Register(knows.App, testkit.Watched("kept", stay.PerUser, knows.Events))
		b := testkit.NewBrowser(knows.App)
		testkit.MustUpdate(t, b.Ctx(), profile)
		testkit.MustUpdate(t, b.Ctx(), own)
		testkit.MustUpdate(t, t.Context(), kept.At("ann"))
		ctx := b.On(lacks.App).Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
		left := testkit.AllRows(t, s)
		if len(left) != 2 || !slices.Contains(left, "user/kept/ann") {
			t.Errorf("left: %q, want the tombstone and the user's state", left)
		}
		lacks.Sweep(3 * time.Hour)
		knows.Sweep(2 * time.Minute)
		for _, e := range knows.Events.Take() {
			if strings.HasPrefix(e, "expired") || strings.HasPrefix(e, "error") {
				t.Error(e)
			}
		}
		lacks.Events.Want(t)
	})
}

// A program makes itself known before it stores the first state of a module, so
// that no other one can come across a state that it knows nothing of.
//
// Proves A15.
func TestModulesAreListedBeforeTheirFirstState(t *testing.T) {
	s := storefault.Wrap(memstore.New(), nil)
	app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
	clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
	rule := s.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/modules", Fault: storefault.Fail(nil)})
	b := testkit.NewBrowser(app)
	_, err := clicks.Update(b.Ctx(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrUnavailable)
	for _, key := range testkit.Rows(t, s) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("stored %q", key)
		}
	}
	rule.Remove()
	testkit.MustUpdate(t, b.Ctx(), clicks)

	late := stay.Register(app, stay.Module[testkit.Counter]{Name: "late", Persist: stay.PerUser})
	testkit.MustUpdate(t, t.Context(), late.At("ann"))
	recs, err := s.Load(t.Context(), []store.Read{{Key: "stay/modules"}})
	testkit.NoError(t, err)
	var list struct{ Modules map[string]any }
	testkit.NoError(t, json.Unmarshal(recs[0].Value, &list))
	if list.Modules["session/clicks"] == nil || list.Modules["user/late"] == nil {
		t.Errorf("the list is %s", recs[0].Value)
	}
}

// A list that cannot be read stops no change and no login. Only states that may
// have a hook in another program are not removed.
//
// Proves A15, M3.
func TestAListOfModulesThatCannotBeReadStopsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := memstore.New(), testkit.NewClock()
		res := s.Commit(t.Context(), []store.Group{{{Key: "stay/modules", Version: 1, Value: []byte("{")}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		app := testkit.NewExpiring(t, s, c)
		own := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), own)
		testkit.Login(t, b, "ann")
		testkit.MustUpdate(t, b.Ctx(), own)
		app.Events.Want(t, "error decode corrupt")
		app.Sweep(3 * time.Hour)
		app.Events.Want(t, "error expire corrupt")
		if left := testkit.AllRows(t, s); len(left) != 3 {
			t.Errorf("left: %q, want the session, its state and the user's list", left)
		}
		recs, err := s.Load(t.Context(), []store.Read{{Key: "stay/modules"}})
		testkit.NoError(t, err)
		del := store.Group{{Op: store.Delete, Key: "stay/modules", Base: recs[0].Revision}}
		if res := s.Commit(t.Context(), []store.Group{del}); res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		app.Sweep(2 * time.Minute)
		app.Events.Want(t)
		if left := testkit.AllRows(t, s); len(left) != 1 {
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
		s, c := memstore.New(), testkit.NewClock()
		knows := testkit.NewExpiring(t, s, c)
		m := testkit.Watched("offer", stay.Global, knows.Events)
		m.Expiry = 40 * 24 * time.Hour
		testkit.MustUpdate(t, t.Context(), stay.Register(knows.App, m))
		testkit.WantClosed(t, knows.App)
		lacks := testkit.NewExpiring(t, s, c)
		lacks.Sweep(41 * 24 * time.Hour)
		if left := testkit.AllRows(t, s); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// What is left to other programs is logged, once for each module.
//
// Proves A15.
func TestWhatIsLeftToOtherProgramsIsLoggedOnce(t *testing.T) {
	c, out := testkit.NewClock(), &strings.Builder{}
	all := memstore.Shared(2)
	knows := testkit.NewExpiring(t, all[0], c)
	m := testkit.Watched("profile", stay.PerUser, knows.Events)
	m.Expiry = time.Hour
	profile := stay.Register(knows.App, m)
	lacks := testkit.NewApp(t, all[1], &stay.Options{Clock: c.Now, Logger: slog.New(slog.NewTextHandler(out, nil))})
	testkit.MustUpdate(t, t.Context(), profile.At("ann"))
	testkit.MustUpdate(t, t.Context(), profile.At("bob"))
	for _, user := range []string{"ann", "bob"} {
		b := testkit.NewBrowser(knows.App)
		testkit.MustUpdate(t, b.Ctx(), profile)
		testkit.Login(t, b.On(lacks), user)
	}
	c.Advance(2 * time.Hour)
	for range 2 {
		testkit.Sweep(lacks)
	}
	if got := out.String(); strings.Count(got, "module=profile") != 2 || strings.Contains(got, "ann") {
		t.Errorf("logged:\n%s\nwant one line of the sweep and one of the logins, without names", got)
	}
}

// A process that knows a state to be absent does not overwrite the expired
// record that another process has made since: OnExpire gets it.
//
// Proves A15, N1.
func TestExpiredStatesOfOtherProcessesAreNotWrittenOver(t *testing.T) {
	for _, hooked := range []bool{true, false} {
		t.Run(fmt.Sprintf("its own hook %t", hooked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there, s := programs(t, testkit.NewClock())
				module := func(app *testkit.Expiring, hooked bool) *stay.State[testkit.Counter] {
					m := testkit.Watched("offer", stay.PerUser, here.Events)
					if m.Expiry, m.OnDestroyed = time.Hour, nil; !hooked {
						m.OnExpire = nil
					}
					return stay.Register(app.App, m)
				}
				offer, same := module(here, true), module(there, hooked)
				_, err := same.At("ann").Get(t.Context())
				testkit.WantCode(t, err, stay.ErrNotFound)
				testkit.MustUpdate(t, t.Context(), offer.At("ann"))
				here.Clock.Advance(2 * time.Hour)
				testkit.MustUpdate(t, t.Context(), same.At("ann"))
				testkit.WantCount(t, t.Context(), same.At("ann"), 1)
				here.Sweep(2 * time.Minute)
				here.Events.Want(t, "expired offer 1")
				testkit.WantCount(t, t.Context(), offer.At("ann"), 1)
				here.Sweep(2 * time.Hour)
				here.Events.Want(t, "expired offer 1")
				if left := testkit.AllRows(t, s); len(left) != 0 {
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
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		register := func(name string, expiry time.Duration) *stay.State[testkit.Counter] {
			m := testkit.Watched(name, stay.PerSession, app.Events)
			m.Expiry, m.OnDestroyed = expiry, nil
			return stay.Register(app.App, m)
		}
		brief, long := register("brief", 10*time.Minute), register("long", 20*time.Minute)
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), brief)
		testkit.MustUpdate(t, b.Ctx(), long)
		app.Clock.Advance(15 * time.Minute)
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
		app.Sweep(3 * time.Hour)
		app.Events.Want(t, "expired brief 1")
		if left := testkit.AllRows(t, s); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A store that does not answer about states of other programs' modules delays
// Destroy for a bounded time: the session has ended already.
//
// Proves E7, S5.
func TestDestroyWaitsABoundedTimeForStatesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := memstore.Shared(2)
		knows := testkit.NewApp(t, all[0], nil)
		own := stay.Register(knows, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		s := storefault.Wrap(all[1], nil)
		lacks := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet, MaxWait: time.Second, CommitTimeout: time.Second})
		b := testkit.NewBrowser(knows)
		testkit.MustUpdate(t, b.Ctx(), own)
		ctx := b.On(lacks).Ctx()
		s.Add(storefault.Rule{Op: storefault.Load, Key: "session/own/" + stay.SessionFrom(ctx).ID(), Fault: storefault.Hang()})
		began := time.Now()
		testkit.NoError(t, stay.SessionFrom(ctx).Destroy(context.WithoutCancel(ctx)))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Destroy took %v", took)
		}
	})
}
