package logins_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// One login moves all PerUser modules, each by its own policy; the logout
// brings the initial states back and leaves the user's.
//
// Proves K2, K3, S5, W3.
func TestLoginMovesAllModules(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := testkit.UserModules(app)
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "visits", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), own, testkit.Increment)
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
		testkit.Change(t, b.Ctx(), c, testkit.Put("book"))
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), p, `{"name":"Ann"}`)
		testkit.WantState(t, b.Ctx(), c, `{"items":["book"]}`)
		testkit.WantCount(t, b.Ctx(), own, 1)
		testkit.Logout(t, b)
		testkit.WantState(t, b.Ctx(), p, `{"name":"guest"}`)
		testkit.WantState(t, b.Ctx(), c, `{"items":null}`)
		testkit.Change(t, b.Ctx(), p, testkit.Name("Nobody"))
		testkit.Change(t, b.Ctx(), c, testkit.Put("pen"))
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), p, `{"name":"Ann"}`)
		testkit.WantState(t, b.Ctx(), c, `{"items":["book","pen"]}`)
		testkit.Logout(t, b)
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), c, `{"items":["book","pen"]}`) // adopted once
		testkit.WantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
		testkit.WantCount(t, b.Ctx(), own, 1)
		if user := stay.SessionFrom(b.Ctx()).User(); user != "ann" {
			t.Errorf("user is %q", user)
		}
	})
}

// A switch from one user to another adopts nothing.
//
// Proves A9, K4.
func TestSwitchOfUsersAdoptsNothing(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
		testkit.Change(t, b.Ctx(), c, testkit.Put("of ann"))
		testkit.Login(t, b, "bob")
		testkit.WantState(t, b.Ctx(), p, `{"name":"guest"}`)
		testkit.WantState(t, b.Ctx(), c, `{"items":null}`)
		testkit.Change(t, b.Ctx(), c, testkit.Put("of bob"))
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), c, `{"items":["of ann"]}`)
		testkit.WantState(t, t.Context(), c.At("bob"), `{"items":["of bob"]}`)
	})
}

// A guest who did nothing brings nothing along: no policy can wipe the user's
// state with an untouched one.
//
// Proves K2.
func TestUntouchedGuestBringsNothing(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser, Adopt: stay.KeepGuest[testkit.Profile]})
		one := testkit.NewBrowser(app)
		testkit.Login(t, one, "ann")
		testkit.Change(t, one.Ctx(), p, testkit.Name("Ann"))
		two := testkit.NewBrowser(app)
		testkit.Login(t, two, "ann")
		testkit.WantState(t, two.Ctx(), p, `{"name":"Ann"}`)
	})
}

// An Adopt that refuses refuses the whole login.
//
// Proves S4, S5.
func TestLoginIsAllOrNothing(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := testkit.UserModules(app)
		bad := stay.Register(app, stay.Module[testkit.Cart]{
			Name: "zz", Persist: stay.PerUser,
			Adopt: func(_, _ *testkit.Cart) error { return stay.ErrDenied },
		})
		b := testkit.NewBrowser(app)
		testkit.Change(t, t.Context(), bad.At("ann"), testkit.Put("x"))
		testkit.Change(t, b.Ctx(), p, testkit.Name("Guest"))
		testkit.Change(t, b.Ctx(), bad, testkit.Put("y"))
		token := b.Token
		ctx := b.Ctx()
		testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrDenied)
		if b.Token != token {
			t.Error("the cookie was renewed")
		}
		testkit.WantState(t, b.Ctx(), p, `{"name":"Guest"}`)
		testkit.WantState(t, b.Ctx(), bad, `{"items":["y"]}`)
		_, err := p.At("ann").Get(t.Context())
		testkit.WantCode(t, err, stay.ErrNotFound)
	})
}

// Login and logout renew the cookie; the old one sees the initial state,
// changes nothing and sets no cookie for a minute, then it is unknown.
//
// Proves S5.
func TestLoginRenewsTheCookie(t *testing.T) {
	for _, verb := range []func(*testing.T, *testkit.Browser){
		func(t *testing.T, b *testkit.Browser) { testkit.Login(t, b, "ann") },
		func(t *testing.T, b *testkit.Browser) { testkit.Login(t, b, "ann") }, // the same user again
		testkit.Logout,
	} {
		clk := testkit.NewClock()
		app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clk.Now})
		p, _ := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
		old := *b
		verb(t, b)
		if old.Token == b.Token {
			t.Error("no new cookie")
		}
		ctx, answer := old.Request()
		testkit.WantState(t, ctx, p, `{"name":"guest"}`)
		_, err := p.Update(ctx, testkit.Name("thief"))
		testkit.WantCode(t, err, stay.ErrEnded)
		if len(answer.Issued) > 0 {
			t.Error("a cookie was set")
		}
		eve := old
		testkit.LoginAnew(t, &eve, "eve", stay.SessionFrom(b.Ctx()).ID())
		clk.Advance(2 * time.Minute)
		ctx, answer = old.Request()
		testkit.Change(t, ctx, p, testkit.Name("somebody new"))
		if len(answer.Issued) != 1 {
			t.Error("no new session began")
		}
		testkit.WantState(t, t.Context(), p.At("ann"), `{"name":"Ann"}`)
	}
}

// A user's sessions are listed and revoked in one step.
//
// Proves S7.
func TestSessionsAreListedAndRevoked(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := testkit.UserModules(app)
		one, two, other, gone := testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app)
		for _, b := range []*testkit.Browser{one, two, gone} {
			testkit.Login(t, b, "ann")
		}
		testkit.Login(t, other, "bob")
		testkit.Logout(t, gone)
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
		want := []string{stay.SessionFrom(one.Ctx()).ID(), stay.SessionFrom(two.Ctx()).ID()}
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
		testkit.WantState(t, two.Ctx(), p, `{"name":"guest"}`)
		if err := app.Revoke(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		ctx := one.Ctx()
		testkit.WantState(t, ctx, p, `{"name":"guest"}`)
		_, err := p.Update(ctx, testkit.Name("x"))
		testkit.WantCode(t, err, stay.ErrEnded)
		if got := listed("ann"); len(got) != 0 {
			t.Errorf("sessions %v after Revoke", got)
		}
		if got := listed("bob"); len(got) != 1 {
			t.Errorf("bob has sessions %v", got)
		}
		again := testkit.NewBrowser(app)
		testkit.Login(t, again, "ann")
		if got := listed("ann"); len(got) != 1 {
			t.Errorf("sessions %v after a new login", got)
		}
		testkit.WantState(t, one.Ctx(), p, `{"name":"guest"}`)
	})
}

// Whoever logs in and out at once with changes under way: every acknowledged
// change is under the user it was made as, once.
//
// Proves A9, S5.
func TestLoginsRaceWithChanges(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		_, c := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), c, testkit.Put("first"))
		var mu sync.Mutex
		acked := map[string]bool{}
		for round := range 20 {
			var wg sync.WaitGroup
			for i := range 4 {
				ctx := b.Ctx()
				wg.Go(func() {
					item := string(rune('a'+round)) + string(rune('0'+i))
					_, err := c.Update(ctx, testkit.Put(item))
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
			testkit.Login(t, b, "ann")
			wg.Wait()
			testkit.Logout(t, b)
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

// PerUser: deleting the state of a user keeps the login; the next read returns
// the initial state.
//
// Proves K8.
func TestDeleteOfAUserStateKeepsTheLogin(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, _ := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
		if err := p.At("ann").Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		testkit.WantState(t, b.Ctx(), p, `{"name":"guest"}`)
		if user := stay.SessionFrom(b.Ctx()).User(); user != "ann" {
			t.Errorf("user is %q", user)
		}
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann 2"))
		testkit.WantState(t, t.Context(), p.At("ann"), `{"name":"Ann 2"}`)
	})
}

// Session verbs inside a change are nested, and users have bounds.
//
// Proves E10, C6.
func TestLoginInsideAChangeIsNested(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	p, _ := testkit.UserModules(app)
	b := testkit.NewBrowser(app)
	m := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.PerSession,
		Actions: stay.Actions[testkit.Counter]{"login": func(c *stay.Call, s *testkit.Counter) error {
			testkit.WantCode(t, c.Session().Login(c.Context(), "ann"), stay.ErrNested)
			testkit.WantCode(t, app.Revoke(c.Context(), "ann"), stay.ErrNested)
			return nil
		}},
	})
	if _, err := m.Do(b.Ctx(), "login", nil); err != nil {
		t.Fatal(err)
	}
	ctx := b.Ctx()
	testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, ""), stay.ErrInvalid)
	testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, strings.Repeat("u", 513)), stay.ErrInvalid)
	testkit.WantCode(t, (*stay.Session)(nil).Login(ctx, "ann"), stay.ErrNoSession)
	testkit.WantState(t, b.Ctx(), p, `{"name":"guest"}`)
	testkit.Login(t, b, strings.Repeat("\xff", 512))
	testkit.Change(t, b.Ctx(), p, testkit.Name("bytes"))
	testkit.WantState(t, t.Context(), p.At(strings.Repeat("\xff", 512)), `{"name":"bytes"}`)
}

// Neither asking who is logged in nor logging a stranger out begins a session.
//
// Proves B1.
func TestAskingForTheUserLeavesNoTrace(t *testing.T) {
	st := memstore.New()
	app := testkit.NewApp(t, st, nil)
	b := testkit.NewBrowser(app)
	ctx, answer := b.Request()
	if user := stay.SessionFrom(ctx).User(); user != "" {
		t.Errorf("user %q", user)
	}
	if err := stay.SessionFrom(ctx).Logout(ctx); err != nil {
		t.Error(err)
	}
	if len(answer.Issued) > 0 || !answer.WasUsed {
		t.Errorf("cookies %v, used %v", answer.Issued, answer.WasUsed)
	}
	for _, key := range testkit.Rows(t, st) {
		if !testkit.OfAllPrograms(key) {
			t.Errorf("stored %q", key)
		}
	}
}

// ResolveKey sees state, module and session.
//
// Proves A13.
func TestResolveKeySeesStateModuleAndUser(t *testing.T) {
	type doc struct {
		Text string `json:"text"`
	}
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
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
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), s, func(d *doc) error { d.Text = "draft"; return nil })
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), s, `{"text":"draft"}`)
		testkit.WantState(t, t.Context(), s.At("doc:ann"), `{"text":"draft"}`)
		testkit.Logout(t, b)
		testkit.WantState(t, b.Ctx(), s, `{"text":""}`)

		room := stay.Register(app, stay.Module[testkit.Todos]{
			Name: "room",
			Persist: stay.ResolveKey(func(_ *stay.Call, t *testkit.Todos) string {
				if t.Owner.ID == "" {
					return "lobby"
				}
				return strings.TrimPrefix(t.Owner.ID, "nobody")
			}),
		})
		other := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), room, testkit.AddItem("hello"))
		testkit.WantState(t, other.Ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
		testkit.Change(t, b.Ctx(), room, testkit.Become("red"))
		testkit.WantState(t, b.Ctx(), room, `{"owner":{"id":"red","role":"r-red"},"items":null,"theme":""}`)
		testkit.Change(t, b.Ctx(), room, testkit.Become("nobody")) // no key
		testkit.Change(t, b.Ctx(), room, testkit.AddItem("alone"))
		testkit.WantState(t, other.Ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
		testkit.Change(t, b.Ctx(), room, testkit.Become(""))
		testkit.WantState(t, b.Ctx(), room, `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`)
	})
}

// A listed session that its browser has renewed since can still be ended, but
// not if it belongs to another user by now.
//
// Proves S7.
func TestListedSessionFollowsItsRecord(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	testkit.UserModules(app)
	b := testkit.NewBrowser(app)
	listed := func() *stay.Session {
		for s, err := range app.Sessions(t.Context(), "ann") {
			testkit.NoError(t, err)
			return s
		}
		t.Fatal("no session is listed")
		return nil
	}
	testkit.Login(t, b, "ann")
	old := listed()
	testkit.Login(t, b, "ann")
	testkit.NoError(t, old.Destroy(t.Context()))
	testkit.WantCode(t, stay.SessionFrom(b.Ctx()).Renew(b.Ctx()), stay.ErrEnded)

	b = testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	old = listed()
	testkit.Login(t, b, "bob")
	testkit.WantCode(t, old.Destroy(t.Context()), stay.ErrEnded)
	if user := stay.SessionFrom(b.Ctx()).User(); user != "bob" {
		t.Errorf("user is %q", user)
	}
}

// A panic in an Adopt reaches OnError and the caller, and changes nothing.
//
// Proves A21.
func TestPanicInAdoptChangesNothing(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		var told []*stay.Error
		onError := func(_ *stay.Call, e *stay.Error) { told = append(told, e) }
		p := stay.Register(app, stay.Module[testkit.Profile]{
			Name: "p", Persist: stay.PerUser, OnError: onError,
			Adopt: func(_, _ *testkit.Profile) error { panic("adopt") },
		})
		m := testkit.TodosModule()
		m.OnError, m.Adopt = onError, func(_, _ *testkit.Todos) error { panic("adopt") }
		k := stay.Register(app, m)
		testkit.Change(t, t.Context(), p.At("ann"), testkit.Name("Ann"))
		testkit.Change(t, t.Context(), k.At("ann"), testkit.Become("ann"))
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), p, testkit.Name("Guest"))
		testkit.Change(t, b.Ctx(), k, testkit.AddItem("x"))
		for module, do := range map[string]func(ctx context.Context) error{
			"p":     func(ctx context.Context) error { return stay.SessionFrom(ctx).Login(ctx, "ann") },
			"todos": func(ctx context.Context) error { _, err := k.Update(ctx, testkit.Become("ann")); return err },
		} {
			told = nil
			func() {
				defer func() {
					if recover() != "adopt" {
						t.Error("the caller does not get the panic")
					}
				}()
				_ = do(b.Ctx())
			}()
			if len(told) != 1 || told[0].Module != module || told[0].Phase != "run" {
				t.Errorf("OnError was told %v", told)
			}
		}
		testkit.WantState(t, b.Ctx(), p, `{"name":"Guest"}`)
		testkit.WantState(t, b.Ctx(), k, `{"owner":{"id":"","role":""},"items":["x"],"theme":"light"}`)
	})
}

// The same login sent twice, as by a double click, comes with the cookie that
// the first one has replaced, and gets the first one's new cookie; no other
// request does.
//
// Proves S5.
func TestLoginSentTwiceGetsTheFirstCookie(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		p, c := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), c, testkit.Put("book"))
		old := *b
		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))

		twice := old
		testkit.Login(t, &twice, "ann")
		testkit.WantState(t, twice.Ctx(), p, `{"name":"Ann"}`)
		testkit.WantState(t, twice.Ctx(), c, `{"items":["book"]}`) // adopted once
		testkit.WantState(t, b.Ctx(), p, `{"name":"Ann"}`)         // the first answer's cookie is as good
		if a, b := stay.SessionFrom(b.Ctx()).ID(), stay.SessionFrom(twice.Ctx()).ID(); a != b {
			t.Error("there are two sessions")
		}

		id := stay.SessionFrom(b.Ctx()).ID()
		other := old
		testkit.LoginAnew(t, &other, "eve", id)
		testkit.Login(t, b, "ann") // renews it once more
		late := old
		testkit.LoginAnew(t, &late, "ann", id)
		before := *b
		testkit.Logout(t, b)
		testkit.LoginAnew(t, &before, "ann", id)
	})
}

// What was revoked or has been ended is not joined, nor is a login that was
// made more than a minute ago.
//
// Proves S5, S7.
func TestLoginSentTwiceTooLateIsNotJoined(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, app *stay.App, clk *testkit.Clock, b *testkit.Browser){
		"revoked": func(t *testing.T, app *stay.App, _ *testkit.Clock, _ *testkit.Browser) {
			testkit.NoError(t, app.Revoke(t.Context(), "ann"))
		},
		"destroyed": func(t *testing.T, _ *stay.App, _ *testkit.Clock, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
		},
		"late": func(_ *testing.T, _ *stay.App, clk *testkit.Clock, _ *testkit.Browser) { clk.Advance(time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			clk := testkit.NewClock()
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clk.Now})
			p, _ := testkit.UserModules(app)
			b := testkit.NewBrowser(app)
			testkit.Change(t, b.Ctx(), p, testkit.Name("Guest"))
			old := *b
			testkit.Login(t, b, "ann")
			id := stay.SessionFrom(b.Ctx()).ID()
			end(t, app, clk, b)
			testkit.LoginAnew(t, &old, "ann", id)
		})
	}
}
