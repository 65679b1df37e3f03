package keys_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// What a guest made is adopted whole by a key that has nothing stored, and
// saved at once; another device finds it.
//
// Proves K2.
func TestLoginWithoutRecordAdoptsTheGuest(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("milk")))
		got := testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		want := `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`
		testkit.WantJSON(t, got, want)
		testkit.WantState(t, b.Ctx(), s, want)
		testkit.WantState(t, context.Background(), s.At("ann"), want)

		other := testkit.NewBrowser(app)
		testkit.WantState(t, other.Ctx(), s, testkit.GuestState)
		testkit.WantJSON(t, testkit.Must(t)(s.Update(other.Ctx(), testkit.Become("ann"))), want)
	})
}

// Where a record is stored, the state is that record with the key fields of the
// result; the guest's work is dropped unless Adopt says otherwise.
//
// Proves A7, K0, K2.
func TestLoginOntoARecordLoadsIt(t *testing.T) {
	for name, c := range map[string]struct {
		adopt func(stored, result *testkit.Todos) error
		items string
	}{
		"default":    {nil, `["old"]`},
		"KeepStored": {stay.KeepStored[testkit.Todos], `["old"]`},
		"KeepGuest":  {stay.KeepGuest[testkit.Todos], `["guest"]`},
		"merge": {func(stored, result *testkit.Todos) error {
			stored.Items = append(stored.Items, result.Items...)
			stored.Owner.ID = "mallory" // has no effect
			return nil
		}, `["old","guest"]`},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
				m := testkit.TodosModule()
				m.Adopt = c.adopt
				s := stay.Register(app, m)
				testkit.Must(t)(s.At("ann").Update(t.Context(), func(t *testkit.Todos) error {
					t.Owner, t.Items = testkit.Owner{ID: "ann", Role: "stored role"}, []string{"old"}
					return nil
				}))
				b := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
				got := testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				want := `{"owner":{"id":"ann","role":"r-ann"},"items":` + c.items + `,"theme":"light"}`
				testkit.WantJSON(t, got, want)
				testkit.WantState(t, b.Ctx(), s, want)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				if name == "KeepGuest" {
					return
				}
				testkit.WantState(t, b.Ctx(), s, want) // adopted once
			})
		})
	}
}

// An Adopt that refuses refuses the login, and nothing has changed.
//
// Proves K2.
func TestAdoptThatRefusesRefusesTheLogin(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		m := testkit.TodosModule()
		m.Adopt = func(_, _ *testkit.Todos) error { return stay.Invalid("", "no") }
		s := stay.Register(app, m)
		testkit.Must(t)(s.At("ann").Update(t.Context(), testkit.Become("ann")))
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
		before := b.Token
		_, err := s.Update(b.Ctx(), testkit.Become("ann"))
		testkit.WantCode(t, err, stay.ErrInvalid)
		if b.Token != before {
			t.Error("the cookie was renewed")
		}
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
	})
}

// After a logout the session is a guest with the initial state; the user's
// state stays, without the other changes of the action.
//
// Proves A8, K3.
func TestLogoutMakesAGuestAndKeepsWhatIsStored(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("milk")))
		got := testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error {
			t.Owner = testkit.Owner{Role: "was here"}
			t.Items = append(t.Items, "dropped")
			return nil
		}))
		guest := `{"owner":{"id":"","role":"was here"},"items":null,"theme":"light"}`
		testkit.WantJSON(t, got, guest)
		testkit.WantState(t, b.Ctx(), s, guest)
		testkit.WantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("as guest")))
		testkit.WantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
	})
}

// A switch loads the other key's state, or begins it from the initial one;
// nothing of the first user reaches it.
//
// Proves A9, K4.
func TestSwitchLoadsTheOtherKey(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		m := testkit.TodosModule()
		m.Adopt = func(_, _ *testkit.Todos) error { t.Error("a switch adopts"); return nil }
		s := stay.Register(app, m)
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of ann")))
		got := testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error {
			t.Items = append(t.Items, "of nobody")
			return testkit.Become("bob")(t)
		}))
		bob := `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`
		testkit.WantJSON(t, got, bob)
		testkit.WantState(t, t.Context(), s.At("bob"), bob) // saved at once
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of bob")))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of ann"],"theme":"light"}`)
		testkit.WantState(t, t.Context(), s.At("bob"), `{"owner":{"id":"bob","role":"r-bob"},"items":["of bob"],"theme":"light"}`)
	})
}

// A key function that reads more than the key fields is found out, and nothing
// changes.
//
// Proves K5.
func TestKeyMustHold(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		m := testkit.TodosModule()
		m.Persist = stay.WithKey(func(t *testkit.Todos) string {
			if t.Owner.ID == "" {
				return ""
			}
			return t.Owner.ID + strings.Join(t.Items, ",")
		})
		s := stay.Register(app, m)
		testkit.Must(t)(s.At("ann").Update(t.Context(), testkit.Become("ann")))
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("bobx")))
		_, err := s.Update(b.Ctx(), func(t *testkit.Todos) error {
			t.Items = []string{"lost"}
			return testkit.Become("ann")(t)
		})
		testkit.WantCode(t, err, stay.ErrInternal)
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"bobx","role":"r-bobx"},"items":null,"theme":"light"}`)
	})
}

// A record that belongs to another key is an error and stays as it is; one
// without key fields is completed by the login that attaches to it.
//
// Proves K7.
func TestRecordOfAnotherKeyIsAnError(t *testing.T) {
	ctx := t.Context()
	st := memstore.New()
	put := func(key, value string) {
		res := st.Commit(ctx, []store.Group{{{Op: store.Put, Key: "key/todos/" + key, Value: []byte(value), Version: 1}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
	}
	put("ann", `{"owner":{"id":"bob"},"items":["secret"]}`)
	put("eve", `{"items":["no owner"]}`)
	app := testkit.NewApp(t, st, nil)
	s := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	_, err := s.Update(b.Ctx(), testkit.Become("ann"))
	testkit.WantCode(t, err, stay.ErrCorrupt)
	testkit.WantState(t, b.Ctx(), s, testkit.GuestState)
	_, err = s.At("ann").Get(ctx)
	testkit.WantCode(t, err, stay.ErrCorrupt)

	eve := `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":"light"}`
	testkit.WantJSON(t, testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("eve"))), eve)
	testkit.WantState(t, b.Ctx(), s, eve)
	testkit.WantState(t, ctx, s.At("eve"), eve)
}

// Deleting a key's state detaches its sessions, for good: they are not attached
// to a state that is stored under the key later.
//
// Proves K7, K8.
func TestDeleteDetachesSessions(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		one, two := testkit.NewBrowser(app), testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(one.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(two.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(one.Ctx(), testkit.AddItem("secret")))
		if err := s.Delete(one.Ctx()); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*testkit.Browser{one, two} {
			testkit.WantState(t, b.Ctx(), s, testkit.GuestState)
		}
		testkit.Must(t)(s.Update(two.Ctx(), testkit.AddItem("of a guest")))
		third := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(third.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(third.Ctx(), testkit.AddItem("of another ann")))
		testkit.WantState(t, one.Ctx(), s, testkit.GuestState)
		testkit.WantState(t, two.Ctx(), s, `{"owner":{"id":"","role":""},"items":["of a guest"],"theme":"light"}`)
		testkit.Must(t)(s.Update(one.Ctx(), testkit.Become("ann")))
		testkit.WantState(t, one.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of another ann"],"theme":"light"}`)
	})
}

// Resets keep the key fields.
//
// Proves K0, K8.
func TestResetKeepsTheKey(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		for _, reset := range []func(context.Context) (*testkit.Todos, error){s.Reset, s.ResetAll} {
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("milk")))
			testkit.WantJSON(t, testkit.Must(t)(reset(b.Ctx())), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
		}
		testkit.WantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
	})
}

// A change of the key renews the cookie, and the old one is refused at once: it
// reads the initial state, changes nothing and gets no cookie.
//
// Proves S5.
func TestKeyChangeRenewsTheCookie(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
		for _, id := range []string{"ann", "bob", ""} {
			old := *b
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become(id)))
			if b.Token == old.Token {
				t.Fatalf("no new cookie when the key becomes %q", id)
			}
			ctx, answer := old.Request()
			testkit.WantState(t, ctx, s, testkit.GuestState)
			_, err := s.Update(ctx, testkit.AddItem("y"))
			testkit.WantCode(t, err, stay.ErrEnded)
			if len(answer.Issued) > 0 {
				t.Error("the old cookie was answered with a new one")
			}
		}
		testkit.WantState(t, b.Ctx(), s, testkit.GuestState)
	})
}

// With KeepCookieOnKeyChange the cookie stays.
//
// Proves S5.
func TestKeepCookieOnKeyChangeKeepsIt(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), &stay.Options{KeepCookieOnKeyChange: true})
	s := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
	token := b.Token
	testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
	if b.Token != token {
		t.Error("the cookie was renewed")
	}
	testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["x"],"theme":"light"}`)
}

// Two devices of one user share one state, and a key change moves only the
// session that made it.
//
// Proves S3.
func TestDevicesOfAUserShareOneState(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		one, two := testkit.NewBrowser(app), testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(one.Ctx(), testkit.Become("ann")))
		testkit.Must(t)(s.Update(two.Ctx(), testkit.Become("ann")))
		var wg sync.WaitGroup
		for range 50 {
			for _, b := range []*testkit.Browser{one, two} {
				wg.Go(func() { testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x"))) })
			}
		}
		wg.Wait()
		testkit.Must(t)(s.Update(one.Ctx(), testkit.Become("")))
		if got := testkit.Must(t)(s.Get(two.Ctx())); len(got.Items) != 100 {
			t.Errorf("%d items of 100", len(got.Items))
		}
		testkit.WantState(t, one.Ctx(), s, testkit.GuestState)
	})
}

// What a login put off runs once, after the login is durable.
//
// Proves A7, E4.
func TestAfterOfALoginRunsOnceItIsDurable(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		ran := 0
		m := testkit.TodosModule()
		var s *stay.State[testkit.Todos]
		m.Actions = stay.Actions[testkit.Todos]{"login": func(c *stay.Call, td *testkit.Todos) error {
			c.After(func(ctx context.Context) {
				ran++
				testkit.WantState(t, context.Background(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
			})
			return testkit.Become("ann")(td)
		}}
		s = stay.Register(app, m)
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Do(b.Ctx(), "login", nil))
		if ran != 1 {
			t.Errorf("ran %d times", ran)
		}
	})
}

// Keys of any bytes; those that JSON cannot keep are refused, so that two users
// never become one.
//
// Proves A6, C6.
func TestKeysOfAnyBytes(t *testing.T) {
	type raw struct {
		Key   []byte `json:"key" stay:"key"`
		Count int    `json:"count"`
	}
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[raw]{Name: "raw", Persist: stay.WithKey(func(r *raw) string { return string(r.Key) })})
	keys := []string{"a/b", "../x", "\x00", "\xff\xfe", "session", strings.Repeat("k", 512)}
	for i, key := range keys {
		b := testkit.NewBrowser(app)
		if _, err := s.Update(b.Ctx(), func(r *raw) error { r.Key, r.Count = []byte(key), i; return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(b.Ctx())
		if err != nil || string(got.Key) != key || got.Count != i {
			t.Errorf("key %q holds %v, %v", key, got, err)
		}
	}
	b := testkit.NewBrowser(app)
	_, err := s.Update(b.Ctx(), func(r *raw) error { r.Key = make([]byte, 513); return nil })
	testkit.WantCode(t, err, stay.ErrInvalid)

	td := stay.Register(app, testkit.TodosModule())
	_, err = td.Update(b.Ctx(), testkit.Become("a\xff"))
	testkit.WantCode(t, err, stay.ErrInvalid)
	testkit.WantState(t, b.Ctx(), td, testkit.GuestState)
}

// A login survives a restart, and so does a logout.
//
// Proves A3.
func TestLoginSurvivesARestart(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := testkit.Unclosed{Store: open()}
			app := stay.New(st, nil)
			s := stay.Register(app, testkit.TodosModule())
			in, out := testkit.NewBrowser(app), testkit.NewBrowser(app)
			testkit.Must(t)(s.Update(in.Ctx(), testkit.Become("ann")))
			testkit.Must(t)(s.Update(in.Ctx(), testkit.AddItem("milk")))
			testkit.Must(t)(s.Update(out.Ctx(), testkit.Become("bob")))
			testkit.Must(t)(s.Update(out.Ctx(), testkit.Become("")))
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			app = testkit.NewApp(t, st, nil)
			s = stay.Register(app, testkit.TodosModule())
			in, out = in.On(app), out.On(app)
			testkit.WantState(t, in.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
			testkit.WantState(t, out.Ctx(), s, testkit.GuestState)
		})
	}
}

// The cookie must be renewed, so a login after the header was sent fails and
// changes nothing.
//
// Proves S5, W2.
func TestLoginAfterTheHeaderFails(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
	ctx, answer := b.Request()
	answer.Sent = true
	_, err := s.Update(ctx, testkit.Become("ann"))
	testkit.WantCode(t, err, stay.ErrInternal)
	_, err = s.At("ann").Get(t.Context())
	testkit.WantCode(t, err, stay.ErrNotFound)
}

// A payload cannot set a key field.
//
// Proves K0, K6.
func TestPayloadCannotSetTheKey(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	m := testkit.TodosModule()
	m.Actions = stay.Actions[testkit.Todos]{"edit": func(c *stay.Call, td *testkit.Todos) error { return c.Bind(td) }}
	s := stay.Register(app, m)
	b := testkit.NewBrowser(app)
	_, err := s.Do(b.Ctx(), "edit", json.RawMessage(`{"theme":"dark","owner":{"id":"ann"}}`))
	if err == nil {
		t.Error("a payload with a key field was taken")
	}
	testkit.Must(t)(s.Do(b.Ctx(), "edit", json.RawMessage(`{"theme":"dark"}`)))
	_, err = s.At("ann").Get(t.Context())
	if !errors.Is(err, stay.ErrNotFound) {
		t.Error(err)
	}
}
