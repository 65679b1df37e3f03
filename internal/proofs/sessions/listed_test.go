package sessions_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
)

// listed returns the one session in which the user is logged in, as an
// administrator gets it.
func listed(t *testing.T, app *stay.App, user string) (*stay.Session, context.Context) {
	t.Helper()
	var found *stay.Session
	for s, err := range app.Sessions(t.Context(), user) {
		testkit.NoError(t, err)
		if found != nil {
			t.Fatal("there are two sessions")
		}
		found = s
	}
	if found == nil {
		t.Fatal("the user has no session")
	}
	return found, stay.WithSession(t.Context(), found)
}

// onListed runs the test on each store, with a browser in which ann is logged
// in and has a PerSession, a PerUser and a WithKey state.
func onListed(t *testing.T, opts stay.Options, test func(t *testing.T, a *listedApp, b *testkit.Browser)) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			app := testkit.NewApp(t, open(), &opts)
			a := &listedApp{
				App:   app,
				own:   stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession}),
				user:  stay.Register(app, stay.Module[testkit.Counter]{Name: "user", Persist: stay.PerUser}),
				keyed: stay.Register(app, testkit.TodosModule()),
			}
			b := testkit.NewBrowser(app)
			testkit.Login(t, b, "ann")
			testkit.MustUpdate(t, b.Ctx(), a.own)
			testkit.MustUpdate(t, b.Ctx(), a.user)
			testkit.Must(t)(a.keyed.Update(b.Ctx(), testkit.Become("ann")))
			test(t, a, b)
		})
	}
}

type listedApp struct {
	*stay.App
	own, user *stay.State[testkit.Counter]
	keyed     *stay.State[testkit.Todos]
}

// wantSame wants that the browser is logged in as ann, with the cookie it had.
func (a *listedApp) wantSame(t *testing.T, b *testkit.Browser) {
	t.Helper()
	ctx, r := b.Request()
	testkit.WantCount(t, ctx, a.own, 1)
	testkit.WantCount(t, ctx, a.user, 1)
	if user := stay.SessionFrom(ctx).User(); user != "ann" {
		t.Errorf("the browser's user is %q", user)
	}
	if len(r.Issued) > 0 {
		t.Errorf("the browser got another cookie")
	}
	if _, err := a.own.Update(ctx, func(*testkit.Counter) error { return nil }); err != nil {
		t.Errorf("a change by the browser: %v", err)
	}
}

// A change of the key by a session from App.Sessions moves the session, and its
// browser keeps the cookie: there is no response that could set a new one.
//
// Proves K2, K4, K5, S5, S7.
func TestKeyChangeThroughAListedSessionKeepsItsCookie(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *testkit.Browser) {
		_, ctx := listed(t, a.App, "ann")
		for _, key := range []string{"bob", "", "cal"} {
			testkit.Must(t)(a.keyed.Update(ctx, testkit.Become(key)))
			testkit.Must(t)(a.keyed.Update(ctx, testkit.AddItem("by the admin for "+key)))
			want, err := a.keyed.Get(ctx)
			testkit.NoError(t, err)
			got, err := a.keyed.Get(b.Ctx())
			testkit.NoError(t, err)
			if got.Owner.ID != key || len(got.Items) != len(want.Items) {
				t.Errorf("the browser has %+v, the listed session %+v", got, want)
			}
			a.wantSame(t, b)
		}
		old := *b
		testkit.Must(t)(a.keyed.Update(b.Ctx(), testkit.Become("dan"))) // by the browser itself
		_, err := a.own.Update(old.Ctx(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrEnded)
		a.wantSame(t, b)
	})
}

// What would give the browser of a session from App.Sessions a new cookie is
// refused, with an error that says what to do, and nothing has changed.
//
// Proves S5, S7.
func TestListedSessionIsNeitherRenewedNorLoggedIn(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *testkit.Browser) {
		s, ctx := listed(t, a.App, "ann")
		for what, verb := range map[string]func() error{
			"Renew":                 func() error { return s.Renew(ctx) },
			"Login of another user": func() error { return s.Login(ctx, "bob") },
			"Login of the same":     func() error { return s.Login(ctx, "ann") },
		} {
			err := verb()
			testkit.WantCode(t, err, stay.ErrInternal)
			for _, word := range []string{"App.Sessions", "Destroy", "App.Revoke"} {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("%s: the error does not speak of %s: %v", what, word, err)
				}
			}
			a.wantSame(t, b)
		}
		testkit.NoError(t, s.Destroy(ctx))
		testkit.WantCode(t, s.Renew(ctx), stay.ErrEnded)
		testkit.WantCode(t, s.Login(ctx, "bob"), stay.ErrEnded)
	})
}

// A Logout through a session from App.Sessions has the browser go on as a guest,
// with the session's own states. Its next login renews the cookie.
//
// Proves S5, S7.
func TestLogoutThroughAListedSession(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *testkit.Browser) {
		s, ctx := listed(t, a.App, "ann")
		before, cookie := s.ID(), b.Token
		testkit.NoError(t, s.Logout(ctx))
		if user := s.User(); user != "" {
			t.Errorf("the listed session is still %q's", user)
		}
		testkit.NoError(t, s.Logout(ctx)) // of a guest
		testkit.WantCount(t, ctx, a.own, 1)
		for _, err := range a.Sessions(t.Context(), "ann") {
			t.Errorf("the session is still in the list: %v", err)
		}
		guest, r := b.Request()
		testkit.WantCount(t, guest, a.own, 1)
		testkit.WantCount(t, guest, a.user, 0)
		testkit.MustUpdate(t, guest, a.own)
		session := stay.SessionFrom(guest)
		if session.User() != "" || session.ID() != before || len(r.Issued) > 0 || b.Token != cookie {
			t.Errorf("the browser is %q of %q, its cookies %q", session.ID(), session.User(), r.Issued)
		}
		old := *b
		testkit.Login(t, b, "ann")
		if b.Token == cookie {
			t.Error("the login has not renewed the cookie")
		}
		testkit.WantCount(t, b.Ctx(), a.user, 1)
		_, err := a.own.Update(old.Ctx(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrEnded)
	})
}

// Where a login renews no cookie, it can be made through a session from
// App.Sessions as well.
//
// Proves S5, S7.
func TestListedSessionLogsInWhereTheCookieIsKept(t *testing.T) {
	onListed(t, stay.Options{KeepCookieOnKeyChange: true}, func(t *testing.T, a *listedApp, b *testkit.Browser) {
		s, ctx := listed(t, a.App, "ann")
		testkit.NoError(t, s.Login(ctx, "bob"))
		testkit.WantCode(t, s.Renew(ctx), stay.ErrInternal)
		if got, own := stay.SessionFrom(b.Ctx()).User(), s.User(); got != "bob" || own != "bob" {
			t.Errorf("the browser's user is %q, the listed session's %q", got, own)
		}
		testkit.WantCount(t, b.Ctx(), a.own, 1)
	})
}
