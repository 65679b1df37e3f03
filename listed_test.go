package stay_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stay-go/stay"
)

// listed returns the one session in which the user is logged in, as an
// administrator gets it.
func listed(t *testing.T, app *stay.App, user string) (*stay.Session, context.Context) {
	t.Helper()
	var found *stay.Session
	for s, err := range app.Sessions(t.Context(), user) {
		noError(t, err)
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
func onListed(t *testing.T, opts stay.Options, test func(t *testing.T, a *listedApp, b *browser)) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			app := newApp(t, open(), &opts)
			a := &listedApp{
				App:   app,
				own:   stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession}),
				user:  stay.Register(app, stay.Module[counter]{Name: "user", Persist: stay.PerUser}),
				keyed: stay.Register(app, todosModule()),
			}
			b := newBrowser(app)
			login(t, b, "ann")
			mustUpdate(t, b.ctx(), a.own)
			mustUpdate(t, b.ctx(), a.user)
			must(t)(a.keyed.Update(b.ctx(), become("ann")))
			test(t, a, b)
		})
	}
}

type listedApp struct {
	*stay.App
	own, user *stay.State[counter]
	keyed     *stay.State[todos]
}

// wantSame wants that the browser is logged in as ann, with the cookie it had.
func (a *listedApp) wantSame(t *testing.T, b *browser) {
	t.Helper()
	ctx, r := b.request()
	wantCount(t, ctx, a.own, 1)
	wantCount(t, ctx, a.user, 1)
	if user := stay.SessionFrom(ctx).User(); user != "ann" {
		t.Errorf("the browser's user is %q", user)
	}
	if len(r.issued) > 0 {
		t.Errorf("the browser got another cookie")
	}
	if _, err := a.own.Update(ctx, func(*counter) error { return nil }); err != nil {
		t.Errorf("a change by the browser: %v", err)
	}
}

// A change of the key by a session from App.Sessions moves the session, and
// leaves its browser the cookie: there is no response that a new one could go
// with.
//
// Proves S5, S7, K2, K4, K5.
func TestKeyChangeThroughAListedSessionKeepsItsCookie(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *browser) {
		_, ctx := listed(t, a.App, "ann")
		for _, key := range []string{"bob", "", "cal"} {
			must(t)(a.keyed.Update(ctx, become(key)))
			must(t)(a.keyed.Update(ctx, addItem("by the admin for "+key)))
			want, err := a.keyed.Get(ctx)
			noError(t, err)
			got, err := a.keyed.Get(b.ctx())
			noError(t, err)
			if got.Owner.ID != key || len(got.Items) != len(want.Items) {
				t.Errorf("the browser has %+v, the listed session %+v", got, want)
			}
			a.wantSame(t, b)
		}
		old := *b
		must(t)(a.keyed.Update(b.ctx(), become("dan"))) // by the browser itself
		_, err := a.own.Update(old.ctx(), increment)
		wantCode(t, err, stay.ErrEnded)
		a.wantSame(t, b)
	})
}

// What would give the browser of a session from App.Sessions a new cookie is
// refused, with an error that says what to do, and nothing has changed.
//
// Proves S5, S7.
func TestListedSessionIsNeitherRenewedNorLoggedIn(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *browser) {
		s, ctx := listed(t, a.App, "ann")
		for what, verb := range map[string]func() error{
			"Renew":                 func() error { return s.Renew(ctx) },
			"Login of another user": func() error { return s.Login(ctx, "bob") },
			"Login of the same":     func() error { return s.Login(ctx, "ann") },
		} {
			err := verb()
			wantCode(t, err, stay.ErrInternal)
			for _, word := range []string{"App.Sessions", "Destroy", "App.Revoke"} {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("%s: the error does not speak of %s: %v", what, word, err)
				}
			}
			a.wantSame(t, b)
		}
		noError(t, s.Destroy(ctx))
		wantCode(t, s.Renew(ctx), stay.ErrEnded)
		wantCode(t, s.Login(ctx, "bob"), stay.ErrEnded)
	})
}

// A Logout through a session from App.Sessions has the browser go on as a guest,
// with the session's own states. Its next login renews the cookie.
//
// Proves S5, S7.
func TestLogoutThroughAListedSession(t *testing.T) {
	onListed(t, stay.Options{}, func(t *testing.T, a *listedApp, b *browser) {
		s, ctx := listed(t, a.App, "ann")
		before, cookie := s.ID(), b.token
		noError(t, s.Logout(ctx))
		if user := s.User(); user != "" {
			t.Errorf("the listed session is still %q's", user)
		}
		noError(t, s.Logout(ctx)) // of a guest
		wantCount(t, ctx, a.own, 1)
		for _, err := range a.Sessions(t.Context(), "ann") {
			t.Errorf("the session is still in the list: %v", err)
		}
		guest, r := b.request()
		wantCount(t, guest, a.own, 1)
		wantCount(t, guest, a.user, 0)
		mustUpdate(t, guest, a.own)
		session := stay.SessionFrom(guest)
		if session.User() != "" || session.ID() != before || len(r.issued) > 0 || b.token != cookie {
			t.Errorf("the browser is %q of %q, its cookies %q", session.ID(), session.User(), r.issued)
		}
		old := *b
		login(t, b, "ann")
		if b.token == cookie {
			t.Error("the login has not renewed the cookie")
		}
		wantCount(t, b.ctx(), a.user, 1)
		_, err := a.own.Update(old.ctx(), increment)
		wantCode(t, err, stay.ErrEnded)
	})
}

// Where a login renews no cookie, it can be made through a session from
// App.Sessions as well.
//
// Proves S5, S7.
func TestListedSessionLogsInWhereTheCookieIsKept(t *testing.T) {
	onListed(t, stay.Options{KeepCookieOnKeyChange: true}, func(t *testing.T, a *listedApp, b *browser) {
		s, ctx := listed(t, a.App, "ann")
		noError(t, s.Login(ctx, "bob"))
		wantCode(t, s.Renew(ctx), stay.ErrInternal)
		if got, own := stay.SessionFrom(b.ctx()).User(), s.User(); got != "bob" || own != "bob" {
			t.Errorf("the browser's user is %q, the listed session's %q", got, own)
		}
		wantCount(t, b.ctx(), a.own, 1)
	})
}
