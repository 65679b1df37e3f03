package sessions_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A session's record is stored with the first thing that it has to remember, in
// one group: a state, a login or an attachment. Until then nothing is stored,
// nor by reading.
//
// Proves S1.
func TestSessionIsStoredWithWhatItFirstRemembers(t *testing.T) {
	type app struct {
		own *stay.State[testkit.Counter]
		s   *stay.State[testkit.Todos]
		p   *stay.State[testkit.Profile]
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
			_, err := a.own.Update(ctx, func(*testkit.Counter) error { return nil })
			return err
		}, nil},
		"a state": {func(a *app, ctx context.Context) error {
			_, err := a.own.Update(ctx, testkit.Increment)
			return err
		}, []string{"session/own/ID"}},
		"an attachment": {func(a *app, ctx context.Context) error {
			_, err := a.s.Update(ctx, testkit.Become("ann"))
			return err
		}, []string{"key/todos/ann"}},
		"a login": {func(a *app, ctx context.Context) error {
			return stay.SessionFrom(ctx).Login(ctx, "ann")
		}, []string{"stay/user/ann"}},
	} {
		t.Run(what, func(t *testing.T) {
			testkit.OnJournals(t, stay.Options{}, func(t *testing.T, j *testkit.Journal, x *stay.App) {
				a := &app{
					own: stay.Register(x, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession}),
					s:   stay.Register(x, testkit.TodosModule()),
					p:   stay.Register(x, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser}),
				}
				b := testkit.NewBrowser(x)
				id := b.Known(t, a.s)
				if groups := j.Take(); len(groups) > 0 {
					t.Errorf("a first look stored %q", groups)
				}
				if err := c.do(a, b.Ctx()); err != nil {
					t.Fatal(err)
				}
				if c.wants == nil {
					testkit.WantGroups(t, what, j.Take())
					return
				}
				want := []string{"stay/session/" + id}
				for _, key := range c.wants {
					want = append(want, strings.ReplaceAll(key, "ID", id))
				}
				testkit.WantGroups(t, what, j.Take(), want)
			})
		})
	}
}

// For a module in another store the session's record is written first; a state
// whose session's record is missing is read as usual.
//
// Proves S1.
func TestSessionIsStoredBeforeAStateInAnotherStore(t *testing.T) {
	var order []string
	note := func(which string, s store.Store) *storefault.Store {
		return storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
			for _, g := range c.Groups {
				for _, w := range g {
					if w.Op != store.Check && !testkit.OfAllPrograms(w.Key) {
						prefix, _, _ := strings.Cut(w.Key, "/")
						order = append(order, which+" "+prefix)
					}
				}
			}
		}})
	}
	main, other := note("main", memstore.New()), note("other", memstore.New())
	app := testkit.NewApp(t, main, &stay.Options{OnError: testkit.Quiet})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Store: other})
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), s)
	if want := []string{"main stay", "other session"}; !slices.Equal(order, want) {
		t.Errorf("written in the order %q, want %q", order, want)
	}
	order = nil
	testkit.MustUpdate(t, b.Ctx(), s)
	if want := []string{"other session"}; !slices.Equal(order, want) {
		t.Errorf("the second change wrote %q, want %q", order, want)
	}

	// If the second half of a first change fails, the session has no state.
	rule := other.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
	two := testkit.NewBrowser(app)
	_, err := s.Update(two.Ctx(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrUnavailable)
	rule.Remove()
	testkit.WantCount(t, two.Ctx(), s, 0)
	testkit.MustUpdate(t, two.Ctx(), s)
	testkit.WantCount(t, two.Ctx(), s, 1)
}

// A state whose session's record was deleted is read as usual with the cookie
// of the session.
//
// Proves S1.
func TestStateWithoutSessionRecordIsRead(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := testkit.Unclosed{Store: open()}
			app := stay.New(st, nil)
			register := func(app *stay.App) *stay.State[testkit.Counter] {
				return stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			}
			s := register(app)
			b := testkit.NewBrowser(app)
			testkit.WantCount(t, b.Ctx(), s, 0)
			testkit.MustUpdate(t, b.Ctx(), s)
			record := "stay/session/" + stay.SessionFrom(b.Ctx()).ID()
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			testkit.Commit(t, st, store.Write{Op: store.Delete, Key: record, Base: testkit.RecordOf(t, st, record).Revision})
			app = testkit.NewApp(t, st, nil)
			s = register(app)
			b = b.On(app)
			testkit.WantCount(t, b.Ctx(), s, 1)
			testkit.MustUpdate(t, b.Ctx(), s)
			testkit.WantCount(t, b.Ctx(), s, 2)
		})
	}
}

// Only a hash of the session's id is stored, whatever the session does; nothing
// in the store lets anybody make its cookie.
//
// Proves B3, W1.
func TestOnlyAHashOfTheIDIsStored(t *testing.T) {
	st := memstore.New()
	app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored})
	s := stay.Register(app, testkit.TodosModule())
	p := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser})
	b := testkit.NewBrowser(app)
	testkit.Must(t)(s.Get(b.Ctx()))
	token, err := base64.RawURLEncoding.DecodeString(b.Token)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
	testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
	testkit.Login(t, b, "ann")
	testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
	keys := testkit.Rows(t, st)
	if len(keys) < 4 {
		t.Fatalf("stored %q", keys)
	}
	for _, key := range keys {
		rec := testkit.RecordOf(t, st, key)
		for i := 0; i+16 <= len(token); i++ {
			secret := token[i : i+16]
			for _, form := range formsOf(secret) {
				if bytes.Contains(rec.Value, form) || bytes.Contains(rec.Meta, form) || strings.Contains(key, string(form)) {
					t.Errorf("%q holds 16 bytes of the cookie", key)
				}
			}
		}
	}
}

// formsOf returns how 16 bytes may be written, as far as that does not depend on
// what follows them.
func formsOf(secret []byte) [][]byte {
	lower := base32.NewEncoding("0123456789abcdefghijklmnopqrstuv")
	forms := [][]byte{secret, []byte(hex.EncodeToString(secret))}
	for _, text := range []string{base64.URLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)} {
		forms = append(forms, []byte(text[:128/6]))
	}
	for _, text := range []string{lower.EncodeToString(secret), base32.HexEncoding.EncodeToString(secret), base32.StdEncoding.EncodeToString(secret)} {
		forms = append(forms, []byte(text[:128/5]))
	}
	return forms
}

// Modules in several stores share one session, whichever is used first.
//
// Proves S1.
func TestModulesInSeveralStoresShareOneSession(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			main, other := testkit.Unclosed{Store: open()}, testkit.Unclosed{Store: open()}
			var here, there, elsewhere *stay.State[testkit.Counter]
			start := func() *stay.App {
				app := stay.New(main, &stay.Options{MaxWait: time.Second})
				here = stay.Register(app, stay.Module[testkit.Counter]{Name: "here", Persist: stay.PerSession})
				there = stay.Register(app, stay.Module[testkit.Counter]{Name: "there", Persist: stay.PerSession, Store: other})
				elsewhere = stay.Register(app, stay.Module[testkit.Counter]{Name: "elsewhere", Persist: stay.PerSession, Store: other})
				return app
			}
			app := start()
			order := func() [][]*stay.State[testkit.Counter] {
				return [][]*stay.State[testkit.Counter]{{here, there, elsewhere}, {there, here, elsewhere}, {there, elsewhere, here}}
			}
			var browsers []*testkit.Browser
			for _, states := range order() {
				b := testkit.NewBrowser(app)
				testkit.WantCount(t, b.Ctx(), here, 0)
				for _, s := range states {
					testkit.MustUpdate(t, b.Ctx(), s)
				}
				ctx := b.Ctx()
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
				b = b.On(app)
				id := stay.SessionFrom(b.Ctx()).ID()
				for _, s := range order()[i] {
					testkit.MustUpdate(t, b.Ctx(), s)
					testkit.WantCount(t, b.Ctx(), s, 2)
				}
				if testkit.RecordOf(t, main, "stay/session/"+id).Revision == 0 || testkit.RecordOf(t, other, "stay/session/"+id).Revision != 0 {
					t.Error("the session's record is not where the sessions are")
				}
				ctx := b.Ctx()
				if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
					t.Fatal(err)
				}
				for _, key := range []string{"session/there/", "session/elsewhere/"} {
					if testkit.RecordOf(t, other, key+id).Revision != 0 {
						t.Errorf("%s is left of a destroyed session", key)
					}
				}
			}
		})
	}
}

// The records of a session and of its guests expire with it at the latest;
// those under users and keys, and Global ones, never do. Where their module has
// an Expiry, all of them do so long after their last change.
//
// Proves S6.
func TestRecordsExpireWithTheirSession(t *testing.T) {
	st := memstore.New()
	clk := testkit.NewClock()
	app := testkit.NewApp(t, st, &stay.Options{Clock: clk.Now, Guests: stay.GuestStored, IdleTimeout: time.Hour, Lifetime: 30 * time.Hour})
	begin := clk.Now()
	never, lifetime := time.Time{}, begin.Add(30*time.Hour)
	later := 10 * time.Minute
	own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
	eph := stay.Register(app, stay.Module[testkit.Counter]{Name: "eph"})
	global := stay.Register(app, stay.Module[testkit.Counter]{Name: "global", Persist: stay.Global})
	short := stay.Register(app, stay.Module[testkit.Counter]{Name: "short", Persist: stay.Global, Expiry: time.Minute})
	p := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser})
	pShort := stay.Register(app, stay.Module[testkit.Profile]{Name: "pshort", Persist: stay.PerUser, Expiry: 2 * time.Minute})
	s := stay.Register(app, testkit.TodosModule())
	m := testkit.TodosModule()
	m.Name, m.Expiry = "kshort", 3*time.Minute
	kShort := stay.Register(app, m)

	b := testkit.NewBrowser(app)
	id := b.Known(t, s)
	clk.Advance(later)
	work := func() {
		for _, c := range []*stay.State[testkit.Counter]{own, eph, global, short} {
			testkit.MustUpdate(t, b.Ctx(), c)
		}
		for _, c := range []*stay.State[testkit.Profile]{p, pShort} {
			testkit.Change(t, b.Ctx(), c, func(p *testkit.Profile) error { p.Name += "x"; return nil })
		}
		for _, c := range []*stay.State[testkit.Todos]{s, kShort} {
			testkit.Change(t, b.Ctx(), c, testkit.AddItem("x"))
		}
	}
	want := func(expires map[string]time.Time) {
		t.Helper()
		for key, at := range expires {
			rec := testkit.RecordAt(t, st, clk.Now(), key)
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
		"guest/profile/" + id: lifetime, "guest/pshort/" + id: now.Add(2 * time.Minute), "guest/todos/" + id: lifetime, "guest/kshort/" + id: now.Add(3 * time.Minute),
		"global/global/": never, "global/short/": now.Add(time.Minute),
		"stay/session/" + id: now.Add(time.Hour),
	})
	testkit.Login(t, b, "ann")
	testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
	testkit.Must(t)(kShort.Update(b.Ctx(), testkit.Become("ann")))
	clk.Advance(30 * time.Second)
	work()
	now = clk.Now()
	want(map[string]time.Time{
		"session/own/" + id: lifetime, "guest/eph/" + id: lifetime, "global/global/": never,
		"user/profile/ann": never, "user/pshort/ann": now.Add(2 * time.Minute),
		"key/todos/ann": never, "key/kshort/ann": now.Add(3 * time.Minute),
	})
}
