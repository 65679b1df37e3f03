package sessions_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// An identityApp has a module of each strategy that asks the session.
type identityApp struct {
	*stay.App
	clock     *testkit.Clock
	own       *stay.State[testkit.Counter] // PerSession
	user      *stay.State[testkit.Counter] // PerUser
	resolved  *stay.State[testkit.Counter] // ResolveKey
	ephemeral *stay.State[testkit.Counter]
	all       *stay.State[testkit.Counter] // Global
	keyed     *stay.State[testkit.Todos]   // WithKey
	seen      string                       // the ID that the Global action was called with
}

func newIdentityApp(t *testing.T, s store.Store) *identityApp {
	a := &identityApp{clock: testkit.NewClock()}
	a.App = testkit.NewApp(t, s, &stay.Options{Clock: a.clock.Now})
	module := func(name string, persist stay.Strategy) *stay.State[testkit.Counter] {
		return stay.Register(a.App, stay.Module[testkit.Counter]{Name: name, Persist: persist, Actions: stay.Actions[testkit.Counter]{
			"add": func(c *stay.Call, s *testkit.Counter) error { a.seen = c.Session().ID(); return testkit.Increment(s) },
		}})
	}
	a.own, a.user = module("own", stay.PerSession), module("user", stay.PerUser)
	a.resolved = module("resolved", stay.ResolveKey(func(c *stay.Call, _ *testkit.Counter) string { return c.Session().ID() }))
	a.ephemeral, a.all = module("ephemeral", nil), module("all", stay.Global)
	a.keyed = stay.Register(a.App, testkit.TodosModule())
	return a
}

// bySession are the states that the context's session has.
func (a *identityApp) bySession() map[string]*stay.State[testkit.Counter] {
	return map[string]*stay.State[testkit.Counter]{"PerSession": a.own, "PerUser": a.user, "ResolveKey": a.resolved, "ephemeral": a.ephemeral}
}

// changes are all the ways to change a state.
var changes = map[string]func(ctx context.Context, s *stay.State[testkit.Counter]) error{
	"Update": func(ctx context.Context, s *stay.State[testkit.Counter]) error {
		_, err := s.Update(ctx, testkit.Increment)
		return err
	},
	"Do": func(ctx context.Context, s *stay.State[testkit.Counter]) error {
		_, err := s.Do(ctx, "add", nil)
		return err
	},
	"Reset":    func(ctx context.Context, s *stay.State[testkit.Counter]) error { _, err := s.Reset(ctx); return err },
	"ResetAll": func(ctx context.Context, s *stay.State[testkit.Counter]) error { _, err := s.ResetAll(ctx); return err },
	"Delete":   func(ctx context.Context, s *stay.State[testkit.Counter]) error { return s.Delete(ctx) },
}

// An identityCase is a cookie of a session in which ann has logged in.
type identityCase struct {
	// make ends the browser's session as the case says, and returns the cookie
	// that is tried; b goes on with the session's new cookie.
	make  func(t *testing.T, a *identityApp, b *testkit.Browser) (tried string)
	quiet bool // within a minute it has no user, and begins no session
	good  bool
}

func replaced(verb func(s *stay.Session, ctx context.Context) error) identityCase {
	return identityCase{quiet: true, make: func(t *testing.T, _ *identityApp, b *testkit.Browser) string {
		old := b.Token
		ctx := b.Ctx()
		testkit.NoError(t, verb(stay.SessionFrom(ctx), ctx))
		return old
	}}
}

// unused has so many hours pass, and before that the session used for some.
func unused(used, hours int) identityCase {
	return identityCase{make: func(t *testing.T, a *identityApp, b *testkit.Browser) string {
		for n := 0; n < used; n += 20 {
			a.clock.Advance(20 * time.Hour)
			testkit.WantCount(t, b.Ctx(), a.own, 1)
		}
		a.clock.Advance(time.Duration(hours) * time.Hour)
		return b.Token
	}}
}

var identityCases = map[string]identityCase{
	"current": {good: true, make: func(_ *testing.T, _ *identityApp, b *testkit.Browser) string { return b.Token }},
	"renewed": {good: true, make: func(t *testing.T, _ *identityApp, b *testkit.Browser) string {
		ctx := b.Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
		return b.Token
	}},
	"replaced by Login":  replaced(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }),
	"replaced by Logout": replaced(func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) }),
	"replaced by Renew":  replaced((*stay.Session).Renew),
	"replaced by a key": {quiet: true, make: func(t *testing.T, a *identityApp, b *testkit.Browser) string {
		old := b.Token
		testkit.Must(t)(a.keyed.Update(b.Ctx(), testkit.Become("cal")))
		return old
	}},
	"destroyed": replaced((*stay.Session).Destroy),
	"destroyed from elsewhere": {quiet: true, make: func(t *testing.T, a *identityApp, b *testkit.Browser) string {
		for s, err := range a.Sessions(t.Context(), "ann") {
			testkit.NoError(t, err)
			testkit.NoError(t, s.Destroy(t.Context()))
		}
		return b.Token
	}},
	"revoked": {quiet: true, make: func(t *testing.T, a *identityApp, b *testkit.Browser) string {
		testkit.NoError(t, a.Revoke(t.Context(), "ann"))
		return b.Token
	}},
	"idle for too long": unused(0, 25),
	"over":              unused(700, 21),
	"forged": {make: func(t *testing.T, _ *identityApp, b *testkit.Browser) string {
		t.Helper()
		token, err := b.Ring.Verify(t.Context(), b.Token)
		testkit.NoError(t, err)
		forged, err := b.App.Keyring([][]byte{make([]byte, 32)}).Sign(t.Context(), token)
		testkit.NoError(t, err)
		return forged
	}},
	"none": {make: func(*testing.T, *identityApp, *testkit.Browser) string { return "" }},
}

// A cookie that is not valid any more reveals nothing of its session and
// reaches nothing: neither through the session's methods, nor through the
// states of its context, nor through data that the program keeps under its ID.
//
// Proves B3, S5, S7, W1, W2.
func TestCookieThatDoesNotStandIsNobody(t *testing.T) {
	opens := map[string]func() store.Store{"shared": func() store.Store { return memstore.Shared(1)[0] }}
	for name, open := range testkit.KeyStores {
		opens[name] = open
	}
	for what, c := range identityCases {
		for where, open := range opens {
			t.Run(what+"/"+where, func(t *testing.T) {
				a := newIdentityApp(t, open())
				b := testkit.NewBrowser(a.App)
				testkit.WantCount(t, b.Ctx(), a.own, 0) // the cookie is that of a guest's, first
				testkit.Login(t, b, "ann")
				for _, s := range a.bySession() {
					testkit.MustUpdate(t, b.Ctx(), s)
				}
				testkit.Must(t)(a.keyed.Update(b.Ctx(), testkit.AddItem("secret")))
				id := stay.SessionFrom(b.Ctx()).ID()
				if len(id) != 32 {
					t.Fatalf("the ID is %q", id)
				}
				tried := b.With(c.make(t, a, b))
				if c.good {
					a.wantOwner(t, tried, id)
					return
				}
				owner := a.stored(t, id)
				if c.quiet {
					a.wantNobody(t, tried)
					a.clock.Advance(59 * time.Second)
					a.wantNobody(t, tried)
					a.clock.Advance(2 * time.Second)
				}
				a.wantNew(t, tried, id)
				if after := a.stored(t, id); !slices.Equal(after, owner) {
					t.Errorf("the session's states were %v and are %v", owner, after)
				}
			})
		}
	}
}

// stored are the counters under the keys of the session, -1 for none.
func (a *identityApp) stored(t *testing.T, id string) (counts []int) {
	t.Helper()
	for _, s := range []*stay.State[testkit.Counter]{a.own.At(id), a.user.At("ann"), a.resolved.At(id)} {
		c, err := s.Get(t.Context())
		switch {
		case err == nil:
			counts = append(counts, c.Count)
		case stay.CodeOf(err) == stay.ErrNotFound:
			counts = append(counts, -1)
		default:
			t.Error(err)
		}
	}
	return counts
}

// wantOwner wants all that the session has.
func (a *identityApp) wantOwner(t *testing.T, b *testkit.Browser, id string) {
	t.Helper()
	ctx, r := b.Request()
	s := stay.SessionFrom(ctx)
	if s.ID() != id || s.User() != "ann" || s.Created().IsZero() || s.LastSeen().IsZero() || s.Expires().IsZero() {
		t.Errorf("it is %q of %q, from %v to %v, seen %v", s.ID(), s.User(), s.Created(), s.Expires(), s.LastSeen())
	}
	if !r.WasUsed || len(r.Issued) > 0 {
		t.Errorf("used: %v, issued: %q", r.WasUsed, r.Issued)
	}
	for _, s := range a.bySession() {
		testkit.WantCount(t, ctx, s, 1)
	}
	testkit.WantCount(t, t.Context(), a.own.At(s.ID()), 1)
	testkit.WantState(t, ctx, a.keyed, `{"owner":{"id":"","role":""},"items":["secret"],"theme":"light"}`)
	if _, err := a.all.Do(ctx, "add", nil); err != nil || a.seen != id {
		t.Errorf("an action sees the session %q (%v)", a.seen, err)
	}
}

// wantNobody checks that the cookie names no user and changes nothing.
func (a *identityApp) wantNobody(t *testing.T, b *testkit.Browser) {
	t.Helper()
	fresh := func() (context.Context, *stay.Session, *testkit.Response) {
		try := *b
		ctx, r := try.Request()
		return ctx, stay.SessionFrom(ctx), r
	}
	for method, says := range map[string]func(*stay.Session) bool{
		"ID":       func(s *stay.Session) bool { return s.ID() != "" },
		"User":     func(s *stay.Session) bool { return s.User() != "" },
		"Created":  func(s *stay.Session) bool { return !s.Created().IsZero() },
		"LastSeen": func(s *stay.Session) bool { return !s.LastSeen().IsZero() },
		"Expires":  func(s *stay.Session) bool { return !s.Expires().IsZero() },
	} {
		_, s, r := fresh()
		if says(s) {
			t.Errorf("%s tells of the session", method)
		}
		if !r.WasUsed || len(r.Issued) > 0 {
			t.Errorf("%s: the response was marked: %v, cookies: %q", method, r.WasUsed, r.Issued)
		}
	}
	for name, state := range a.bySession() {
		for how, in := range map[string]func(ctx context.Context, s *stay.Session) context.Context{
			"the request":  func(ctx context.Context, _ *stay.Session) context.Context { return ctx },
			"WithSession":  func(_ context.Context, s *stay.Session) context.Context { return stay.WithSession(t.Context(), s) },
			"after its ID": func(ctx context.Context, s *stay.Session) context.Context { s.ID(); return ctx },
		} {
			ctx, s, r := fresh()
			ctx = in(ctx, s)
			testkit.WantCount(t, ctx, state, 0)
			for _, change := range changes {
				testkit.WantCode(t, change(ctx, state), stay.ErrEnded)
			}
			if !r.WasUsed || len(r.Issued) > 0 {
				t.Errorf("%s in %s: the response was marked: %v, cookies: %q", name, how, r.WasUsed, r.Issued)
			}
		}
		if state == a.ephemeral {
			continue
		}
		_, s, r := fresh()
		at := state.At(s.ID())
		if _, err := at.Get(t.Context()); err == nil {
			t.Errorf("%s: At the ID reads a state", name)
		}
		for how, change := range changes {
			if change(t.Context(), at) == nil {
				t.Errorf("%s: At the ID %s changes a state", name, how)
			}
		}
		if !r.WasUsed {
			t.Errorf("%s: a page with At the ID is not marked", name)
		}
	}
	ctx, _, _ := fresh()
	testkit.WantState(t, ctx, a.keyed, testkit.GuestState)
	_, err := a.keyed.Update(ctx, testkit.Become("eve"))
	testkit.WantCode(t, err, stay.ErrEnded)
	a.seen = "?"
	if _, err := a.all.Do(ctx, "add", nil); err != nil || a.seen != "" {
		t.Errorf("an action sees the session %q (%v)", a.seen, err)
	}
}

// wantNew checks that the session has nothing of the one before. Its ID is that
// of the cookie that the browser gets.
func (a *identityApp) wantNew(t *testing.T, b *testkit.Browser, id string) {
	t.Helper()
	s := stay.SessionFrom(b.With(b.Token).Ctx())
	if s.User() != "" || !s.LastSeen().IsZero() || !s.Expires().IsZero() {
		t.Errorf("the new session is of %q, seen %v, until %v", s.User(), s.LastSeen(), s.Expires())
	}
	try := *b
	ctx, r := try.Request()
	s = stay.SessionFrom(ctx)
	got := s.ID()
	if len(got) != 32 || got == id || s.ID() != got {
		t.Errorf("the new session's ID is %q, the old one's %q", got, id)
	}
	if !r.WasUsed || len(r.Issued) != 1 {
		t.Errorf("its response was marked: %v, cookies: %q", r.WasUsed, r.Issued)
	}
	if again := stay.SessionFrom(try.Ctx()).ID(); again != got {
		t.Errorf("with the cookie that came with the ID %q it is %q", got, again)
	}
	_, err := a.own.At(got).Get(t.Context())
	testkit.WantCode(t, err, stay.ErrNotFound)
	for _, state := range a.bySession() {
		testkit.WantCount(t, try.Ctx(), state, 0)
	}
	testkit.MustUpdate(t, try.Ctx(), a.own)
	testkit.WantCount(t, t.Context(), a.own.At(got), 1)
	testkit.WantCount(t, ctx, a.own, 1)
	if stay.SessionFrom(ctx).ID() != got {
		t.Error("the ID changed with the first state")
	}
}
