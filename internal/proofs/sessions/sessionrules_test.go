package sessions_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/storefault"
)

// Whatever made a cookie invalid, for a minute its answers set no cookie and
// change nothing; then it is unknown and begins a new session, which has
// nothing of the old one.
//
// Proves S5.
func TestRefusedCookiesAreAnsweredQuietlyForAMinute(t *testing.T) {
	type app struct {
		*stay.App
		s *stay.State[testkit.Todos]
		p *stay.State[testkit.Profile]
	}
	verb := func(fn func(s *stay.Session, ctx context.Context) error) func(*app, *testkit.Browser) error {
		return func(_ *app, b *testkit.Browser) error { ctx := b.Ctx(); return fn(stay.SessionFrom(ctx), ctx) }
	}
	key := func(id string) func(*app, *testkit.Browser) error {
		return func(a *app, b *testkit.Browser) error { _, err := a.s.Update(b.Ctx(), testkit.Become(id)); return err }
	}
	for what, c := range map[string]struct {
		do   func(*app, *testkit.Browser) error
		goes bool // the browser has a new cookie of the same session
	}{
		"a logout by key": {key(""), true},
		"a switch by key": {key("bob"), true},
		"Login":           {verb(func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") }), true},
		"Logout":          {verb(func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) }), true},
		"Renew":           {verb(func(s *stay.Session, ctx context.Context) error { return s.Renew(ctx) }), true},
		"Destroy":         {verb(func(s *stay.Session, ctx context.Context) error { return s.Destroy(ctx) }), false},
		"Revoke":          {func(a *app, _ *testkit.Browser) error { return a.Revoke(context.Background(), "ann") }, false},
	} {
		t.Run(what, func(t *testing.T) {
			for name, open := range testkit.KeyStores {
				t.Run(name, func(t *testing.T) {
					clk := testkit.NewClock()
					x := testkit.NewApp(t, open(), &stay.Options{Clock: clk.Now})
					a := &app{x, stay.Register(x, testkit.TodosModule()), stay.Register(x, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser})}
					b := testkit.NewBrowser(x)
					testkit.Login(t, b, "ann")
					testkit.Must(t)(a.s.Update(b.Ctx(), testkit.Become("ann")))
					testkit.Must(t)(a.s.Update(b.Ctx(), testkit.AddItem("secret")))
					testkit.Change(t, b.Ctx(), a.p, func(p *testkit.Profile) error { p.Name = "Ann"; return nil })
					old, id := *b, stay.SessionFrom(b.Ctx()).ID()
					if err := c.do(a, b); err != nil {
						t.Fatal(err)
					}
					if c.goes && (b.Token == old.Token || stay.SessionFrom(b.Ctx()).ID() != id) {
						t.Error("the session does not go on with a new cookie")
					}
					for _, wait := range []time.Duration{0, 59 * time.Second} {
						clk.Advance(wait)
						try := old
						ctx, answer := try.Request()
						testkit.WantState(t, ctx, a.s, testkit.GuestState)
						testkit.WantState(t, ctx, a.p, `{"name":""}`)
						if user := stay.SessionFrom(ctx).User(); user != "" {
							t.Errorf("the old cookie is %q's", user)
						}
						_, err := a.s.Update(ctx, testkit.AddItem("stolen"))
						testkit.WantCode(t, err, stay.ErrEnded)
						_, err = a.s.Update(ctx, testkit.Become("eve"))
						testkit.WantCode(t, err, stay.ErrEnded)
						_, err = a.p.Update(ctx, func(p *testkit.Profile) error { p.Name = "Eve"; return nil })
						testkit.WantCode(t, err, stay.ErrEnded)
						testkit.WantCode(t, stay.SessionFrom(ctx).Logout(ctx), stay.ErrEnded)
						testkit.WantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrEnded)
						if len(answer.Issued) > 0 {
							t.Errorf("%v later the old cookie was answered with %q", wait, answer.Issued)
						}
						testkit.LoginAnew(t, &try, "carl", id)
						testkit.WantState(t, try.Ctx(), a.s, testkit.GuestState)
					}
					clk.Advance(2 * time.Second)
					late := old
					ctx, answer := late.Request()
					testkit.Must(t)(a.s.Update(ctx, testkit.AddItem("anew")))
					if len(answer.Issued) != 1 || stay.SessionFrom(late.Ctx()).ID() == id {
						t.Error("after a minute no new session began")
					}
					testkit.WantState(t, late.Ctx(), a.s, `{"owner":{"id":"","role":""},"items":["anew"],"theme":"light"}`)
					testkit.WantState(t, t.Context(), a.s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["secret"],"theme":"light"}`)
					_, err := a.s.At("eve").Get(t.Context())
					testkit.WantCode(t, err, stay.ErrNotFound)
				})
			}
		})
	}
}

// What is under way when a session is logged out, ended, renewed or revoked
// changes no attachment and creates nothing: neither a login by key nor a Login
// nor the first state of a user.
//
// Proves S5.
func TestWhatIsUnderWayChangesNoAttachment(t *testing.T) {
	type app struct {
		*stay.App
		s *stay.State[testkit.Todos]
		p *stay.State[testkit.Profile]
	}
	ends := map[string]func(a *app, b *testkit.Browser) error{
		"Logout":  func(_ *app, b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Logout(ctx) },
		"Renew":   func(_ *app, b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Renew(ctx) },
		"Destroy": func(_ *app, b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Destroy(ctx) },
		"Revoke":  func(a *app, _ *testkit.Browser) error { return a.Revoke(context.Background(), "ann") },
	}
	works := map[string]func(a *app, ctx context.Context, reached func()) error{
		"a login by key": func(a *app, ctx context.Context, reached func()) error {
			_, err := a.s.Update(ctx, func(t *testkit.Todos) error { reached(); return testkit.Become("eve")(t) })
			return err
		},
		"a first state": func(a *app, ctx context.Context, reached func()) error {
			_, err := a.p.Update(ctx, func(p *testkit.Profile) error { reached(); p.Name = "late"; return nil })
			return err
		},
	}
	for end, finish := range ends {
		for work, begin := range works {
			t.Run(end+" during "+work, func(t *testing.T) {
				for name, open := range testkit.KeyStores {
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							x := testkit.NewApp(t, open(), nil)
							a := &app{x, stay.Register(x, testkit.TodosModule()), stay.Register(x, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser})}
							b := testkit.NewBrowser(x)
							testkit.Login(t, b, "ann")
							inRun, goOn, done := make(chan struct{}, 9), make(chan struct{}), make(chan error, 1)
							ctx := b.Ctx()
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
								testkit.WantCode(t, err, stay.ErrEnded)
								testkit.WantCode(t, eve, stay.ErrNotFound)
								testkit.WantCode(t, late, stay.ErrNotFound)
							} else {
								t.Errorf("the change was made although the session had gone on without it (eve: %v, late: %v)", eve, late)
							}
							if end == "Logout" || end == "Renew" {
								testkit.WantState(t, b.Ctx(), a.s, testkit.GuestState)
							}
						})
					})
				}
			})
		}
	}
}

// Revoke is one write to the user's record, however many sessions there are,
// and reads none of them.
//
// Proves S7.
func TestRevokeIsOneWrite(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := testkit.Unclosed{Store: open()}
			app := stay.New(st, nil)
			p, _ := testkit.UserModules(app)
			var browsers []*testkit.Browser
			for range 30 {
				b := testkit.NewBrowser(app)
				testkit.Login(t, b, "ann")
				browsers = append(browsers, b)
			}
			testkit.Change(t, browsers[0].Ctx(), p, func(p *testkit.Profile) error { p.Name = "Ann"; return nil })
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var calls []string
			app = testkit.NewApp(t, storefault.Wrap(st, &storefault.Options{Hook: func(c storefault.Call) {
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
			p, _ = testkit.UserModules(app)
			if err := app.Revoke(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			if want := []string{"load stay/user/ann", "commit stay/user/ann"}; !slices.Equal(calls, want) {
				t.Errorf("Revoke asked the store for %q, want %q", calls, want)
			}
			for _, b := range browsers {
				ctx := b.On(app).Ctx()
				testkit.WantState(t, ctx, p, `{"name":"guest"}`)
				_, err := p.Update(ctx, func(p *testkit.Profile) error { p.Name = "thief"; return nil })
				testkit.WantCode(t, err, stay.ErrEnded)
			}
			testkit.WantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
		})
	}
}

// No session method works with the context of an action, and all work in its
// functions of After: after a Login there the user's states are in place before
// Do returns.
//
// Proves E10, W3.
func TestSessionVerbsInsideAnAction(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		verbs := map[string]func(s *stay.Session, ctx context.Context) error{
			"Login":   func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") },
			"Logout":  func(s *stay.Session, ctx context.Context) error { return s.Logout(ctx) },
			"Renew":   func(s *stay.Session, ctx context.Context) error { return s.Renew(ctx) },
			"Destroy": func(s *stay.Session, ctx context.Context) error { return s.Destroy(ctx) },
		}
		var inner map[string]error
		actions := stay.Actions[testkit.Counter]{
			"all": func(c *stay.Call, _ *testkit.Counter) error {
				inner = map[string]error{}
				for verb, fn := range verbs {
					inner[verb] = fn(c.Session(), c.Context())
				}
				return nil
			},
			"login": func(c *stay.Call, s *testkit.Counter) error {
				s.Count++
				c.After(func(ctx context.Context) { inner["After"] = c.Session().Login(ctx, "ann") })
				return nil
			},
		}
		m := stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.PerSession, Actions: actions})
		p := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Initial: testkit.Profile{Name: "guest"}, Persist: stay.PerUser})
		testkit.Change(t, t.Context(), p.At("ann"), func(p *testkit.Profile) error { p.Name = "Ann"; return nil })
		b := testkit.NewBrowser(app)
		if _, err := m.Do(b.Ctx(), "all", nil); err != nil {
			t.Fatal(err)
		}
		for verb := range verbs {
			if err := inner[verb]; err == nil {
				t.Errorf("%s worked inside an action", verb)
			} else {
				testkit.WantCode(t, err, stay.ErrNested)
			}
		}
		token := b.Token
		if _, err := m.Do(b.Ctx(), "login", nil); err != nil || inner["After"] != nil {
			t.Fatal(err, inner["After"])
		}
		if b.Token == token {
			t.Error("the Login in After gave no new cookie")
		}
		testkit.WantState(t, b.Ctx(), p, `{"name":"Ann"}`)
		testkit.WantCount(t, b.Ctx(), m, 1)
		if user := stay.SessionFrom(b.Ctx()).User(); user != "ann" {
			t.Errorf("the user is %q", user)
		}
	})
}
