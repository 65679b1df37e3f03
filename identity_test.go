package stay_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// An identityApp has a module of each strategy that asks the session.
type identityApp struct {
	*stay.App
	clock     *clock
	own       *stay.State[counter] // PerSession
	user      *stay.State[counter] // PerUser
	resolved  *stay.State[counter] // ResolveKey
	ephemeral *stay.State[counter]
	all       *stay.State[counter] // Global
	keyed     *stay.State[todos]   // WithKey
	seen      string               // the ID that the Global action was called with
}

func newIdentityApp(t *testing.T, s store.Store) *identityApp {
	a := &identityApp{clock: newClock()}
	a.App = newApp(t, s, &stay.Options{Clock: a.clock.Now})
	module := func(name string, persist stay.Strategy) *stay.State[counter] {
		return stay.Register(a.App, stay.Module[counter]{Name: name, Persist: persist, Actions: stay.Actions[counter]{
			"add": func(c *stay.Call, s *counter) error { a.seen = c.Session().ID(); return increment(s) },
		}})
	}
	a.own, a.user = module("own", stay.PerSession), module("user", stay.PerUser)
	a.resolved = module("resolved", stay.ResolveKey(func(c *stay.Call, _ *counter) string { return c.Session().ID() }))
	a.ephemeral, a.all = module("ephemeral", nil), module("all", stay.Global)
	a.keyed = stay.Register(a.App, todosModule())
	return a
}

// bySession are the states that the context's session has.
func (a *identityApp) bySession() map[string]*stay.State[counter] {
	return map[string]*stay.State[counter]{"PerSession": a.own, "PerUser": a.user, "ResolveKey": a.resolved, "ephemeral": a.ephemeral}
}

// changes are all the ways to change a state.
var changes = map[string]func(ctx context.Context, s *stay.State[counter]) error{
	"Update": func(ctx context.Context, s *stay.State[counter]) error {
		_, err := s.Update(ctx, increment)
		return err
	},
	"Do":       func(ctx context.Context, s *stay.State[counter]) error { _, err := s.Do(ctx, "add", nil); return err },
	"Reset":    func(ctx context.Context, s *stay.State[counter]) error { _, err := s.Reset(ctx); return err },
	"ResetAll": func(ctx context.Context, s *stay.State[counter]) error { _, err := s.ResetAll(ctx); return err },
	"Delete":   func(ctx context.Context, s *stay.State[counter]) error { return s.Delete(ctx) },
}

// An identityCase is a cookie of a session in which ann has logged in.
type identityCase struct {
	// make has the browser's session end as the case says, and returns the
	// cookie that is tried; b goes on with what the session has then.
	make  func(t *testing.T, a *identityApp, b *browser) (tried string)
	quiet bool // within a minute it is nobody's, and begins no session
	good  bool
}

func replaced(verb func(s *stay.Session, ctx context.Context) error) identityCase {
	return identityCase{quiet: true, make: func(t *testing.T, _ *identityApp, b *browser) string {
		old := b.token
		ctx := b.ctx()
		noError(t, verb(stay.SessionFrom(ctx), ctx))
		return old
	}}
}

// unused has so many hours pass, and before that the session used for some.
func unused(used, hours int) identityCase {
	return identityCase{make: func(t *testing.T, a *identityApp, b *browser) string {
		for n := 0; n < used; n += 20 {
			a.clock.Advance(20 * time.Hour)
			wantCount(t, b.ctx(), a.own, 1)
		}
		a.clock.Advance(time.Duration(hours) * time.Hour)
		return b.token
	}}
}

var identityCases = map[string]identityCase{
	"current": {good: true, make: func(_ *testing.T, _ *identityApp, b *browser) string { return b.token }},
	"renewed": {good: true, make: func(t *testing.T, _ *identityApp, b *browser) string {
		ctx := b.ctx()
		noError(t, stay.SessionFrom(ctx).Renew(ctx))
		return b.token
	}},
	"replaced by Login":  replaced(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }),
	"replaced by Logout": replaced(func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) }),
	"replaced by Renew":  replaced((*stay.Session).Renew),
	"replaced by a key": {quiet: true, make: func(t *testing.T, a *identityApp, b *browser) string {
		old := b.token
		must(t)(a.keyed.Update(b.ctx(), become("cal")))
		return old
	}},
	"destroyed": replaced((*stay.Session).Destroy),
	"destroyed from elsewhere": {quiet: true, make: func(t *testing.T, a *identityApp, b *browser) string {
		for s, err := range a.Sessions(t.Context(), "ann") {
			noError(t, err)
			noError(t, s.Destroy(t.Context()))
		}
		return b.token
	}},
	"revoked": {quiet: true, make: func(t *testing.T, a *identityApp, b *browser) string {
		noError(t, a.Revoke(t.Context(), "ann"))
		return b.token
	}},
	"idle for too long": unused(0, 25),
	"over":              unused(700, 21),
	"forged": {make: func(t *testing.T, _ *identityApp, b *browser) string {
		t.Helper()
		token, err := b.ring.Verify(t.Context(), b.token)
		noError(t, err)
		forged, err := b.app.Keyring([][]byte{make([]byte, 32)}).Sign(t.Context(), token)
		noError(t, err)
		return forged
	}},
	"none": {make: func(*testing.T, *identityApp, *browser) string { return "" }},
}

// What a cookie that is not good any more says of its session is nothing, and it
// reaches nothing: neither by the session's own methods, nor by the states of its
// context, nor by what the program keeps under its ID.
//
// Proves S5, S7, B3, W1, W2.
func TestCookieThatDoesNotStandIsNobody(t *testing.T) {
	opens := map[string]func() store.Store{"shared": func() store.Store { return memstore.Shared(1)[0] }}
	for name, open := range keyStores {
		opens[name] = open
	}
	for what, c := range identityCases {
		for where, open := range opens {
			t.Run(what+"/"+where, func(t *testing.T) {
				a := newIdentityApp(t, open())
				b := newBrowser(a.App)
				wantCount(t, b.ctx(), a.own, 0) // the cookie is that of a guest's, first
				login(t, b, "ann")
				for _, s := range a.bySession() {
					mustUpdate(t, b.ctx(), s)
				}
				must(t)(a.keyed.Update(b.ctx(), addItem("secret")))
				id := stay.SessionFrom(b.ctx()).ID()
				if len(id) != 32 {
					t.Fatalf("the ID is %q", id)
				}
				tried := b.with(c.make(t, a, b))
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
	for _, s := range []*stay.State[counter]{a.own.At(id), a.user.At("ann"), a.resolved.At(id)} {
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
func (a *identityApp) wantOwner(t *testing.T, b *browser, id string) {
	t.Helper()
	ctx, r := b.request()
	s := stay.SessionFrom(ctx)
	if s.ID() != id || s.User() != "ann" || s.Created().IsZero() || s.LastSeen().IsZero() || s.Expires().IsZero() {
		t.Errorf("it is %q of %q, from %v to %v, seen %v", s.ID(), s.User(), s.Created(), s.Expires(), s.LastSeen())
	}
	if !r.used || len(r.issued) > 0 {
		t.Errorf("used: %v, issued: %q", r.used, r.issued)
	}
	for _, s := range a.bySession() {
		wantCount(t, ctx, s, 1)
	}
	wantCount(t, t.Context(), a.own.At(s.ID()), 1)
	wantState(t, ctx, a.keyed, `{"owner":{"id":"","role":""},"items":["secret"],"theme":"light"}`)
	if _, err := a.all.Do(ctx, "add", nil); err != nil || a.seen != id {
		t.Errorf("an action sees the session %q (%v)", a.seen, err)
	}
}

// wantNobody wants that the cookie names nobody and changes nothing.
func (a *identityApp) wantNobody(t *testing.T, b *browser) {
	t.Helper()
	fresh := func() (context.Context, *stay.Session, *response) {
		try := *b
		ctx, r := try.request()
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
		if !r.used || len(r.issued) > 0 {
			t.Errorf("%s: the response was marked: %v, cookies: %q", method, r.used, r.issued)
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
			wantCount(t, ctx, state, 0)
			for _, change := range changes {
				wantCode(t, change(ctx, state), stay.ErrEnded)
			}
			if !r.used || len(r.issued) > 0 {
				t.Errorf("%s in %s: the response was marked: %v, cookies: %q", name, how, r.used, r.issued)
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
		if !r.used {
			t.Errorf("%s: a page with At the ID is not marked", name)
		}
	}
	ctx, _, _ := fresh()
	wantState(t, ctx, a.keyed, guestState)
	_, err := a.keyed.Update(ctx, become("eve"))
	wantCode(t, err, stay.ErrEnded)
	a.seen = "?"
	if _, err := a.all.Do(ctx, "add", nil); err != nil || a.seen != "" {
		t.Errorf("an action sees the session %q (%v)", a.seen, err)
	}
}

// wantNew wants a session that has nothing of the one before. Its ID is that of
// the cookie that the browser gets.
func (a *identityApp) wantNew(t *testing.T, b *browser, id string) {
	t.Helper()
	s := stay.SessionFrom(b.with(b.token).ctx())
	if s.User() != "" || !s.LastSeen().IsZero() || !s.Expires().IsZero() {
		t.Errorf("the new session is of %q, seen %v, until %v", s.User(), s.LastSeen(), s.Expires())
	}
	try := *b
	ctx, r := try.request()
	s = stay.SessionFrom(ctx)
	got := s.ID()
	if len(got) != 32 || got == id || s.ID() != got {
		t.Errorf("the new session's ID is %q, the old one's %q", got, id)
	}
	if !r.used || len(r.issued) != 1 {
		t.Errorf("its response was marked: %v, cookies: %q", r.used, r.issued)
	}
	if again := stay.SessionFrom(try.ctx()).ID(); again != got {
		t.Errorf("with the cookie that came with the ID %q it is %q", got, again)
	}
	_, err := a.own.At(got).Get(t.Context())
	wantCode(t, err, stay.ErrNotFound)
	for _, state := range a.bySession() {
		wantCount(t, try.ctx(), state, 0)
	}
	mustUpdate(t, try.ctx(), a.own)
	wantCount(t, t.Context(), a.own.At(got), 1)
	wantCount(t, ctx, a.own, 1)
	if stay.SessionFrom(ctx).ID() != got {
		t.Error("the ID changed with the first state")
	}
}
