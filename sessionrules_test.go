package stay_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// S1: a session's record is stored with what it first needs to remember, in
// one group: a state, a login or an attachment. Until then, and by asking,
// nothing is stored.
func TestS1WhatIsStoredWhen(t *testing.T) {
	type app struct {
		own *stay.State[counter]
		s   *stay.State[todos]
		p   *stay.State[profile]
	}
	for what, c := range map[string]struct {
		do    func(a *app, ctx context.Context) error
		wants []string // beside the session's record
	}{
		"reading": {func(a *app, ctx context.Context) error {
			for _, get := range []func() error{
				func() error { _, err := a.own.Get(ctx); return err },
				func() error { _, err := a.s.Get(ctx); return err },
				func() error { _, err := a.p.Get(ctx); return err },
				func() error { stay.SessionFrom(ctx).User(); return nil },
			} {
				if err := get(); err != nil {
					return err
				}
			}
			return nil
		}, nil},
		"a change that changes nothing": {func(a *app, ctx context.Context) error {
			_, err := a.own.Update(ctx, func(*counter) error { return nil })
			return err
		}, nil},
		"a state": {func(a *app, ctx context.Context) error {
			_, err := a.own.Update(ctx, increment)
			return err
		}, []string{"session/own/ID"}},
		"an attachment": {func(a *app, ctx context.Context) error {
			_, err := a.s.Update(ctx, become("ann"))
			return err
		}, []string{"key/todos/ann"}},
		"a login": {func(a *app, ctx context.Context) error {
			return stay.SessionFrom(ctx).Login(ctx, "ann")
		}, []string{"stay/user/ann"}},
	} {
		t.Run(what, func(t *testing.T) {
			onJournals(t, stay.Options{}, func(t *testing.T, j *journal, x *stay.App) {
				a := &app{
					own: stay.Register(x, stay.Module[counter]{Name: "own", Persist: stay.PerSession}),
					s:   stay.Register(x, todosModule()),
					p:   stay.Register(x, stay.Module[profile]{Name: "profile", Persist: stay.PerUser}),
				}
				b := newBrowser(x)
				id := b.known(t, a.s)
				if groups := j.take(); len(groups) > 0 {
					t.Errorf("a first look stored %q", groups)
				}
				if err := c.do(a, b.ctx()); err != nil {
					t.Fatal(err)
				}
				if c.wants == nil {
					wantGroups(t, what, j.take())
					return
				}
				want := []string{"stay/session/" + id}
				for _, key := range c.wants {
					want = append(want, strings.ReplaceAll(key, "ID", id))
				}
				wantGroups(t, what, j.take(), want)
			})
		})
	}
}

// S1: for a module in another store the session's record is written first; a
// state whose session's record is missing is read as usual.
func TestS1ModuleInAnotherStore(t *testing.T) {
	var order []string
	note := func(which string, s store.Store) *storefault.Store {
		return storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
			for _, g := range c.Groups {
				for _, w := range g {
					if w.Op != store.Check && w.Key != "stay/keys" {
						prefix, _, _ := strings.Cut(w.Key, "/")
						order = append(order, which+" "+prefix)
					}
				}
			}
		}})
	}
	main, other := note("main", memstore.New()), note("other", memstore.New())
	app := newApp(t, main, &stay.Options{OnError: quiet})
	s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Store: other})
	b := newBrowser(app)
	mustUpdate(t, b.ctx(), s)
	if want := []string{"main stay", "other session"}; !slices.Equal(order, want) {
		t.Errorf("written in the order %q, want %q", order, want)
	}
	order = nil
	mustUpdate(t, b.ctx(), s)
	if want := []string{"other session"}; !slices.Equal(order, want) {
		t.Errorf("the second change wrote %q, want %q", order, want)
	}

	// A first change whose second half fails leaves a session without state.
	rule := other.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
	two := newBrowser(app)
	_, err := s.Update(two.ctx(), increment)
	wantCode(t, err, stay.ErrUnavailable)
	rule.Remove()
	wantCount(t, two.ctx(), s, 0)
	mustUpdate(t, two.ctx(), s)
	wantCount(t, two.ctx(), s, 1)
}

// S1: a state whose session's record is gone is read as usual by the cookie
// that names it.
func TestS1StateWithoutSessionRecord(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := unclosed{open()}
			app := stay.New(st, nil)
			register := func(app *stay.App) *stay.State[counter] {
				return stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession})
			}
			s := register(app)
			b := newBrowser(app)
			wantCount(t, b.ctx(), s, 0)
			mustUpdate(t, b.ctx(), s)
			record := "stay/session/" + stay.SessionFrom(b.ctx()).ID()
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			commit(t, st, store.Write{Op: store.Delete, Key: record, Base: load(t, st, record).Revision})
			app = newApp(t, st, nil)
			s = register(app)
			b = b.on(app)
			wantCount(t, b.ctx(), s, 1)
			mustUpdate(t, b.ctx(), s)
			wantCount(t, b.ctx(), s, 2)
		})
	}
}

// B3, W1: only a hash of the session's id is stored, whatever the session
// does; nothing in the store lets anybody make its cookie.
func TestB3W1OnlyAHashIsStored(t *testing.T) {
	st := memstore.New()
	app := newApp(t, st, &stay.Options{Guests: stay.GuestStored})
	s := stay.Register(app, todosModule())
	p := stay.Register(app, stay.Module[profile]{Name: "profile", Persist: stay.PerUser})
	b := newBrowser(app)
	must(t)(s.Get(b.ctx()))
	token, err := base64.RawURLEncoding.DecodeString(b.token)
	if err != nil {
		t.Fatal(err)
	}
	must(t)(s.Update(b.ctx(), addItem("x")))
	must(t)(s.Update(b.ctx(), become("ann")))
	login(t, b, "ann")
	change(t, b.ctx(), p, name("Ann"))
	keys := rows(t, st)
	if len(keys) < 4 {
		t.Fatalf("stored %q", keys)
	}
	for _, key := range keys {
		rec := load(t, st, key)
		for i := 0; i+16 <= len(token); i++ {
			secret := token[i : i+16]
			for _, form := range [][]byte{secret, []byte(base64.RawURLEncoding.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret))} {
				if bytes.Contains(rec.Value, form) || bytes.Contains(rec.Meta, form) || strings.Contains(key, string(form)) {
					t.Errorf("%q holds 16 bytes of the cookie", key)
				}
			}
		}
	}
}

// S5: whatever refuses a cookie, for a minute its answers set no cookie and
// change nothing, then it is one that nobody knows: it begins a new session,
// which has nothing of the old one.
func TestS5QuietMinute(t *testing.T) {
	type app struct {
		*stay.App
		s *stay.State[todos]
		p *stay.State[profile]
	}
	verb := func(fn func(s *stay.Session, ctx context.Context) error) func(*app, *browser) error {
		return func(_ *app, b *browser) error { ctx := b.ctx(); return fn(stay.SessionFrom(ctx), ctx) }
	}
	key := func(id string) func(*app, *browser) error {
		return func(a *app, b *browser) error { _, err := a.s.Update(b.ctx(), become(id)); return err }
	}
	for what, c := range map[string]struct {
		do   func(*app, *browser) error
		goes bool // the browser has a new cookie of the same session
	}{
		"a logout by key": {key(""), true},
		"a switch by key": {key("bob"), true},
		"Login":           {verb(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }), true},
		"Logout":          {verb(func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) }), true},
		"Renew":           {verb(func(s *stay.Session, ctx context.Context) error { return s.Renew(ctx) }), true},
		"Destroy":         {verb(func(s *stay.Session, ctx context.Context) error { return s.Destroy(ctx) }), false},
		"Revoke":          {func(a *app, _ *browser) error { return a.Revoke(context.Background(), "ann") }, false},
	} {
		t.Run(what, func(t *testing.T) {
			for name, open := range keyStores {
				t.Run(name, func(t *testing.T) {
					clk := newClock()
					x := newApp(t, open(), &stay.Options{Clock: clk.Now})
					a := &app{x, stay.Register(x, todosModule()), stay.Register(x, stay.Module[profile]{Name: "profile", Persist: stay.PerUser})}
					b := newBrowser(x)
					login(t, b, "ann")
					must(t)(a.s.Update(b.ctx(), become("ann")))
					must(t)(a.s.Update(b.ctx(), addItem("secret")))
					change(t, b.ctx(), a.p, func(p *profile) error { p.Name = "Ann"; return nil })
					old, id := *b, stay.SessionFrom(b.ctx()).ID()
					if err := c.do(a, b); err != nil {
						t.Fatal(err)
					}
					if c.goes && (b.token == old.token || stay.SessionFrom(b.ctx()).ID() != id) {
						t.Error("the session does not go on with a new cookie")
					}
					for _, wait := range []time.Duration{0, 59 * time.Second} {
						clk.Advance(wait)
						try := old
						ctx, answer := try.request()
						wantState(t, ctx, a.s, guestState)
						wantState(t, ctx, a.p, `{"name":""}`)
						if user := stay.SessionFrom(ctx).User(); user != "" {
							t.Errorf("the old cookie is %q's", user)
						}
						_, err := a.s.Update(ctx, addItem("stolen"))
						wantCode(t, err, stay.ErrEnded)
						_, err = a.s.Update(ctx, become("eve"))
						wantCode(t, err, stay.ErrEnded)
						_, err = a.p.Update(ctx, func(p *profile) error { p.Name = "Eve"; return nil })
						wantCode(t, err, stay.ErrEnded)
						wantCode(t, stay.SessionFrom(ctx).Login(ctx, "eve"), stay.ErrEnded)
						wantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrEnded)
						if len(answer.issued) > 0 {
							t.Errorf("%v later the old cookie was answered with %q", wait, answer.issued)
						}
					}
					clk.Advance(2 * time.Second)
					late := old
					ctx, answer := late.request()
					must(t)(a.s.Update(ctx, addItem("anew")))
					if len(answer.issued) != 1 || stay.SessionFrom(late.ctx()).ID() == id {
						t.Error("after a minute no new session began")
					}
					wantState(t, late.ctx(), a.s, `{"owner":{"id":"","role":""},"items":["anew"],"theme":"light"}`)
					wantState(t, t.Context(), a.s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["secret"],"theme":"light"}`)
					_, err := a.s.At("eve").Get(t.Context())
					wantCode(t, err, stay.ErrNotFound)
				})
			}
		})
	}
}

// S5: what is under way when a session is logged out, ended, renewed or
// revoked changes no attachment and creates nothing: neither a login by key
// nor a Login nor the first state of a user.
func TestS5UnderWayChangesNoAttachment(t *testing.T) {
	type app struct {
		*stay.App
		s *stay.State[todos]
		p *stay.State[profile]
	}
	ends := map[string]func(a *app, b *browser) error{
		"Logout":  func(_ *app, b *browser) error { ctx := b.ctx(); return stay.SessionFrom(ctx).Logout(ctx) },
		"Renew":   func(_ *app, b *browser) error { ctx := b.ctx(); return stay.SessionFrom(ctx).Renew(ctx) },
		"Destroy": func(_ *app, b *browser) error { ctx := b.ctx(); return stay.SessionFrom(ctx).Destroy(ctx) },
		"Revoke":  func(a *app, _ *browser) error { return a.Revoke(context.Background(), "ann") },
	}
	works := map[string]func(a *app, ctx context.Context, reached func()) error{
		"a login by key": func(a *app, ctx context.Context, reached func()) error {
			_, err := a.s.Update(ctx, func(t *todos) error { reached(); return become("eve")(t) })
			return err
		},
		"a first state": func(a *app, ctx context.Context, reached func()) error {
			_, err := a.p.Update(ctx, func(p *profile) error { reached(); p.Name = "late"; return nil })
			return err
		},
	}
	for end, finish := range ends {
		for work, begin := range works {
			t.Run(end+" during "+work, func(t *testing.T) {
				for name, open := range keyStores {
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							x := newApp(t, open(), nil)
							a := &app{x, stay.Register(x, todosModule()), stay.Register(x, stay.Module[profile]{Name: "profile", Persist: stay.PerUser})}
							b := newBrowser(x)
							login(t, b, "ann")
							inRun, goOn, done := make(chan struct{}, 9), make(chan struct{}), make(chan error, 1)
							ctx := b.ctx()
							go func() { done <- begin(a, ctx, func() { inRun <- struct{}{}; <-goOn }) }()
							<-inRun
							ended := make(chan error, 1)
							go func() { ended <- finish(a, b) }()
							synctest.Wait()
							close(goOn)
							if err := <-ended; err != nil {
								t.Fatal(err)
							}
							err := <-done
							_, eve := a.s.At("eve").Get(t.Context())
							_, late := a.p.At("ann").Get(t.Context())
							if err != nil {
								wantCode(t, err, stay.ErrEnded)
								wantCode(t, eve, stay.ErrNotFound)
								wantCode(t, late, stay.ErrNotFound)
							} else {
								t.Errorf("the change was made although the session had gone on without it (eve: %v, late: %v)", eve, late)
							}
							if end == "Logout" || end == "Renew" {
								wantState(t, b.ctx(), a.s, guestState)
							}
						})
					})
				}
			})
		}
	}
}

// S1: modules in several stores share one session, whichever is used first.
func TestS1ModulesInSeveralStores(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			main, other := unclosed{open()}, unclosed{open()}
			var here, there, elsewhere *stay.State[counter]
			start := func() *stay.App {
				app := stay.New(main, &stay.Options{MaxWait: time.Second})
				here = stay.Register(app, stay.Module[counter]{Name: "here", Persist: stay.PerSession})
				there = stay.Register(app, stay.Module[counter]{Name: "there", Persist: stay.PerSession, Store: other})
				elsewhere = stay.Register(app, stay.Module[counter]{Name: "elsewhere", Persist: stay.PerSession, Store: other})
				return app
			}
			app := start()
			order := func() [][]*stay.State[counter] {
				return [][]*stay.State[counter]{{here, there, elsewhere}, {there, here, elsewhere}, {there, elsewhere, here}}
			}
			var browsers []*browser
			for _, states := range order() {
				b := newBrowser(app)
				wantCount(t, b.ctx(), here, 0)
				for _, s := range states {
					mustUpdate(t, b.ctx(), s)
				}
				ctx := b.ctx()
				if err := stay.SessionFrom(ctx).Renew(ctx); err != nil {
					t.Fatal(err)
				}
				browsers = append(browsers, b)
			}
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			app = start()
			t.Cleanup(func() { _ = app.Close(context.Background()) })
			for i, b := range browsers {
				b = b.on(app)
				id := stay.SessionFrom(b.ctx()).ID()
				for _, s := range order()[i] {
					mustUpdate(t, b.ctx(), s)
					wantCount(t, b.ctx(), s, 2)
				}
				if load(t, main, "stay/session/"+id).Revision == 0 || load(t, other, "stay/session/"+id).Revision != 0 {
					t.Error("the session's record is not where the sessions are")
				}
				ctx := b.ctx()
				if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
					t.Fatal(err)
				}
				for _, key := range []string{"session/there/", "session/elsewhere/"} {
					if load(t, other, key+id).Revision != 0 {
						t.Errorf("%s is left of a destroyed session", key)
					}
				}
			}
		})
	}
}

// S6: the records of a session and of its guests expire with it at the latest;
// those under users and keys, and Global ones, never do, unless their module
// has an Expiry.
func TestS6ExpiryOfRecords(t *testing.T) {
	st := memstore.New()
	clk := newClock()
	app := newApp(t, st, &stay.Options{Clock: clk.Now, Guests: stay.GuestStored, IdleTimeout: time.Hour, Lifetime: 30 * time.Hour})
	begin := clk.Now()
	never, lifetime := time.Time{}, begin.Add(30*time.Hour)
	later := 10 * time.Minute
	own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
	eph := stay.Register(app, stay.Module[counter]{Name: "eph"})
	global := stay.Register(app, stay.Module[counter]{Name: "global", Persist: stay.Global})
	short := stay.Register(app, stay.Module[counter]{Name: "short", Persist: stay.Global, Expiry: time.Minute})
	p := stay.Register(app, stay.Module[profile]{Name: "profile", Persist: stay.PerUser})
	pShort := stay.Register(app, stay.Module[profile]{Name: "pshort", Persist: stay.PerUser, Expiry: 2 * time.Minute})
	s := stay.Register(app, todosModule())
	m := todosModule()
	m.Name, m.Expiry = "kshort", 3*time.Minute
	kShort := stay.Register(app, m)

	b := newBrowser(app)
	id := b.known(t, s)
	clk.Advance(later)
	work := func() {
		for _, c := range []*stay.State[counter]{own, eph, global, short} {
			mustUpdate(t, b.ctx(), c)
		}
		for _, c := range []*stay.State[profile]{p, pShort} {
			change(t, b.ctx(), c, func(p *profile) error { p.Name += "x"; return nil })
		}
		for _, c := range []*stay.State[todos]{s, kShort} {
			change(t, b.ctx(), c, addItem("x"))
		}
	}
	want := func(expires map[string]time.Time) {
		t.Helper()
		for key, at := range expires {
			rec := loadAt(t, st, clk.Now(), key)
			if rec.Revision == 0 {
				t.Errorf("%s is not stored", key)
			} else if !rec.Expires.Equal(at) {
				t.Errorf("%s expires %v, want %v", key, rec.Expires, at)
			}
		}
	}
	work()
	now := clk.Now()
	want(map[string]time.Time{
		"session/own/" + id: lifetime, "guest/eph/" + id: lifetime,
		"guest/profile/" + id: lifetime, "guest/pshort/" + id: lifetime, "guest/todos/" + id: lifetime, "guest/kshort/" + id: lifetime,
		"global/global/": never, "global/short/": now.Add(time.Minute),
		"stay/session/" + id: now.Add(time.Hour),
	})
	login(t, b, "ann")
	must(t)(s.Update(b.ctx(), become("ann")))
	must(t)(kShort.Update(b.ctx(), become("ann")))
	clk.Advance(30 * time.Second)
	work()
	now = clk.Now()
	want(map[string]time.Time{
		"session/own/" + id: lifetime, "guest/eph/" + id: lifetime, "global/global/": never,
		"user/profile/ann": never, "user/pshort/ann": now.Add(2 * time.Minute),
		"key/todos/ann": never, "key/kshort/ann": now.Add(3 * time.Minute),
	})
}

func loadAt(t *testing.T, s store.Store, now time.Time, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), now, []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

// S7: Revoke is one write to the user's record, however many sessions there
// are, and reads none of them.
func TestS7RevokeIsOneWrite(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := unclosed{open()}
			app := stay.New(st, nil)
			p, _ := userModules(app)
			var browsers []*browser
			for range 30 {
				b := newBrowser(app)
				login(t, b, "ann")
				browsers = append(browsers, b)
			}
			change(t, browsers[0].ctx(), p, func(p *profile) error { p.Name = "Ann"; return nil })
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var calls []string
			app = newApp(t, storefault.Wrap(st, &storefault.Options{Hook: func(c storefault.Call) {
				if c.Op == storefault.Load || c.Op == storefault.Commit {
					for _, key := range c.Keys {
						calls = append(calls, c.Op.String()+" "+key)
					}
					for _, g := range c.Groups {
						if c.Keys == nil {
							calls = append(calls, c.Op.String()+" "+g[0].Key)
						}
					}
				}
			}}), nil)
			p, _ = userModules(app)
			if err := app.Revoke(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			if want := []string{"load stay/user/ann", "commit stay/user/ann"}; !slices.Equal(calls, want) {
				t.Errorf("Revoke asked the store for %q, want %q", calls, want)
			}
			for _, b := range browsers {
				ctx := b.on(app).ctx()
				wantState(t, ctx, p, `{"name":"guest"}`)
				_, err := p.Update(ctx, func(p *profile) error { p.Name = "thief"; return nil })
				wantCode(t, err, stay.ErrEnded)
			}
			wantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
		})
	}
}

// E10: no session verb works with the context of an action, and all do in
// what it puts off with After: a Login there has the user's states in place
// before Do returns.
func TestE10SessionVerbs(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		verbs := map[string]func(s *stay.Session, ctx context.Context) error{
			"Login":   func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") },
			"Logout":  func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) },
			"Renew":   func(s *stay.Session, ctx context.Context) error { return s.Renew(ctx) },
			"Destroy": func(s *stay.Session, ctx context.Context) error { return s.Destroy(ctx) },
		}
		var inner map[string]error
		actions := stay.Actions[counter]{
			"all": func(c *stay.Call, _ *counter) error {
				inner = map[string]error{}
				for verb, fn := range verbs {
					inner[verb] = fn(c.Session(), c.Context())
				}
				return nil
			},
			"login": func(c *stay.Call, s *counter) error {
				s.Count++
				c.After(func(ctx context.Context) { inner["After"] = c.Session().Login(ctx, "ann") })
				return nil
			},
		}
		m := stay.Register(app, stay.Module[counter]{Name: "m", Persist: stay.PerSession, Actions: actions})
		p := stay.Register(app, stay.Module[profile]{Name: "profile", Initial: profile{"guest"}, Persist: stay.PerUser})
		change(t, t.Context(), p.At("ann"), func(p *profile) error { p.Name = "Ann"; return nil })
		b := newBrowser(app)
		if _, err := m.Do(b.ctx(), "all", nil); err != nil {
			t.Fatal(err)
		}
		for verb := range verbs {
			if err := inner[verb]; err == nil {
				t.Errorf("%s worked inside an action", verb)
			} else {
				wantCode(t, err, stay.ErrNested)
			}
		}
		token := b.token
		if _, err := m.Do(b.ctx(), "login", nil); err != nil || inner["After"] != nil {
			t.Fatal(err, inner["After"])
		}
		if b.token == token {
			t.Error("the Login in After gave no new cookie")
		}
		wantState(t, b.ctx(), p, `{"name":"Ann"}`)
		wantCount(t, b.ctx(), m, 1)
		if user := stay.SessionFrom(b.ctx()).User(); user != "ann" {
			t.Errorf("the user is %q", user)
		}
	})
}
