package keys_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// Modules of every strategy side by side, all with the same session, user and
// key: each keeps its own state, across a restart, and only the ephemeral ones
// begin with the initial state.
//
// Proves A4, A6, A12.
func TestModulesOfEveryStrategySideBySide(t *testing.T) {
	type keyed struct {
		Key   string `json:"key" stay:"key"`
		Count int    `json:"count"`
	}
	const each = 4
	for storeName, open := range testkit.KeyStores {
		t.Run(storeName, func(t *testing.T) {
			st := testkit.Unclosed{Store: open()}
			var plain map[string]*stay.State[testkit.Counter]
			var byKey map[string]*stay.State[keyed]
			start := func() *stay.App {
				app := stay.New(st, nil)
				plain, byKey = map[string]*stay.State[testkit.Counter]{}, map[string]*stay.State[keyed]{}
				for i := range each {
					for strategy, persist := range map[string]stay.Strategy{
						"session": stay.PerSession, "global": stay.Global, "user": stay.PerUser, "ephemeral": nil,
					} {
						n := fmt.Sprintf("%s%d", strategy, i)
						plain[n] = stay.Register(app, stay.Module[testkit.Counter]{Name: n, Persist: persist})
					}
					n := fmt.Sprintf("key%d", i)
					byKey[n] = stay.Register(app, stay.Module[keyed]{Name: n, Persist: stay.WithKey(func(k *keyed) string { return k.Key })})
				}
				return app
			}
			app := start()
			// The key is the name of another module, as a user might choose it.
			browsers := []*testkit.Browser{testkit.NewBrowser(app), testkit.NewBrowser(app)}
			users := []string{"global0", "session0"}
			expect := func(b int, n string, i int) int {
				switch {
				case strings.HasPrefix(n, "global"):
					return 1 + 2 // both count there
				default:
					return 10*i + b + 1
				}
			}
			names := slices.Sorted(maps.Keys(plain))
			keyNames := slices.Sorted(maps.Keys(byKey))
			for b, browser := range browsers {
				testkit.Login(t, browser, users[b])
				for i, n := range names {
					by := 10*i + b + 1
					if strings.HasPrefix(n, "global") {
						by = b + 1
					}
					testkit.Change(t, browser.Ctx(), plain[n], func(c *testkit.Counter) error { c.Count += by; return nil })
				}
				for i, n := range keyNames {
					testkit.Change(t, browser.Ctx(), byKey[n], func(k *keyed) error { k.Key = users[b]; return nil })
					testkit.Change(t, browser.Ctx(), byKey[n], func(k *keyed) error { k.Count = 10*i + b + 1; return nil })
				}
			}
			check := func(restarted bool) {
				t.Helper()
				for b, browser := range browsers {
					for i, n := range names {
						want := expect(b, n, i)
						if restarted && strings.HasPrefix(n, "ephemeral") {
							want = 0
						}
						c, err := plain[n].Get(browser.Ctx())
						if err != nil || c.Count != want {
							t.Errorf("browser %d, module %s: %v, %v, want %d", b, n, c, err, want)
						}
					}
					for i, n := range keyNames {
						k, err := byKey[n].Get(browser.Ctx())
						if err != nil || k.Key != users[b] || k.Count != 10*i+b+1 {
							t.Errorf("browser %d, module %s: %v, %v", b, n, k, err)
						}
					}
				}
			}
			check(false)
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			app = start()
			t.Cleanup(func() { _ = app.Close(context.Background()) })
			for b := range browsers {
				browsers[b] = browsers[b].On(app)
			}
			check(true)
		})
	}
}

// The function of ResolveKey may use the session's ID and the module's name; a
// key that is there from the start has no guest phase; At takes the key as it
// is given.
//
// Proves A13.
func TestResolveKeySeesSessionAndModule(t *testing.T) {
	type doc struct {
		Text string `json:"text"`
	}
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		modules := map[string]*stay.State[doc]{}
		for _, n := range []string{"draft", "final"} {
			modules[n] = stay.Register(app, stay.Module[doc]{Name: n, Persist: stay.ResolveKey(func(c *stay.Call, _ *doc) string {
				return c.Module() + "/" + c.Session().ID()
			})})
		}
		one, two := testkit.NewBrowser(app), testkit.NewBrowser(app)
		for text, b := range map[string]*testkit.Browser{"one": one, "two": two} {
			for n, s := range modules {
				testkit.Change(t, b.Ctx(), s, func(d *doc) error { d.Text = n + " of " + text; return nil })
			}
		}
		id := stay.SessionFrom(one.Ctx()).ID()
		for n, s := range modules {
			testkit.WantState(t, one.Ctx(), s, fmt.Sprintf(`{"text":"%s of one"}`, n))
			testkit.WantState(t, two.Ctx(), s, fmt.Sprintf(`{"text":"%s of two"}`, n))
			testkit.WantState(t, t.Context(), s.At(n+"/"+id), fmt.Sprintf(`{"text":"%s of one"}`, n))
		}

		room := stay.Register(app, stay.Module[testkit.Todos]{Name: "room", Persist: stay.ResolveKey(func(_ *stay.Call, t *testkit.Todos) string { return t.Owner.ID })})
		testkit.Change(t, t.Context(), room.At("hall"), testkit.Become("elsewhere"))
		testkit.WantState(t, t.Context(), room.At("hall"), `{"owner":{"id":"elsewhere","role":"r-elsewhere"},"items":null,"theme":""}`)
	})
}

// The key of ResolveKey can only be computed with the session: a session does
// not reach the state of another key, and adopts nothing of it; the record
// stays as it is. A record without an owner is completed, even if the initial
// state has a key.
//
// Proves K7.
func TestResolveKeyRefusesARecordOfAnotherKey(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			bad := []byte(`{"owner":{"id":"bob"},"items":["secret"]}`)
			testkit.Commit(t, st, store.Write{Key: "key/room/ann", Value: bad, Version: 1})
			testkit.Commit(t, st, store.Write{Key: "key/room/eve", Value: []byte(`{"items":["no owner"]}`), Version: 1})
			var told []string
			app := testkit.NewApp(t, st, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) {
				told = append(told, e.Module+" "+e.Phase+" "+string(e.Code))
			}})
			s := stay.Register(app, stay.Module[testkit.Todos]{Name: "room", Persist: stay.ResolveKey(func(_ *stay.Call, t *testkit.Todos) string {
				if t.Owner.ID == "" {
					return "lobby"
				}
				return t.Owner.ID
			})})
			b := testkit.NewBrowser(app)
			lobby := `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("hello")))
			_, err := s.Update(b.Ctx(), testkit.Become("ann"))
			testkit.WantCode(t, err, stay.ErrCorrupt)
			testkit.WantState(t, b.Ctx(), s, lobby)
			if rec := testkit.RecordOf(t, st, "key/room/ann"); !bytes.Equal(rec.Value, bad) {
				t.Errorf("the record has become %s", rec.Value)
			}
			if !slices.Equal(told, []string{"room decode corrupt"}) {
				t.Errorf("OnError was told %q", told)
			}
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("eve")))
			testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":""}`)
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
			testkit.WantState(t, b.Ctx(), s, lobby)
		})
	}
}

// Only in development mode the log says that a logout or a switch has dropped
// changes.
//
// Proves K3, K4.
func TestDroppedChangesAreReported(t *testing.T) {
	for _, development := range []bool{true, false} {
		t.Run(fmt.Sprintf("development %v", development), func(t *testing.T) {
			var log bytes.Buffer
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Development: development, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			m := testkit.TodosModule()
			m.Actions = stay.Actions[testkit.Todos]{"quiet": func(_ *stay.Call, t *testkit.Todos) error { return testkit.Become(t.Items[0])(t) }}
			m.Actions["loud"] = func(_ *stay.Call, t *testkit.Todos) error {
				t.Theme = "dark"
				return testkit.Become("")(t)
			}
			m.Actions["over"] = func(_ *stay.Call, t *testkit.Todos) error {
				t.Theme = "dark"
				return testkit.Become("bob")(t)
			}
			s := stay.Register(app, m)
			b := testkit.NewBrowser(app)
			for _, c := range []struct {
				action string
				told   bool
			}{{"loud", true}, {"over", true}, {"quiet", false}} {
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error { t.Items = []string{""}; return nil }))
				log.Reset()
				testkit.Must(t)(s.Do(b.Ctx(), c.action, nil))
				told := strings.Contains(log.String(), "dropped") && strings.Contains(log.String(), "module=todos action="+c.action)
				if told != (c.told && development) {
					t.Errorf("%s logs %q", c.action, log.String())
				}
			}
		})
	}
}

// Guests in memory are bounded and go with the process; stored ones outlive it
// and go with their session.
//
// Proves S2.
func TestGuestsInMemoryAreBoundedAndStoredOnesStay(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			st, clk := testkit.Unclosed{Store: memstore.New()}, testkit.NewClock()
			opts := &stay.Options{Guests: guests, Clock: clk.Now, IdleTimeout: time.Hour, MaxGuests: 6, Logger: slog.New(slog.DiscardHandler)}
			type site struct {
				s *stay.State[testkit.Todos]
				p *stay.State[testkit.Profile]
				e *stay.State[testkit.Counter]
			}
			start := func() (*stay.App, site) {
				app := stay.New(st, opts)
				return app, site{
					stay.Register(app, testkit.TodosModule()),
					stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Initial: testkit.Profile{Name: "guest"}, Persist: stay.PerUser}),
					stay.Register(app, stay.Module[testkit.Counter]{Name: "eph"}),
				}
			}
			app, x := start()
			begin := func() *testkit.Browser {
				b := testkit.NewBrowser(app)
				testkit.Must(t)(x.s.Update(b.Ctx(), testkit.AddItem("x")))
				testkit.Change(t, b.Ctx(), x.p, testkit.Name("x"))
				testkit.MustUpdate(t, b.Ctx(), x.e)
				return b
			}
			has := func(b *testkit.Browser, kept bool) {
				t.Helper()
				if kept {
					testkit.WantState(t, b.Ctx(), x.s, `{"owner":{"id":"","role":""},"items":["x"],"theme":"light"}`)
					testkit.WantState(t, b.Ctx(), x.p, `{"name":"x"}`)
					testkit.WantCount(t, b.Ctx(), x.e, 1)
					return
				}
				testkit.WantState(t, b.Ctx(), x.s, testkit.GuestState)
				testkit.WantState(t, b.Ctx(), x.p, `{"name":"guest"}`)
				testkit.WantCount(t, b.Ctx(), x.e, 0)
			}
			stored := guests == stay.GuestStored
			first := begin()
			has(first, true)
			other := begin()
			for range 3 {
				begin()
			}
			has(other, stored) // there were too many for memory
			has(first, true)   // it came back before
			last := begin()
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			app, x = start()
			t.Cleanup(func() { _ = app.Close(context.Background()) })
			last = last.On(app)
			has(last, stored)
			clk.Advance(2 * time.Hour)
			has(last, false)
		})
	}
}
