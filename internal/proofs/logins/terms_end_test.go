package logins_test

import (
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// A session that has ended stays over for as long as any of its cookies could be
// verified, also if a login For longer, which kept the cookie, was replaced before.
//
// Proves S6.
func TestASessionWithALongCookieDoesNotComeBack(t *testing.T) {
	listed := func(t *testing.T, a *termsApp) *stay.Session {
		for s, err := range a.AllSessions(t.Context(), "") {
			testkit.NoError(t, err)
			return s
		}
		t.Fatal("no session is listed")
		return nil
	}
	endListed := func(t *testing.T, a *termsApp, _ *testkit.Browser) {
		testkit.NoError(t, listed(t, a).Destroy(t.Context()))
	}
	endOwn := func(t *testing.T, _ *termsApp, b *testkit.Browser) {
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	}
	renew := func(t *testing.T, _ *termsApp, b *testkit.Browser) {
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
	}
	logout := func(t *testing.T, _ *termsApp, b *testkit.Browser) { testkit.Logout(t, b) }
	logoutListed := func(t *testing.T, a *termsApp, _ *testkit.Browser) {
		testkit.NoError(t, listed(t, a).Logout(t.Context()))
	}
	for name, steps := range map[string][]func(*testing.T, *termsApp, *testkit.Browser){
		"ended from a list":                   {endListed},
		"logged out and ended from a list":    {logoutListed, endListed},
		"logged out from a list, then ended":  {logoutListed, endOwn},
		"logged out, then ended from a list":  {logout, endListed},
		"renewed, then logged out":            {renew, logout},
		"renewed, then logged out by a list":  {renew, logoutListed},
		"renewed, then ended from a list":     {renew, logoutListed, endListed},
		"logged out by a program that renews": {nil, logout},
		"ended by a program that renews":      {nil, logout, endListed},
	} {
		t.Run(name, func(t *testing.T) {
			clock, st := testkit.NewClock(), testkit.Unclosed{Store: memstore.New()}
			a := newTermsApp(t, st, clock, stay.Options{KeepCookieOnKeyChange: true, Lifetime: 60 * day})
			b := testkit.NewBrowser(a.App)
			testkit.MustUpdate(t, b.Ctx(), a.own)
			loginAs(t, b, "ann", stay.For(20*day))
			id, old := stay.SessionFrom(b.Ctx()).ID(), *b
			for _, step := range steps {
				if step == nil { // a new process with other options
					testkit.NoError(t, a.Close(t.Context()))
					a = newTermsApp(t, st, clock, stay.Options{Lifetime: 60 * day})
					b, old = b.On(a.App), *old.On(a.App)
					continue
				}
				step(t, a, b)
			}
			for range 19 {
				clock.Advance(day)
				testkit.Sweep(a.App)
				late := old
				if got := stay.SessionFrom(late.Ctx()).ID(); got == id {
					t.Fatalf("at %v the session is back", clock.Now())
				}
			}
		})
	}
}
