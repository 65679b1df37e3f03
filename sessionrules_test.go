package stay_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/storefault"
)

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
