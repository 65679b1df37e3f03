package stay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type profile struct {
	Name string `json:"name"`
}

type cart struct {
	Items []string `json:"items"`
}

// userModules are the two modules of most tests of logins.
func userModules(app *stay.App) (*stay.State[profile], *stay.State[cart]) {
	p := stay.Register(app, stay.Module[profile]{Name: "profile", Initial: profile{"guest"}, Persist: stay.PerUser})
	c := stay.Register(app, stay.Module[cart]{
		Name: "cart", Persist: stay.PerUser,
		Adopt: func(stored, guest *cart) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
	return p, c
}

func login(t *testing.T, b *browser, user string) {
	t.Helper()
	ctx := b.ctx()
	if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
		t.Fatalf("login: %v", err)
	}
}

func logout(t *testing.T, b *browser) {
	t.Helper()
	ctx := b.ctx()
	if err := stay.SessionFrom(ctx).Logout(ctx); err != nil {
		t.Fatalf("logout: %v", err)
	}
}

func name(n string) func(*profile) error {
	return func(p *profile) error { p.Name = n; return nil }
}

func put(item string) func(*cart) error {
	return func(c *cart) error { c.Items = append(c.Items, item); return nil }
}

func change[S any](t *testing.T, ctx context.Context, s *stay.State[S], fn func(*S) error) {
	t.Helper()
	if _, err := s.Update(ctx, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// S5, K2, K3: one login moves all PerUser modules, each by its own policy; the
// logout brings the initial states back and leaves the user's.
func TestS5LoginMovesAllModules(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := userModules(app)
		own := stay.Register(app, stay.Module[counter]{Name: "visits", Persist: stay.PerSession})
		b := newBrowser(app)
		change(t, b.ctx(), own, increment)
		change(t, b.ctx(), p, name("Ann"))
		change(t, b.ctx(), c, put("book"))
		login(t, b, "ann")
		wantState(t, b.ctx(), p, `{"name":"Ann"}`)
		wantState(t, b.ctx(), c, `{"items":["book"]}`)
		wantCount(t, b.ctx(), own, 1)
		logout(t, b)
		wantState(t, b.ctx(), p, `{"name":"guest"}`)
		wantState(t, b.ctx(), c, `{"items":null}`)
		change(t, b.ctx(), p, name("Nobody"))
		change(t, b.ctx(), c, put("pen"))
		login(t, b, "ann")
		wantState(t, b.ctx(), p, `{"name":"Ann"}`)
		wantState(t, b.ctx(), c, `{"items":["book","pen"]}`)
		logout(t, b)
		login(t, b, "ann")
		wantState(t, b.ctx(), c, `{"items":["book","pen"]}`) // adopted once
		wantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
		wantCount(t, b.ctx(), own, 1)
		if user := stay.SessionFrom(b.ctx()).User(); user != "ann" {
			t.Errorf("user is %q", user)
		}
	})
}

// K4: a switch from one user to another adopts nothing.
func TestK4SwitchOfUsers(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := userModules(app)
		b := newBrowser(app)
		login(t, b, "ann")
		change(t, b.ctx(), p, name("Ann"))
		change(t, b.ctx(), c, put("of ann"))
		login(t, b, "bob")
		wantState(t, b.ctx(), p, `{"name":"guest"}`)
		wantState(t, b.ctx(), c, `{"items":null}`)
		change(t, b.ctx(), c, put("of bob"))
		login(t, b, "ann")
		wantState(t, b.ctx(), c, `{"items":["of ann"]}`)
		wantState(t, t.Context(), c.At("bob"), `{"items":["of bob"]}`)
	})
}

// A guest who did nothing brings nothing along: no policy can wipe the user's
// state with an untouched one.
func TestK2UntouchedGuestBringsNothing(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p := stay.Register(app, stay.Module[profile]{Name: "profile", Persist: stay.PerUser, Adopt: stay.KeepGuest[profile]})
		one := newBrowser(app)
		login(t, one, "ann")
		change(t, one.ctx(), p, name("Ann"))
		two := newBrowser(app)
		login(t, two, "ann")
		wantState(t, two.ctx(), p, `{"name":"Ann"}`)
	})
}

// S5: an Adopt that refuses refuses the whole login.
func TestS5LoginIsAllOrNothing(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := userModules(app)
		bad := stay.Register(app, stay.Module[cart]{
			Name: "zz", Persist: stay.PerUser,
			Adopt: func(_, _ *cart) error { return stay.ErrDenied },
		})
		b := newBrowser(app)
		change(t, t.Context(), bad.At("ann"), put("x"))
		change(t, b.ctx(), p, name("Guest"))
		change(t, b.ctx(), bad, put("y"))
		token := b.token
		ctx := b.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrDenied)
		if b.token != token {
			t.Error("the cookie was renewed")
		}
		wantState(t, b.ctx(), p, `{"name":"Guest"}`)
		wantState(t, b.ctx(), bad, `{"items":["y"]}`)
		_, err := p.At("ann").Get(t.Context())
		wantCode(t, err, stay.ErrNotFound)
	})
}

// S5: login and logout renew the cookie; the old one sees the initial state,
// changes nothing and sets no cookie for a minute, then it is unknown.
func TestS5LoginRenewsTheCookie(t *testing.T) {
	for _, verb := range []func(*testing.T, *browser){
		func(t *testing.T, b *browser) { login(t, b, "ann") },
		func(t *testing.T, b *browser) { login(t, b, "ann") }, // the same user again
		logout,
	} {
		clk := newClock()
		app := newApp(t, memstore.New(), &stay.Options{Clock: clk.Now})
		p, _ := userModules(app)
		b := newBrowser(app)
		login(t, b, "ann")
		change(t, b.ctx(), p, name("Ann"))
		old := *b
		verb(t, b)
		if old.token == b.token {
			t.Error("no new cookie")
		}
		ctx, answer := old.request()
		wantState(t, ctx, p, `{"name":"guest"}`)
		_, err := p.Update(ctx, name("thief"))
		wantCode(t, err, stay.ErrEnded)
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "eve"), stay.ErrEnded)
		if len(answer.issued) > 0 {
			t.Error("a cookie was set")
		}
		clk.Advance(2 * time.Minute)
		ctx, answer = old.request()
		change(t, ctx, p, name("somebody new"))
		if len(answer.issued) != 1 {
			t.Error("no new session began")
		}
		wantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
	}
}

// S7: a user's sessions are listed and revoked in one step.
func TestS7SessionsAndRevoke(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := userModules(app)
		one, two, other, gone := newBrowser(app), newBrowser(app), newBrowser(app), newBrowser(app)
		for _, b := range []*browser{one, two, gone} {
			login(t, b, "ann")
		}
		login(t, other, "bob")
		logout(t, gone)
		listed := func(user string) (ids []string) {
			for s, err := range app.Sessions(t.Context(), user) {
				if err != nil {
					t.Fatal(err)
				}
				if s.User() != user || s.Created().IsZero() || s.LastSeen().IsZero() || !s.Expires().After(s.Created()) {
					t.Errorf("a session of %q from %v to %v", s.User(), s.Created(), s.Expires())
				}
				ids = append(ids, s.ID())
			}
			return ids
		}
		want := []string{stay.SessionFrom(one.ctx()).ID(), stay.SessionFrom(two.ctx()).ID()}
		if got := listed("ann"); !slices.Equal(got, want) {
			t.Errorf("sessions %v, want %v", got, want)
		}
		for s, err := range app.Sessions(t.Context(), "ann") {
			if err == nil && s.ID() == want[1] {
				err = s.Destroy(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := listed("ann"); !slices.Equal(got, want[:1]) {
			t.Errorf("sessions %v after one was ended, want %v", got, want[:1])
		}
		wantState(t, two.ctx(), p, `{"name":"guest"}`)
		if err := app.Revoke(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		ctx := one.ctx()
		wantState(t, ctx, p, `{"name":"guest"}`)
		_, err := p.Update(ctx, name("x"))
		wantCode(t, err, stay.ErrEnded)
		if got := listed("ann"); len(got) != 0 {
			t.Errorf("sessions %v after Revoke", got)
		}
		if got := listed("bob"); len(got) != 1 {
			t.Errorf("bob has sessions %v", got)
		}
		again := newBrowser(app)
		login(t, again, "ann")
		if got := listed("ann"); len(got) != 1 {
			t.Errorf("sessions %v after a new login", got)
		}
		wantState(t, one.ctx(), p, `{"name":"guest"}`)
	})
}

// S5: whoever logs in and out at once with changes under way: every
// acknowledged change is under the user it was made as, once.
func TestS5LoginsRaceWithChanges(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		_, c := userModules(app)
		b := newBrowser(app)
		change(t, b.ctx(), c, put("first"))
		var mu sync.Mutex
		acked := map[string]bool{}
		for round := range 20 {
			var wg sync.WaitGroup
			for i := range 4 {
				ctx := b.ctx()
				wg.Go(func() {
					item := string(rune('a'+round)) + string(rune('0'+i))
					_, err := c.Update(ctx, put(item))
					switch {
					case err == nil:
						mu.Lock()
						acked[item] = true
						mu.Unlock()
					case !errors.Is(err, stay.ErrEnded):
						t.Error(err)
					}
				})
			}
			login(t, b, "ann")
			wg.Wait()
			logout(t, b)
		}
		got, err := c.At("ann").Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		times := map[string]int{}
		for _, item := range got.Items {
			times[item]++
		}
		for item := range acked {
			if times[item] != 1 {
				t.Errorf("%q was acknowledged and is stored %d times", item, times[item])
			}
		}
	})
}

// PerUser: deleting the state of a user leaves the login; what is read next is
// the initial state.
func TestK8DeleteOfAUserState(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := userModules(app)
		b := newBrowser(app)
		login(t, b, "ann")
		change(t, b.ctx(), p, name("Ann"))
		if err := p.At("ann").Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantState(t, b.ctx(), p, `{"name":"guest"}`)
		if user := stay.SessionFrom(b.ctx()).User(); user != "ann" {
			t.Errorf("user is %q", user)
		}
		change(t, b.ctx(), p, name("Ann 2"))
		wantState(t, t.Context(), p.At("ann"), `{"name":"Ann 2"}`)
	})
}

// Session verbs inside a change are nested, and users have bounds.
func TestE10LoginInsideAChange(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	p, _ := userModules(app)
	b := newBrowser(app)
	m := stay.Register(app, stay.Module[counter]{
		Name: "c", Persist: stay.PerSession,
		Actions: stay.Actions[counter]{"login": func(c *stay.Call, s *counter) error {
			wantCode(t, c.Session().Login(c.Context(), "ann"), stay.ErrNested)
			wantCode(t, app.Revoke(c.Context(), "ann"), stay.ErrNested)
			return nil
		}},
	})
	if _, err := m.Do(b.ctx(), "login", nil); err != nil {
		t.Fatal(err)
	}
	ctx := b.ctx()
	wantCode(t, stay.SessionFrom(ctx).Login(ctx, ""), stay.ErrInvalid)
	wantCode(t, stay.SessionFrom(ctx).Login(ctx, strings.Repeat("u", 513)), stay.ErrInvalid)
	wantCode(t, (*stay.Session)(nil).Login(ctx, "ann"), stay.ErrNoSession)
	wantState(t, b.ctx(), p, `{"name":"guest"}`)
	login(t, b, strings.Repeat("\xff", 512))
	change(t, b.ctx(), p, name("bytes"))
	wantState(t, t.Context(), p.At(strings.Repeat("\xff", 512)), `{"name":"bytes"}`)
}

// B1: neither asking who is logged in nor logging a stranger out begins a
// session.
func TestB1AskingForTheUserLeavesNoTrace(t *testing.T) {
	st := memstore.New()
	app := newApp(t, st, nil)
	b := newBrowser(app)
	ctx, answer := b.request()
	if user := stay.SessionFrom(ctx).User(); user != "" {
		t.Errorf("user %q", user)
	}
	if err := stay.SessionFrom(ctx).Logout(ctx); err != nil {
		t.Error(err)
	}
	if len(answer.issued) > 0 || !answer.used {
		t.Errorf("cookies %v, used %v", answer.issued, answer.used)
	}
	for _, key := range rows(t, st) {
		if !ofAllPrograms(key) {
			t.Errorf("stored %q", key)
		}
	}
}

// A13: ResolveKey sees state, module and session.
func TestA13ResolveKey(t *testing.T) {
	type doc struct {
		Text string `json:"text"`
	}
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[doc]{
			Name: "doc",
			Persist: stay.ResolveKey(func(c *stay.Call, _ *doc) string {
				if c.Session().User() == "" {
					return ""
				}
				return c.Module() + ":" + c.Session().User()
			}),
			Adopt: stay.KeepGuest[doc],
		})
		b := newBrowser(app)
		change(t, b.ctx(), s, func(d *doc) error { d.Text = "draft"; return nil })
		login(t, b, "ann")
		wantState(t, b.ctx(), s, `{"text":"draft"}`)
		wantState(t, t.Context(), s.At("doc:ann"), `{"text":"draft"}`)
		logout(t, b)
		wantState(t, b.ctx(), s, `{"text":""}`)

		room := stay.Register(app, stay.Module[todos]{
			Name: "room",
			Persist: stay.ResolveKey(func(_ *stay.Call, t *todos) string {
				if t.Owner.ID == "" {
					return "lobby"
				}
				return strings.TrimPrefix(t.Owner.ID, "nobody")
			}),
		})
		other := newBrowser(app)
		change(t, b.ctx(), room, addItem("hello"))
		wantState(t, other.ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
		change(t, b.ctx(), room, become("red"))
		wantState(t, b.ctx(), room, `{"owner":{"id":"red","role":"r-red"},"items":null,"theme":""}`)
		change(t, b.ctx(), room, become("nobody")) // no key at all
		change(t, b.ctx(), room, addItem("alone"))
		wantState(t, other.ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
		change(t, b.ctx(), room, become(""))
		wantState(t, b.ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
	})
}

// S7: a listed session that its browser has renewed since can still be ended,
// but not if it belongs to another user by now.
func TestS7ListedSessionFollowsItsRecord(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	userModules(app)
	b := newBrowser(app)
	listed := func() *stay.Session {
		for s, err := range app.Sessions(t.Context(), "ann") {
			noError(t, err)
			return s
		}
		t.Fatal("no session is listed")
		return nil
	}
	login(t, b, "ann")
	old := listed()
	login(t, b, "ann")
	noError(t, old.Destroy(t.Context()))
	ctx := b.ctx()
	wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrEnded)

	b = newBrowser(app)
	login(t, b, "ann")
	old = listed()
	login(t, b, "bob")
	wantCode(t, old.Destroy(t.Context()), stay.ErrEnded)
	if user := stay.SessionFrom(b.ctx()).User(); user != "bob" {
		t.Errorf("user is %q", user)
	}
}

// A21: a panic in an Adopt reaches OnError and the caller, and changes nothing.
func TestA21PanicInAdopt(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		var told []*stay.Error
		onError := func(_ *stay.Call, e *stay.Error) { told = append(told, e) }
		p := stay.Register(app, stay.Module[profile]{
			Name: "p", Persist: stay.PerUser, OnError: onError,
			Adopt: func(_, _ *profile) error { panic("adopt") },
		})
		m := todosModule()
		m.OnError, m.Adopt = onError, func(_, _ *todos) error { panic("adopt") }
		k := stay.Register(app, m)
		change(t, t.Context(), p.At("ann"), name("Ann"))
		change(t, t.Context(), k.At("ann"), become("ann"))
		b := newBrowser(app)
		change(t, b.ctx(), p, name("Guest"))
		change(t, b.ctx(), k, addItem("x"))
		for module, do := range map[string]func(ctx context.Context) error{
			"p":     func(ctx context.Context) error { return stay.SessionFrom(ctx).Login(ctx, "ann") },
			"todos": func(ctx context.Context) error { _, err := k.Update(ctx, become("ann")); return err },
		} {
			told = nil
			func() {
				defer func() {
					if recover() != "adopt" {
						t.Error("the caller does not get the panic")
					}
				}()
				_ = do(b.ctx())
			}()
			if len(told) != 1 || told[0].Module != module || told[0].Phase != "run" {
				t.Errorf("OnError was told %v", told)
			}
		}
		wantState(t, b.ctx(), p, `{"name":"Guest"}`)
		wantState(t, b.ctx(), k, `{"owner":{"id":"","role":""},"items":["x"],"theme":"light"}`)
	})
}

// S5: the same login sent twice, as by a double click, comes with the cookie
// that the first has replaced, and gets the first one's; nobody else does.
func TestS5LoginSentTwice(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := userModules(app)
		b := newBrowser(app)
		change(t, b.ctx(), c, put("book"))
		old := *b
		login(t, b, "ann")
		change(t, b.ctx(), p, name("Ann"))

		twice := old
		login(t, &twice, "ann")
		wantState(t, twice.ctx(), p, `{"name":"Ann"}`)
		wantState(t, twice.ctx(), c, `{"items":["book"]}`) // adopted once
		wantState(t, b.ctx(), p, `{"name":"Ann"}`)         // the first answer's cookie is as good
		if a, b := stay.SessionFrom(b.ctx()).ID(), stay.SessionFrom(twice.ctx()).ID(); a != b {
			t.Error("there are two sessions")
		}

		other := old
		ctx := other.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "eve"), stay.ErrEnded)
		login(t, b, "ann") // renews it once more
		ctx = other.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrEnded)
		before := *b
		logout(t, b)
		ctx = before.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrEnded)
	})
}

// S5, S7: what was revoked or has been ended is not joined, nor is a login
// that was made more than a minute ago.
func TestS5LoginSentTwiceTooLate(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, app *stay.App, clk *clock, b *browser){
		"revoked": func(t *testing.T, app *stay.App, _ *clock, _ *browser) { noError(t, app.Revoke(t.Context(), "ann")) },
		"destroyed": func(t *testing.T, _ *stay.App, _ *clock, b *browser) {
			ctx := b.ctx()
			noError(t, stay.SessionFrom(ctx).Destroy(ctx))
		},
		"late": func(_ *testing.T, _ *stay.App, clk *clock, _ *browser) { clk.Advance(time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			clk := newClock()
			app := newApp(t, memstore.New(), &stay.Options{Clock: clk.Now})
			p, _ := userModules(app)
			b := newBrowser(app)
			change(t, b.ctx(), p, name("Guest"))
			old := *b
			login(t, b, "ann")
			id := stay.SessionFrom(b.ctx()).ID()
			end(t, app, clk, b)
			ctx := old.ctx()
			err := stay.SessionFrom(ctx).Login(ctx, "ann")
			if what != "late" {
				wantCode(t, err, stay.ErrEnded)
			} else if noError(t, err); stay.SessionFrom(old.ctx()).ID() == id {
				t.Error("the old cookie came back to its session")
			}
		})
	}
}
