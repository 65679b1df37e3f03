package watching_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
)

// A login, logout, renewal, end, revocation or expiry by anybody ends a watch of
// the session's states at once, and nothing that follows is seen. A change of the
// key that keeps the cookie is followed instead.
//
// Proves L4.
func TestAWatchEndsWithItsSession(t *testing.T) {
	both := map[bool]stay.Code{false: stay.ErrEnded, true: stay.ErrEnded}
	inPlace := map[bool]stay.Code{false: stay.ErrEnded, true: ""}
	session := func(fn func(s *stay.Session, ctx context.Context) error) func(*testing.T, *stay.App, context.Context) {
		return func(t *testing.T, _ *stay.App, ctx context.Context) {
			testkit.NoError(t, fn(stay.SessionFrom(ctx), ctx))
		}
	}
	for _, c := range []struct {
		name string
		end  func(t *testing.T, app *stay.App, ctx context.Context)
		want map[bool]stay.Code // with the cookie kept or not; "" = the watch goes on
	}{
		{"Login", session(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }), inPlace},
		{"Login of the same user", session(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") }), inPlace},
		{"Logout", session((*stay.Session).Logout), inPlace},
		{"Renew", session((*stay.Session).Renew), both},
		{"Confirm", session((*stay.Session).Confirm), both},
		{"Destroy", session((*stay.Session).Destroy), both},
		{"Revoke", func(t *testing.T, app *stay.App, _ context.Context) {
			testkit.NoError(t, app.Revoke(t.Context(), "ann"))
		}, both},
		{"expiry", func(*testing.T, *stay.App, context.Context) { testkit.Sleep(time.Hour) }, both},
		{"the end of a login", func(t *testing.T, _ *stay.App, ctx context.Context) {
			testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann", stay.For(time.Minute)))
			testkit.Sleep(time.Minute)
		}, both},
	} {
		for _, keeps := range []bool{false, true} {
			name := c.name
			if keeps {
				name += ", cookie kept"
			}
			t.Run(name, func(t *testing.T) {
				onEach(t, stay.Options{KeepCookieOnKeyChange: keeps, IdleTimeout: time.Hour}, func(t *testing.T, app *stay.App) {
					own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
					tasks := stay.Register(app, stay.Module[testkit.Counter]{Name: "tasks", Persist: stay.PerUser})
					b := testkit.NewBrowser(app)
					testkit.Login(t, b, "ann")
					testkit.MustUpdate(t, b.Ctx(), own)
					old := b.With(b.Token)
					all := []*viewer[testkit.Counter]{watch(t, b.Ctx(), own), watch(t, b.Ctx(), tasks)}
					all[0].want(t, testkit.Counter{Count: 1})
					all[1].want(t, testkit.Counter{})

					c.end(t, app, b.Ctx())
					for _, v := range all {
						if c.want[keeps] != "" {
							v.wantEnd(t, c.want[keeps])
						}
						v.want(t)
					}
					testkit.MustUpdate(t, t.Context(), tasks.At("ann"))
					if c.want[keeps] != "" {
						for _, v := range all {
							v.want(t)
						}
						v := watch(t, old.Ctx(), own)
						if c.name != "expiry" && c.name != "the end of a login" && c.name != "Revoke" { // then a new session begins
							v.wantEnd(t, stay.ErrEnded)
							v.want(t)
						}
						return
					}
					testkit.MustUpdate(t, old.Ctx(), own)
					all[0].want(t, testkit.Counter{Count: 2})
					if c.name == "Login of the same user" {
						all[1].want(t, testkit.Counter{Count: 1})
					} else {
						all[1].want(t)
					}
				})
			})
		}
	}
}

// A stream whose session changes hands in place shows what belongs to the one who
// has it: nothing of the first user's comes after the first of the second's.
//
// Proves L4.
func TestAKeyChangeIsFollowed(t *testing.T) {
	onEach(t, stay.Options{KeepCookieOnKeyChange: true}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Initial: testkit.Profile{Name: "guest"}, Persist: stay.PerUser})
		for _, user := range []string{"ann", "bob"} {
			testkit.Change(t, t.Context(), s.At(user), testkit.Name(user+" 1"))
		}
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		v := watch(t, b.Ctx(), s)
		v.want(t, testkit.Profile{Name: "ann 1"})
		testkit.Login(t, b, "bob")
		v.want(t, testkit.Profile{Name: "bob 1"})
		testkit.Change(t, t.Context(), s.At("ann"), testkit.Name("ann 2"))
		v.want(t)
		testkit.Change(t, t.Context(), s.At("bob"), testkit.Name("bob 2"))
		v.want(t, testkit.Profile{Name: "bob 2"})
		testkit.Logout(t, b)
		v.want(t, testkit.Profile{Name: "guest"})
		testkit.Change(t, t.Context(), s.At("bob"), testkit.Name("bob 3"))
		v.want(t)
		testkit.Change(t, b.Ctx(), s, testkit.Name("nobody"))
		v.want(t, testkit.Profile{Name: "nobody"})
	})
}

// The same where a change of state changes the key, with a deletion of the key,
// which makes a guest of the session for good.
//
// Proves L3, L4.
func TestAChangeOfAStatesKeyIsFollowed(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			onEach(t, stay.Options{KeepCookieOnKeyChange: true, Guests: guests}, func(t *testing.T, app *stay.App) {
				s := stay.Register(app, testkit.TodosModule())
				todos := func(owner string, items ...string) testkit.Todos {
					c := testkit.Todos{Items: items, Theme: "light"}
					_ = testkit.Become(owner)(&c)
					return c
				}
				b := testkit.NewBrowser(app)
				testkit.Change(t, b.Ctx(), s, testkit.AddItem("mine"))
				v := watch(t, b.Ctx(), s)
				v.want(t, todos("", "mine"))
				testkit.Change(t, b.Ctx(), s, testkit.Become("ann"))
				v.want(t, todos("ann", "mine"))
				testkit.Change(t, t.Context(), s.At("ann"), testkit.AddItem("from outside"))
				v.want(t, todos("ann", "mine", "from outside"))
				testkit.NoError(t, s.At("ann").Delete(t.Context()))
				v.want(t, todos(""))
				testkit.Change(t, t.Context(), s.At("ann"), testkit.Become("ann"))
				v.want(t) // another one
				testkit.Change(t, b.Ctx(), s, testkit.AddItem("again"))
				v.want(t, todos("", "again"))
			})
		})
	}
}

// The first request of a browser watches: it gets a cookie, stores nothing, and
// sees what later requests of the same browser do.
//
// Proves L4.
func TestAFirstRequestWatches(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, st store.Store) {
		app := testkit.NewApp(t, st, nil)
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		notes := stay.Register(app, stay.Module[testkit.Counter]{Name: "notes"})
		b := testkit.NewBrowser(app)
		ctx, r := b.Request()
		all := []*viewer[testkit.Counter]{watch(t, ctx, own), watch(t, ctx, notes)}
		if len(r.Issued) != 1 {
			t.Fatalf("the response sets %d cookies, want one", len(r.Issued))
		}
		r.Sent = true
		for i, state := range []*stay.State[testkit.Counter]{own, notes} {
			all[i].want(t, testkit.Counter{})
			testkit.MustUpdate(t, b.Ctx(), state)
			all[i].want(t, testkit.Counter{Count: 1})
		}
		if len(r.Issued) != 1 {
			t.Errorf("the watch has set %d cookies", len(r.Issued))
		}
	})
}

// A watch does not keep a session: only requests do.
//
// Proves L4.
func TestAWatchKeepsNoSession(t *testing.T) {
	onEach(t, stay.Options{IdleTimeout: time.Hour}, func(t *testing.T, app *stay.App) {
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		v := watch(t, b.Ctx(), own)
		v.want(t, testkit.Counter{Count: 1})
		for i := range 3 { // an administrator's changes
			testkit.Sleep(15 * time.Minute)
			testkit.MustUpdate(t, t.Context(), own.At(stay.SessionFrom(b.Ctx()).ID()))
			v.want(t, testkit.Counter{Count: i + 2})
		}
		testkit.Sleep(15*time.Minute - time.Second)
		select {
		case <-v.ended:
			t.Fatal("the watch has ended before its session")
		default:
		}
		testkit.Sleep(2 * time.Hour)
		v.wantEnd(t, stay.ErrEnded)
	})
}

// Whoever watches another's session by its ID hears of its end as of a session
// that is not there.
//
// Proves L4.
func TestASessionIsWatchedByItsID(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		v := watch(t, t.Context(), own.At(stay.SessionFrom(b.Ctx()).ID()))
		v.want(t, testkit.Counter{Count: 1})
		testkit.MustUpdate(t, b.Ctx(), own)
		v.want(t, testkit.Counter{Count: 2})
		testkit.Login(t, b, "ann")
		v.want(t)
		testkit.NoError(t, app.Revoke(t.Context(), "ann"))
		v.wantEnd(t, stay.ErrNotFound)
	})
}

// A request that changes its own session ends its watch like any other, and one
// that begins to watch afterwards watches as who it is by then.
//
// Proves L4.
func TestAnOwnLoginEndsAWatch(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser})
		testkit.Change(t, t.Context(), s.At("bob"), testkit.Name("bob"))
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		ctx := b.Ctx()
		v := watch(t, ctx, s)
		v.want(t, testkit.Profile{})
		testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "bob"))
		v.wantEnd(t, stay.ErrEnded)
		v.want(t)
		v = watch(t, ctx, s)
		v.want(t, testkit.Profile{Name: "bob"})
	})
}

// A session of App.Sessions is watched through every cookie that it gets, until it
// belongs to somebody else.
//
// Proves L4.
func TestAListedSessionIsWatched(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		var v *viewer[testkit.Counter]
		for s, err := range app.Sessions(t.Context(), "ann") {
			testkit.NoError(t, err)
			v = watch(t, stay.WithSession(t.Context(), s), own)
		}
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
		testkit.MustUpdate(t, b.Ctx(), own)
		v.want(t, testkit.Counter{}, testkit.Counter{Count: 1})
		testkit.Logout(t, b)
		v.wantEnd(t, stay.ErrEnded)
	})
}
