package renames_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// hooked is a module whose hooks record what they are told.
func hooked(name string, persist stay.Strategy, e *testkit.Events, formerly ...string) stay.Module[testkit.Counter] {
	m := testkit.Watched(name, persist, e)
	m.OnDestroyed, m.Formerly = nil, formerly
	m.Expiry = 2 * time.Hour
	return m
}

// What expires under a former name is told to OnExpire of the renamed module, is
// not served, and is removed, whether it is a user's, a guest's or a session's.
//
// Proves M6, A15, S6.
func TestStatesUnderAFormerNameExpire(t *testing.T) {
	stores := map[string]func() (old, is, look store.Store){
		"alone": func() (old, is, look store.Store) { s := memstore.New(); return s, s, s },
		"shared": func() (old, is, look store.Store) {
			all := memstore.Shared(3)
			return all[0], all[1], all[2]
		},
	}
	for what, opened := range stores {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second, s := opened()
				clock := testkit.NewClock()
				before := testkit.NewExpiring(t, first, clock)
				b := testkit.NewBrowser(before.App)
				for name, persist := range map[string]stay.Strategy{"own": stay.PerSession, "profile": stay.PerUser, "offer": stay.Global} {
					own := stay.Register(before.App, hooked(name, persist, before.Events))
					testkit.MustUpdate(t, b.Ctx(), own)
					if persist == stay.PerUser {
						testkit.MustUpdate(t, t.Context(), own.At("ann"))
						testkit.MustUpdate(t, t.Context(), own.At("ann"))
					}
				}
				testkit.NoError(t, before.Close(t.Context()))

				after := testkit.NewExpiring(t, second, clock)
				stay.Register(after.App, hooked("own2", stay.PerSession, after.Events, "own"))
				profile := stay.Register(after.App, hooked("profile2", stay.PerUser, after.Events, "profile"))
				offer := stay.Register(after.App, hooked("offer2", stay.Global, after.Events, "offer"))
				testkit.WantCount(t, t.Context(), profile.At("ann"), 2)
				testkit.WantCount(t, t.Context(), offer, 1)
				clock.Advance(3 * time.Hour)
				testkit.WantCount(t, t.Context(), offer, 0)
				if _, err := profile.At("ann").Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
					t.Errorf("an expired state is served: %v", err)
				}
				after.Sweep(time.Minute)
				got := after.Events.Take()
				slices.Sort(got)
				want := []string{"expired offer2 1", "expired own2 1", "expired profile2 2"}
				if what == "shared" { // where guests are stored
					want = slices.Insert(want, 2, "expired profile2 1")
				}
				if !slices.Equal(got, want) {
					t.Errorf("the hooks were told %q, want %q", got, want)
				}
				if left := testkit.AllRows(t, s); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		})
	}
}

// A state that begins again under the key of one that has expired under the
// former name does not keep it from OnExpire, and lives on.
//
// Proves M6, A15.
func TestAnExpiredStateUnderAFormerNameIsReplaced(t *testing.T) {
	for what, hook := range map[string]bool{"with OnExpire": true, "without": false} {
		for mode, n := range map[string]int{"alone": 1, "shared": 2} {
			t.Run(what+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					clock := testkit.NewClock()
					var s store.Store = memstore.New()
					if n > 1 {
						s = memstore.Shared(n)[0]
					}
					testkit.Commit(t, s, store.Write{
						Op: store.Put, Key: "global/old/", Value: []byte(`{"count":5}`), Version: 1, Expires: clock.Now().Add(time.Hour),
					})
					app := testkit.NewExpiring(t, s, clock)
					m := hooked("new", stay.Global, app.Events, "old")
					if !hook {
						m.OnExpire = nil
					}
					own := stay.Register(app.App, m)
					clock.Advance(90 * time.Minute)
					testkit.MustUpdate(t, t.Context(), own)
					testkit.WantCount(t, t.Context(), own, 1)
					app.Sweep(time.Minute)
					if hook {
						app.Events.Want(t, "expired new 5")
					} else {
						app.Events.Want(t)
					}
					testkit.WantCount(t, t.Context(), own, 1)
					if left := testkit.AllRows(t, s); !slices.Equal(left, []string{"global/new/"}) {
						t.Errorf("left: %q", left)
					}
					app.Sweep(3 * time.Hour)
					if left := testkit.AllRows(t, s); len(left) != 0 {
						t.Errorf("left: %q", left)
					}
				})
			})
		}
	}
}

// An acknowledged change that puts the expiry off holds also where it is stored
// after the record under the former name has expired: OnExpire is not called.
//
// Proves M6, A14, A15.
func TestADebouncedChangePutsTheExpiryOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		testkit.Commit(t, s, store.Write{
			Op: store.Put, Key: "global/old/", Value: []byte(`{"count":5}`), Version: 1, Expires: time.Now().Add(time.Minute),
		})
		events := &testkit.Events{}
		app := testkit.NewApp(t, testkit.Unclosed{Store: s}, &stay.Options{})
		m := hooked("new", stay.Global, events, "old")
		m.Debounce = 10 * time.Minute
		own := stay.Register(app, m)
		testkit.MustUpdate(t, t.Context(), own)
		testkit.Sleep(5 * time.Minute)
		testkit.Sweep(app)
		testkit.WantCount(t, t.Context(), own, 6)
		testkit.Sweep(app)
		events.Want(t)
		if got := states(t, s); !slices.Equal(got, []string{"global/new/"}) {
			t.Errorf("the store has %q", got)
		}
	})
}

// A program that knows none of the names leaves expired states to the hook, and
// removes what an ended session has under each name.
//
// Proves M6, A15, S5.
func TestProgramsWithoutTheModuleLeaveItsStatesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, clock := memstore.Shared(4), testkit.NewClock()
		before, after, jobs := testkit.NewExpiring(t, all[0], clock), testkit.NewExpiring(t, all[1], clock), testkit.NewExpiring(t, all[2], clock)
		s := all[3]
		b := testkit.NewBrowser(before.App)
		was := named(stay.PerSession)
		was.Name = "own"
		testkit.MustUpdate(t, b.Ctx(), stay.Register(before.App, was))
		clicks := hooked("clicks", stay.PerUser, before.Events)
		clicks.OnExpire = nil
		testkit.MustUpdate(t, t.Context(), stay.Register(before.App, clicks).At("ann"))
		testkit.NoError(t, before.Close(t.Context()))

		own := stay.Register(after.App, hooked("own2", stay.PerSession, after.Events, "own"))
		stay.Register(after.App, hooked("clicks2", stay.PerUser, after.Events, "clicks"))
		c := testkit.NewBrowser(after.App)
		testkit.MustUpdate(t, c.Ctx(), own)
		jobs.Sweep(3 * time.Hour)
		if got := states(t, s); !slices.Contains(got, "user/clicks/ann") {
			t.Errorf("another program has removed what expired: %q", got)
		}
		after.Sweep(time.Minute)
		got := after.Events.Take()
		slices.Sort(got)
		if want := []string{"expired clicks2 1", "expired own2 1", "expired own2 1"}; !slices.Equal(got, want) {
			t.Errorf("the hooks were told %q, want %q", got, want)
		}
		if got := states(t, s); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	})
}

// Destroy in a program that knows none of the names removes what the session has
// under each of them.
//
// Proves M6, S5.
func TestDestroyInAProgramWithoutTheModuleRemovesAllNames(t *testing.T) {
	all := memstore.Shared(3)
	after, jobs, s := testkit.NewApp(t, all[0], nil), testkit.NewApp(t, all[1], nil), all[2]
	own := stay.Register(after, renamed(stay.PerSession))
	b := testkit.NewBrowser(after)
	testkit.MustUpdate(t, b.Ctx(), own)
	put(t, s, "session/old/"+stay.SessionFrom(b.Ctx()).ID(), `{"count":5}`)
	ctx := b.On(jobs).Ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	if got := states(t, s); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// What the sweep removes under a former name leaves memory, and OnDestroyed is
// told.
//
// Proves M6, A15.
func TestAStateThatExpiresUnderAFormerNameLeavesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock := memstore.New(), testkit.NewClock()
		testkit.Commit(t, s, store.Write{
			Op: store.Put, Key: "user/old/ann", Value: []byte(`{"count":5}`), Version: 1, Expires: clock.Now().Add(time.Hour),
		})
		app := testkit.NewExpiring(t, s, clock)
		m := testkit.Watched("new", stay.PerUser, app.Events)
		m.Formerly = []string{"old"}
		own := stay.Register(app.App, m)
		testkit.WantCount(t, t.Context(), own.At("ann"), 5)
		app.Sweep(2 * time.Hour)
		app.Events.Want(t, "expired new 5", "destroyed new 5")
	})
}
