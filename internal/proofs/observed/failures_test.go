package observed_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// failures are the errors that OnError got.
type failures struct {
	mu   sync.Mutex
	told []*stay.Error
}

func (f *failures) hook(c *stay.Call, e *stay.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Module() != e.Module {
		e = &stay.Error{Code: "the call is of another module", Err: e}
	}
	f.told = append(f.told, e)
}

func (f *failures) take() []*stay.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.told
	f.told = nil
	return told
}

func hashOf(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:6])
}

// The hook gets every failed load, save and decode, failing hooks and panics,
// once, with the place and the cause: in changes, in changes of the key and in
// Login alike. Errors of actions go to the caller.
//
// Proves A21.
func TestEveryFailureIsTold(t *testing.T) {
	cause := errors.New("the cause")
	var created error // what OnCreated returns
	boom := ""        // which function panics
	maybe := func(who string) {
		if boom == who {
			panic(cause)
		}
	}
	type site struct {
		b *testkit.Browser
		s *stay.State[testkit.Todos]
		c *stay.State[testkit.Cart]
		j *testkit.Journal
	}
	login := func(x *site, user string) error {
		ctx := x.b.Ctx()
		return stay.SessionFrom(ctx).Login(ctx, user)
	}
	by := func(x *site, user string) error {
		_, err := x.s.Do(x.b.Ctx(), "become", map[string]string{"id": user})
		return err
	}
	fail := func(op storefault.Op, key string) func(x *site) func() {
		return func(x *site) func() {
			return x.j.Add(storefault.Rule{Op: op, Key: key, Fault: storefault.Fail(cause)}).Remove
		}
	}
	panics := func(who string) func(x *site) func() {
		return func(*site) func() { boom = who; return func() { boom = "" } }
	}
	for _, c := range []struct {
		what  string
		begin func(x *site) (end func())
		do    func(x *site) error
		want  string // module.action phase code
		key   string // "" = any: that of a guest, or of one of a group
	}{
		{"a load", fail(storefault.Load, "key/todos/new"), func(x *site) error {
			_, err := x.s.At("new").Get(t.Context())
			return err
		}, "todos. load unavailable", "new"},
		{"the load of a login by key", fail(storefault.Load, "key/todos/new"), func(x *site) error { return by(x, "new") }, "todos. load unavailable", "new"},
		{"the load of a Login", fail(storefault.Load, "user/cart/new"), func(x *site) error { return login(x, "new") }, "cart. load unavailable", "new"},
		{"the load of a user's record", fail(storefault.Load, "stay/user/new"), func(x *site) error { return login(x, "new") }, ". load unavailable", "new"},
		{"a save", fail(storefault.Commit, "key/todos/new"), func(x *site) error {
			_, err := x.s.At("new").Update(t.Context(), testkit.Become("new"))
			return err
		}, "todos. save unavailable", "new"},
		{"the save of a login by key", fail(storefault.Commit, "key/todos/new"), func(x *site) error { return by(x, "new") }, "todos. save unavailable", ""},
		{"the save of a Login", fail(storefault.Commit, "user/cart/new"), func(x *site) error { return login(x, "new") }, "? save unavailable", ""},
		{"a record", nil, func(x *site) error { _, err := x.s.At("bad").Get(t.Context()); return err }, "todos. decode corrupt", "bad"},
		{"the record of a login by key", nil, func(x *site) error { return by(x, "bad") }, "todos. decode corrupt", "bad"},
		{"OnCreated", func(*site) func() { created = cause; return func() { created = nil } }, func(x *site) error {
			_, err := x.s.At("ann").Get(t.Context())
			return err
		}, "todos. onCreated internal", "ann"},
		{
			"OnCreated in a login by key", func(*site) func() { created = cause; return func() { created = nil } },
			func(x *site) error { return by(x, "ann") }, "todos. onCreated internal", "ann",
		},
		{"OnCreated that panics in a login by key", panics("created"), func(x *site) error { return by(x, "ann") }, "todos. onCreated internal", "ann"},
		{"an action that panics", panics("action"), func(x *site) error { return by(x, "new") }, "todos.become run internal", ""},
		{"an Adopt that panics in a login by key", panics("adopt"), func(x *site) error { return by(x, "ann") }, "todos.become run internal", ""},
		{"an Adopt that panics in a Login", panics("adopt cart"), func(x *site) error { return login(x, "ann") }, "cart. run internal", "ann"},
		{"a key function that panics", panics("key"), func(x *site) error { return by(x, "new") }, "todos.become run internal", ""},
		{"what was put off with After", panics("after"), func(x *site) error {
			if err := by(x, ""); err != nil { // changes nothing, and is done
				return err
			}
			return cause
		}, "todos.become after internal", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			for name, open := range testkit.KeyStores {
				t.Run(name, func(t *testing.T) {
					var f failures
					j := testkit.JournalOf(open())
					testkit.Commit(t, j, store.Write{Key: "key/todos/bad", Value: []byte(`{"items":"no list"}`), Version: 1},
						store.Write{Key: "user/cart/bad", Value: []byte(`[]`), Version: 1},
						store.Write{Key: "key/todos/ann", Value: []byte(`{"owner":{"id":"ann"}}`), Version: 1},
						store.Write{Key: "user/cart/ann", Value: []byte(`{}`), Version: 1})
					app := testkit.NewApp(t, j, &stay.Options{OnError: f.hook})
					m := testkit.TodosModule()
					m.Persist = stay.WithKey(func(t *testkit.Todos) string {
						if t.Owner.ID == "new" {
							maybe("key")
						}
						return t.Owner.ID
					})
					m.OnCreated = func(*stay.Call, *testkit.Todos) error { maybe("created"); return created }
					m.Adopt = func(_, _ *testkit.Todos) error { maybe("adopt"); return nil }
					m.Actions = stay.Actions[testkit.Todos]{"become": stay.WithPayload(func(c *stay.Call, t *testkit.Todos, in struct {
						ID string `json:"id"`
					},
					) error {
						maybe("action")
						c.After(func(context.Context) { maybe("after") })
						return testkit.Become(in.ID)(t)
					})}
					x := &site{b: testkit.NewBrowser(app), s: stay.Register(app, m), j: j}
					x.c = stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Adopt: func(_, _ *testkit.Cart) error { maybe("adopt cart"); return nil }})
					testkit.Must(t)(x.s.Update(x.b.Ctx(), testkit.AddItem("guest")))
					testkit.Change(t, x.b.Ctx(), x.c, testkit.Put("guest"))
					token := x.b.Token
					if c.begin != nil {
						defer c.begin(x)()
					}

					err := func() (err error) {
						defer func() {
							if p := recover(); p != nil {
								err = p.(error)
							}
						}()
						return c.do(x)
					}()
					if err == nil {
						t.Fatal("no failure")
					}
					told := f.take()
					if len(told) != 1 {
						t.Fatalf("OnError was told %v, want one failure", told)
					}
					e := told[0]
					got := fmt.Sprintf("%s.%s %s %s", e.Module, e.Action, e.Phase, e.Code)
					if c.want[0] == '?' { // whichever of the group it is
						got = fmt.Sprintf("? %s %s", e.Phase, e.Code)
					}
					if got != c.want {
						t.Errorf("OnError was told %q, want %q", got, c.want)
					}
					switch c.key {
					case "":
						if e.KeyHash == "" {
							t.Error("OnError was told no key")
						}
					default:
						if e.KeyHash != hashOf(c.key) {
							t.Errorf("key hash %q, want that of %q", e.KeyHash, c.key)
						}
					}
					if e.Err == nil || e.Code != stay.ErrCorrupt && !errors.Is(e.Err, cause) {
						t.Errorf("OnError was told the cause %v", e.Err)
					}
					if strings.Contains(e.Message, "cause") {
						t.Errorf("the message for clients is %q", e.Message)
					}
					if x.b.Token != token {
						t.Error("the cookie was renewed")
					}
					if c.begin != nil {
						boom, created = "", nil
					}
					testkit.WantState(t, x.b.Ctx(), x.s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
					testkit.WantState(t, x.b.Ctx(), x.c, `{"items":["guest"]}`)
				})
			}
		})
	}
}

// What a function of the app refuses by itself goes to its caller and not to
// the hook: an action, and an Adopt at a login by key and at a Login.
//
// Proves A21.
func TestRefusalsGoToTheCaller(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		var f failures
		m := testkit.TodosModule()
		m.OnError = f.hook
		refuse := func(_, _ *testkit.Todos) error { return stay.ErrDenied }
		m.Adopt = refuse
		s := stay.Register(app, m)
		c := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, OnError: f.hook, Adopt: func(_, _ *testkit.Cart) error { return stay.ErrDenied }})
		testkit.Must(t)(s.At("ann").Update(t.Context(), testkit.Become("ann")))
		testkit.Change(t, t.Context(), c.At("ann"), testkit.Put("x"))
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
		testkit.Change(t, b.Ctx(), c, testkit.Put("y"))
		_, err := s.Update(b.Ctx(), testkit.Become("ann"))
		testkit.WantCode(t, err, stay.ErrDenied)
		ctx := b.Ctx()
		testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrDenied)
		_, err = s.Update(b.Ctx(), func(*testkit.Todos) error { return stay.ErrDenied })
		testkit.WantCode(t, err, stay.ErrDenied)
		if told := f.take(); len(told) > 0 {
			t.Errorf("OnError was told %v", told)
		}
	})
}

// A module's hook is called instead of the App's, which gets the failures of
// the other modules and of sessions.
//
// Proves A21.
func TestHookOfTheModuleIsToldInsteadOfTheApps(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			var own, all failures
			j := testkit.JournalOf(open())
			app := testkit.NewApp(t, j, &stay.Options{OnError: all.hook})
			m := testkit.TodosModule()
			m.OnError = own.hook
			s := stay.Register(app, m)
			c := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.Global})
			j.Add(storefault.Rule{Op: storefault.Load, Match: func(c storefault.Call) bool {
				return slices.ContainsFunc(c.Keys, func(k string) bool { return strings.HasPrefix(k, "key/") || strings.HasPrefix(k, "global/") })
			}, Fault: storefault.Fail(nil)})
			_, err := s.At("ann").Get(t.Context())
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if told := all.take(); len(told) > 0 || len(own.take()) != 1 {
				t.Errorf("the App's hook was told %v, or the module's nothing", told)
			}
			_, err = c.Get(t.Context())
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if told := own.take(); len(told) > 0 || len(all.take()) != 1 {
				t.Errorf("the module's hook was told %v, or the App's nothing", told)
			}
		})
	}
}
