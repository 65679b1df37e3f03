package logins_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

const day = 24 * time.Hour

// termsApp is an App on a clock that moves, with a state of the session.
type termsApp struct {
	*stay.App
	clock   *testkit.Clock
	profile *stay.State[testkit.Profile]
	own     *stay.State[testkit.Counter]
}

func newTermsApp(t *testing.T, st store.Store, clock *testkit.Clock, opts stay.Options) *termsApp {
	opts.Clock = clock.Now
	app := testkit.NewApp(t, st, &opts)
	p, _ := testkit.UserModules(app)
	return &termsApp{app, clock, p, stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})}
}

// loginAs logs a browser in and returns its response.
func loginAs(t *testing.T, b *testkit.Browser, user string, opts ...stay.LoginOption) *testkit.Response {
	t.Helper()
	ctx, answer := b.Request()
	testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, user, opts...))
	return answer
}

func wantUser(t *testing.T, b *testkit.Browser, want string) {
	t.Helper()
	if got := stay.SessionFrom(b.Ctx()).User(); got != want {
		t.Errorf("the session belongs to %q, want %q", got, want)
	}
}

// A login For 90 days holds for 90 days without any use, longer than the options
// say and although the signing keys rotate, and no longer.
//
// Proves S6.
func TestALoginForLongerThanTheSessionWouldLast(t *testing.T) {
	for name, keep := range map[string]bool{"": false, "with KeepCookieOnKeyChange": true} {
		t.Run(name, func(t *testing.T) {
			clock, st := testkit.NewClock(), memstore.New()
			a := newTermsApp(t, st, clock, stay.Options{KeepCookieOnKeyChange: keep})
			b := testkit.NewBrowser(a.App)
			testkit.MustUpdate(t, b.Ctx(), a.own)
			clock.Advance(20 * time.Hour)
			id := stay.SessionFrom(b.Ctx()).ID()
			answer := loginAs(t, b, "ann", stay.For(90*day))
			ends := clock.Now().Add(90 * day)
			if got := stay.SessionFrom(b.Ctx()).Expires(); !got.Equal(ends) || !answer.Expires.Equal(ends.Truncate(time.Second)) {
				t.Errorf("the session ends at %v, its cookie at %v, want %v", got, answer.Expires, ends)
			}
			testkit.Change(t, b.Ctx(), a.profile, testkit.Name("Ann"))
			testkit.MustUpdate(t, b.Ctx(), a.own)
			for range 89 {
				clock.Advance(day)
				access.AppOf(a.App).Sweep()
			}
			testkit.WantState(t, b.Ctx(), a.profile, `{"name":"Ann"}`)
			testkit.WantCount(t, b.Ctx(), a.own, 2)
			if s := stay.SessionFrom(b.Ctx()); s.ID() != id || !s.LastSeen().Equal(clock.Now()) {
				t.Errorf("after 89 days the session is %s, last seen at %v", s.ID(), s.LastSeen())
			}
			testkit.MustUpdate(t, b.Ctx(), a.own)
			clock.Advance(day - time.Second)
			wantUser(t, b, "ann")
			clock.Advance(2 * time.Second)
			wantUser(t, b, "")
			testkit.WantCount(t, b.Ctx(), a.own, 0)
			clock.Advance(2 * time.Minute)
			testkit.MustUpdate(t, b.Ctx(), a.own)
			if got := stay.SessionFrom(b.Ctx()).ID(); got == id {
				t.Error("the session came back")
			}
			for s, err := range a.Sessions(t.Context(), "ann") {
				t.Errorf("ann is logged in: %v %v", s, err)
			}
		})
	}
}

// A login For an hour ends after an hour, however much it is used, on every way.
//
// Proves S6.
func TestALoginForLessThanTheSessionWouldLast(t *testing.T) {
	for name, keep := range map[string]bool{"": false, "with KeepCookieOnKeyChange": true} {
		t.Run(name, func(t *testing.T) {
			clock := testkit.NewClock()
			a := newTermsApp(t, memstore.New(), clock, stay.Options{KeepCookieOnKeyChange: keep})
			b := testkit.NewBrowser(a.App)
			testkit.MustUpdate(t, b.Ctx(), a.own)
			before := *b
			loginAs(t, b, "ann", stay.For(time.Hour))
			id := stay.SessionFrom(b.Ctx()).ID()
			var listed *stay.Session
			for s, err := range a.Sessions(t.Context(), "ann") {
				testkit.NoError(t, err)
				listed = s
			}
			for range 5 {
				clock.Advance(11 * time.Minute)
				testkit.MustUpdate(t, b.Ctx(), a.own)
			}
			wantUser(t, b, "ann")
			clock.Advance(5 * time.Minute)
			wantUser(t, b, "")
			wantUser(t, &before, "")
			_, err := a.own.Update(stay.WithSession(t.Context(), listed), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrEnded)
			_, err = a.own.At(id).Get(t.Context())
			testkit.WantCode(t, err, stay.ErrNotFound)
			for s, err := range a.Sessions(t.Context(), "ann") {
				t.Errorf("ann is logged in: %v %v", s, err)
			}
			for _, late := range []*testkit.Browser{b, &before} {
				clock.Advance(2 * time.Minute)
				testkit.MustUpdate(t, late.Ctx(), a.own)
				if got := stay.SessionFrom(late.Ctx()).ID(); got == id {
					t.Error("the session came back")
				}
			}
		})
	}
}

// The next login, and a logout, have the session last as every session does.
//
// Proves S6.
func TestTheNextLoginReplacesHowLongTheLastOneLasts(t *testing.T) {
	clock := testkit.NewClock()
	a := newTermsApp(t, memstore.New(), clock, stay.Options{})
	for name, next := range map[string]func(t *testing.T, b *testkit.Browser){
		"login":            func(t *testing.T, b *testkit.Browser) { loginAs(t, b, "ann") },
		"login of another": func(t *testing.T, b *testkit.Browser) { loginAs(t, b, "bob") },
		"logout":           testkit.Logout,
	} {
		t.Run(name, func(t *testing.T) {
			b := testkit.NewBrowser(a.App)
			loginAs(t, b, "ann", stay.For(90*day), stay.UntilBrowserCloses())
			clock.Advance(time.Hour)
			next(t, b)
			if got := stay.SessionFrom(b.Ctx()).Expires(); !got.Equal(clock.Now().Add(day)) {
				t.Errorf("the session ends at %v, want a day from now, %v", got, clock.Now())
			}
			clock.Advance(day + time.Second)
			wantUser(t, b, "")

			// When its own time is over, a login has the session last a while.
			b = testkit.NewBrowser(a.App)
			loginAs(t, b, "ann", stay.For(90*day))
			clock.Advance(40 * day)
			user := map[string]string{"login": "ann", "login of another": "bob"}[name]
			next(t, b)
			wantUser(t, b, user)
			clock.Advance(23 * time.Hour)
			wantUser(t, b, user)
			clock.Advance(2 * time.Hour)
			wantUser(t, b, "")
			testkit.Login(t, b, "ann")
			wantUser(t, b, "ann")
		})
	}
}

// A cookie until the browser closes has no end that the browser sees, also when it
// is set again, and ends all the same. It has one from the next login or logout on.
//
// Proves S6.
func TestALoginUntilTheBrowserCloses(t *testing.T) {
	for name, keep := range map[string]bool{"": false, "with KeepCookieOnKeyChange": true} {
		t.Run(name, func(t *testing.T) {
			clock := testkit.NewClock()
			a := newTermsApp(t, memstore.New(), clock, stay.Options{KeepCookieOnKeyChange: keep, OnError: testkit.Loud(t)})
			b := testkit.NewBrowser(a.App)
			testkit.MustUpdate(t, b.Ctx(), a.own)
			if answer := loginAs(t, b, "ann", stay.UntilBrowserCloses()); len(answer.Issued) == 0 || !answer.Expires.IsZero() {
				t.Errorf("the login's cookie ends at %v", answer.Expires)
			}
			clock.Advance(12 * time.Hour)
			ctx, slid := b.Request()
			testkit.MustUpdate(t, ctx, a.own)
			testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
			if len(slid.Issued) != 2 || !slid.Expires.IsZero() {
				t.Errorf("%d cookies that end at %v", len(slid.Issued), slid.Expires)
			}
			clock.Advance(25 * time.Hour)
			wantUser(t, b, "")

			loginAs(t, b, "ann", stay.UntilBrowserCloses(), stay.For(time.Hour))
			ctx, out := b.Request()
			testkit.NoError(t, stay.SessionFrom(ctx).Logout(ctx))
			if len(out.Issued) == 0 || out.Expires.IsZero() {
				t.Error("the guest's cookie has no end")
			}
			loginAs(t, b, "ann", stay.UntilBrowserCloses())
			if answer := loginAs(t, b, "ann"); len(answer.Issued) == 0 || answer.Expires.IsZero() {
				t.Error("after a login as every other the cookie has no end")
			}
			if keep { // then the header may have been sent: the cookie stays as it is
				loginAs(t, b, "ann", stay.UntilBrowserCloses())
				ctx, late := b.Request()
				wantUser(t, b, "ann")
				late.Sent = true
				testkit.NoError(t, stay.SessionFrom(ctx).Logout(ctx))
				loginAs(t, b, "ann", stay.UntilBrowserCloses())
				loginAs(t, b, "ann")
			}
			if answer := loginAs(t, b, "ann"); keep && len(answer.Issued) > 0 {
				t.Error("a cookie that says the same is set again")
			}
		})
	}
}

// A session tells when its user logged in and last proved who they are.
//
// Proves S5.
func TestWhenTheUserLoggedInAndConfirmed(t *testing.T) {
	clock, st := testkit.NewClock(), testkit.Unclosed{Store: memstore.New()}
	a := newTermsApp(t, st, clock, stay.Options{})
	b := testkit.NewBrowser(a.App)
	want := func(loggedIn, confirmed time.Time) {
		t.Helper()
		s := stay.SessionFrom(b.Ctx())
		if !s.LoggedIn().Equal(loggedIn) || !s.Confirmed().Equal(confirmed) {
			t.Errorf("logged in at %v and confirmed at %v, want %v and %v", s.LoggedIn(), s.Confirmed(), loggedIn, confirmed)
		}
	}
	confirm := func(s *stay.Session) error { return s.Confirm(t.Context()) }
	want(time.Time{}, time.Time{})
	testkit.WantCode(t, confirm(stay.SessionFrom(b.Ctx())), stay.ErrDenied)
	testkit.MustUpdate(t, b.Ctx(), a.own)
	testkit.WantCode(t, confirm(stay.SessionFrom(b.Ctx())), stay.ErrDenied)
	testkit.WantCode(t, confirm(nil), stay.ErrNoSession)

	clock.Advance(time.Hour)
	loginAs(t, b, "ann")
	first := clock.Now()
	want(first, first)
	clock.Advance(time.Hour)
	want(first, first)
	old := *b
	testkit.NoError(t, confirm(stay.SessionFrom(b.Ctx())))
	second := clock.Now()
	want(first, second)
	if old.Token == b.Token {
		t.Error("a session whose user has confirmed has the cookie that it had")
	}
	_, err := a.own.Update(old.Ctx(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)
	testkit.WantCode(t, confirm(stay.SessionFrom(old.Ctx())), stay.ErrEnded)
	for s, err := range a.Sessions(t.Context(), "ann") {
		testkit.NoError(t, err)
		if !s.LoggedIn().Equal(first) || !s.Confirmed().Equal(second) {
			t.Errorf("the list says %v and %v", s.LoggedIn(), s.Confirmed())
		}
		testkit.WantCode(t, confirm(s), stay.ErrInternal) // nothing takes the cookie to the browser
	}

	testkit.NoError(t, a.Close(t.Context()))
	next := newTermsApp(t, st, clock, stay.Options{})
	b = b.On(next.App)
	want(first, second)
	clock.Advance(time.Hour)
	loginAs(t, b, "ann")
	want(clock.Now(), clock.Now())
	testkit.Logout(t, b)
	want(time.Time{}, time.Time{})
}

// A login that could not last is a mistake of the program, and changes nothing.
func TestALoginForNoTimeIsAMistake(t *testing.T) {
	a := newTermsApp(t, memstore.New(), testkit.NewClock(), stay.Options{})
	b := testkit.NewBrowser(a.App)
	for _, d := range []time.Duration{0, -time.Hour, 30} {
		ctx := b.Ctx()
		err := stay.SessionFrom(ctx).Login(ctx, "ann", stay.For(d))
		testkit.WantCode(t, err, stay.ErrInternal)
		if err == nil || !strings.Contains(err.Error(), "unit") {
			t.Errorf("the error is %v", err)
		}
	}
	wantUser(t, b, "")
}

// If the signing keys cannot be kept for as long as the login, it fails, and
// nothing has changed.
//
// Proves S6.
func TestALoginThatItsCookieWouldNotOutlastFails(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil)
	a := newTermsApp(t, st, testkit.NewClock(), stay.Options{})
	b := testkit.NewBrowser(a.App)
	testkit.MustUpdate(t, b.Ctx(), a.own)
	before := b.Token
	rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/keys", Fault: storefault.Fail(nil)})
	ctx := b.Ctx()
	testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann", stay.For(90*day)), stay.ErrUnavailable)
	if wantUser(t, b, ""); b.Token != before {
		t.Error("the cookie has changed")
	}
	rule.Remove()
	loginAs(t, b, "ann", stay.For(90*day))
	wantUser(t, b, "ann")
}
