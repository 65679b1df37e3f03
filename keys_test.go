package stay_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// todos is the state of the tests of keys.
type todos struct {
	Owner owner    `json:"owner" stay:"key"`
	Items []string `json:"items"`
	Theme string   `json:"theme"`
}

type owner struct {
	ID   string `json:"id"`
	Role string `json:"role"`
}

func byOwner(t *todos) string { return t.Owner.ID }

func addItem(item string) func(*todos) error {
	return func(t *todos) error {
		t.Items = append(t.Items, item)
		return nil
	}
}

func become(id string) func(*todos) error {
	return func(t *todos) error {
		t.Owner = owner{}
		if id != "" {
			t.Owner = owner{ID: id, Role: "r-" + id}
		}
		return nil
	}
}

func todosModule() stay.Module[todos] {
	return stay.Module[todos]{Name: "todos", Initial: todos{Theme: "light"}, Persist: stay.WithKey(byOwner)}
}

// A simple store is the fifteen lines that a user writes.
type simple struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newSimple() *simple { return &simple{m: map[string][]byte{}} }

func (s *simple) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

func (s *simple) Save(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = value
	return nil
}

func (s *simple) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, key)
	return nil
}

// keyStores are those on which the key rules are shown.
var keyStores = map[string]func() store.Store{
	"memstore":  func() store.Store { return memstore.New() },
	"committer": func() store.Store { return behindCommitter(memstore.New()) },
	"simple":    func() store.Store { return store.FromSimple(newSimple()) },
}

// guestModes are the ways in which guests are kept.
var guestModes = map[string]stay.GuestMode{"memory": stay.GuestMemory, "stored": stay.GuestStored}

// onKeyStores runs the test on each store and with each way to keep guests.
func onKeyStores(t *testing.T, test func(t *testing.T, app *stay.App)) {
	for name, open := range keyStores {
		for mode, guests := range guestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				test(t, newApp(t, open(), &stay.Options{Guests: guests}))
			})
		}
	}
}

// wantState compares what a session reads with JSON.
func wantState[S any](t *testing.T, ctx context.Context, state *stay.State[S], want string) {
	t.Helper()
	got, err := state.Get(ctx)
	if err != nil {
		t.Errorf("Get: %v", err)
		return
	}
	wantJSON(t, got, want)
}

func wantJSON(t *testing.T, got any, want string) {
	t.Helper()
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("state is %s, want %s", b, want)
	}
}

const guestState = `{"owner":{"id":"","role":""},"items":null,"theme":"light"}`

// K2: what a guest made is adopted whole by a key that has nothing stored, and
// saved at once; another device finds it.
func TestK2LoginWithoutRecordAdoptsTheGuest(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), addItem("milk")))
		got := must(t)(s.Update(b.ctx(), become("ann")))
		want := `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`
		wantJSON(t, got, want)
		wantState(t, b.ctx(), s, want)
		wantState(t, context.Background(), s.At("ann"), want)

		other := newBrowser(app)
		wantState(t, other.ctx(), s, guestState)
		wantJSON(t, must(t)(s.Update(other.ctx(), become("ann"))), want)
	})
}

func must(t *testing.T) func(v *todos, err error) *todos {
	return func(v *todos, err error) *todos {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// K2: where a record is stored, the state is that record with the key fields of
// the result; the guest's work is dropped unless Adopt says otherwise.
func TestK2LoginOntoRecord(t *testing.T) {
	for name, c := range map[string]struct {
		adopt func(stored, result *todos) error
		items string
	}{
		"default":    {nil, `["old"]`},
		"KeepStored": {stay.KeepStored[todos], `["old"]`},
		"KeepGuest":  {stay.KeepGuest[todos], `["guest"]`},
		"merge": {func(stored, result *todos) error {
			stored.Items = append(stored.Items, result.Items...)
			stored.Owner.ID = "mallory" // K0: has no effect
			return nil
		}, `["old","guest"]`},
	} {
		t.Run(name, func(t *testing.T) {
			onKeyStores(t, func(t *testing.T, app *stay.App) {
				m := todosModule()
				m.Adopt = c.adopt
				s := stay.Register(app, m)
				must(t)(s.At("ann").Update(t.Context(), func(t *todos) error {
					t.Owner, t.Items = owner{"ann", "stored role"}, []string{"old"}
					return nil
				}))
				b := newBrowser(app)
				must(t)(s.Update(b.ctx(), addItem("guest")))
				got := must(t)(s.Update(b.ctx(), become("ann")))
				want := `{"owner":{"id":"ann","role":"r-ann"},"items":` + c.items + `,"theme":"light"}`
				wantJSON(t, got, want)
				wantState(t, b.ctx(), s, want)
				must(t)(s.Update(b.ctx(), become("")))
				must(t)(s.Update(b.ctx(), become("ann")))
				if name == "KeepGuest" {
					return
				}
				wantState(t, b.ctx(), s, want) // adopted once
			})
		})
	}
}

// K2: an Adopt that refuses refuses the login, and nothing has changed.
func TestK2AdoptRefuses(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		m := todosModule()
		m.Adopt = func(_, _ *todos) error { return stay.Invalid("", "no") }
		s := stay.Register(app, m)
		must(t)(s.At("ann").Update(t.Context(), become("ann")))
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), addItem("guest")))
		before := b.token
		_, err := s.Update(b.ctx(), become("ann"))
		wantCode(t, err, stay.ErrInvalid)
		if b.token != before {
			t.Error("the cookie was renewed")
		}
		wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
	})
}

// K3: after a logout the session is a guest with the initial state; what the
// user had stays, without what the action did beside.
func TestK3Logout(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), become("ann")))
		must(t)(s.Update(b.ctx(), addItem("milk")))
		got := must(t)(s.Update(b.ctx(), func(t *todos) error {
			t.Owner = owner{Role: "was here"}
			t.Items = append(t.Items, "dropped")
			return nil
		}))
		guest := `{"owner":{"id":"","role":"was here"},"items":null,"theme":"light"}`
		wantJSON(t, got, guest)
		wantState(t, b.ctx(), s, guest)
		wantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		must(t)(s.Update(b.ctx(), addItem("as guest")))
		wantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
	})
}

// K4: a switch loads the other key's state, or begins it from the initial one;
// nothing of the first user reaches it.
func TestK4Switch(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		m := todosModule()
		m.Adopt = func(_, _ *todos) error { t.Error("a switch adopts"); return nil }
		s := stay.Register(app, m)
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), become("ann")))
		must(t)(s.Update(b.ctx(), addItem("of ann")))
		got := must(t)(s.Update(b.ctx(), func(t *todos) error {
			t.Items = append(t.Items, "of nobody")
			return become("bob")(t)
		}))
		bob := `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`
		wantJSON(t, got, bob)
		wantState(t, t.Context(), s.At("bob"), bob) // saved at once
		must(t)(s.Update(b.ctx(), addItem("of bob")))
		must(t)(s.Update(b.ctx(), become("ann")))
		wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of ann"],"theme":"light"}`)
		wantState(t, t.Context(), s.At("bob"), `{"owner":{"id":"bob","role":"r-bob"},"items":["of bob"],"theme":"light"}`)
	})
}

// K5: a key function that reads more than the key fields is found out, and
// nothing changes.
func TestK5KeyMustHold(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		m := todosModule()
		m.Persist = stay.WithKey(func(t *todos) string {
			if t.Owner.ID == "" {
				return ""
			}
			return t.Owner.ID + strings.Join(t.Items, ",")
		})
		s := stay.Register(app, m)
		must(t)(s.At("ann").Update(t.Context(), become("ann")))
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), become("bobx")))
		_, err := s.Update(b.ctx(), func(t *todos) error {
			t.Items = []string{"lost"}
			return become("ann")(t)
		})
		wantCode(t, err, stay.ErrInternal)
		wantState(t, b.ctx(), s, `{"owner":{"id":"bobx","role":"r-bobx"},"items":null,"theme":"light"}`)
	})
}

// K7: a record that belongs to another key is an error and stays as it is; one
// without key fields is completed by the login that attaches to it.
func TestK7OwnerOfRecord(t *testing.T) {
	ctx := t.Context()
	st := memstore.New()
	put := func(key, value string) {
		res := st.Commit(ctx, time.Now(), []store.Group{{{Op: store.Put, Key: "key/todos/" + key, Value: []byte(value), Version: 1}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
	}
	put("ann", `{"owner":{"id":"bob"},"items":["secret"]}`)
	put("eve", `{"items":["no owner"]}`)
	app := newApp(t, st, nil)
	s := stay.Register(app, todosModule())
	b := newBrowser(app)
	_, err := s.Update(b.ctx(), become("ann"))
	wantCode(t, err, stay.ErrCorrupt)
	wantState(t, b.ctx(), s, guestState)
	_, err = s.At("ann").Get(ctx)
	wantCode(t, err, stay.ErrCorrupt)

	eve := `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":"light"}`
	wantJSON(t, must(t)(s.Update(b.ctx(), become("eve"))), eve)
	wantState(t, b.ctx(), s, eve)
	wantState(t, ctx, s.At("eve"), eve)
}

// K7, K8: deleting a key's state detaches its sessions, for good: they are not
// attached to what is stored under the key later.
func TestK8DeleteDetaches(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		one, two := newBrowser(app), newBrowser(app)
		must(t)(s.Update(one.ctx(), become("ann")))
		must(t)(s.Update(two.ctx(), become("ann")))
		must(t)(s.Update(one.ctx(), addItem("secret")))
		if err := s.Delete(one.ctx()); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*browser{one, two} {
			wantState(t, b.ctx(), s, guestState)
		}
		must(t)(s.Update(two.ctx(), addItem("of a guest")))
		third := newBrowser(app)
		must(t)(s.Update(third.ctx(), become("ann")))
		must(t)(s.Update(third.ctx(), addItem("of another ann")))
		wantState(t, one.ctx(), s, guestState)
		wantState(t, two.ctx(), s, `{"owner":{"id":"","role":""},"items":["of a guest"],"theme":"light"}`)
		must(t)(s.Update(one.ctx(), become("ann")))
		wantState(t, one.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of another ann"],"theme":"light"}`)
	})
}

// K8: resets keep the key fields.
func TestK8ResetKeepsTheKey(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), become("ann")))
		for _, reset := range []func(context.Context) (*todos, error){s.Reset, s.ResetAll} {
			must(t)(s.Update(b.ctx(), addItem("milk")))
			wantJSON(t, must(t)(reset(b.ctx())), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
		}
		wantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
	})
}

// S5: a change of the key renews the cookie, and the old one is refused at
// once: it reads the initial state, changes nothing and gets no cookie.
func TestS5KeyChangeRenewsTheCookie(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), addItem("x")))
		for _, id := range []string{"ann", "bob", ""} {
			old := *b
			must(t)(s.Update(b.ctx(), become(id)))
			if b.token == old.token {
				t.Fatalf("no new cookie when the key becomes %q", id)
			}
			ctx, answer := old.request()
			wantState(t, ctx, s, guestState)
			_, err := s.Update(ctx, addItem("y"))
			wantCode(t, err, stay.ErrEnded)
			if len(answer.issued) > 0 {
				t.Error("the old cookie was answered with a new one")
			}
		}
		wantState(t, b.ctx(), s, guestState)
	})
}

// S5: with KeepCookieOnKeyChange the cookie stays.
func TestS5KeepCookie(t *testing.T) {
	app := newApp(t, memstore.New(), &stay.Options{KeepCookieOnKeyChange: true})
	s := stay.Register(app, todosModule())
	b := newBrowser(app)
	must(t)(s.Update(b.ctx(), addItem("x")))
	token := b.token
	must(t)(s.Update(b.ctx(), become("ann")))
	if b.token != token {
		t.Error("the cookie was renewed")
	}
	wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["x"],"theme":"light"}`)
}

// S3: two devices of one user share one state, and a key change moves only the
// session that made it.
func TestS3OneInstancePerKey(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		one, two := newBrowser(app), newBrowser(app)
		must(t)(s.Update(one.ctx(), become("ann")))
		must(t)(s.Update(two.ctx(), become("ann")))
		var wg sync.WaitGroup
		for range 50 {
			for _, b := range []*browser{one, two} {
				wg.Go(func() { must(t)(s.Update(b.ctx(), addItem("x"))) })
			}
		}
		wg.Wait()
		must(t)(s.Update(one.ctx(), become("")))
		if got := must(t)(s.Get(two.ctx())); len(got.Items) != 100 {
			t.Errorf("%d items of 100", len(got.Items))
		}
		wantState(t, one.ctx(), s, guestState)
	})
}

// A7, E4: what a login put off runs once, after the login is durable.
func TestE4AfterOfALogin(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		ran := 0
		m := todosModule()
		var s *stay.State[todos]
		m.Actions = stay.Actions[todos]{"login": func(c *stay.Call, td *todos) error {
			c.After(func(ctx context.Context) {
				ran++
				wantState(t, context.Background(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":null,"theme":"light"}`)
			})
			return become("ann")(td)
		}}
		s = stay.Register(app, m)
		b := newBrowser(app)
		must(t)(s.Do(b.ctx(), "login", nil))
		if ran != 1 {
			t.Errorf("ran %d times", ran)
		}
	})
}

// A6: keys of any bytes; those that JSON cannot keep are refused, so that two
// users never become one.
func TestA6KeysOfAnyBytes(t *testing.T) {
	type raw struct {
		Key   []byte `json:"key" stay:"key"`
		Count int    `json:"count"`
	}
	app := newApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[raw]{Name: "raw", Persist: stay.WithKey(func(r *raw) string { return string(r.Key) })})
	keys := []string{"a/b", "../x", "\x00", "\xff\xfe", "session", strings.Repeat("k", 512)}
	for i, key := range keys {
		b := newBrowser(app)
		if _, err := s.Update(b.ctx(), func(r *raw) error { r.Key, r.Count = []byte(key), i; return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(b.ctx())
		if err != nil || string(got.Key) != key || got.Count != i {
			t.Errorf("key %q holds %v, %v", key, got, err)
		}
	}
	b := newBrowser(app)
	_, err := s.Update(b.ctx(), func(r *raw) error { r.Key = make([]byte, 513); return nil })
	wantCode(t, err, stay.ErrInvalid)

	td := stay.Register(app, todosModule())
	_, err = td.Update(b.ctx(), become("a\xff"))
	wantCode(t, err, stay.ErrInvalid)
	wantState(t, b.ctx(), td, guestState)
}

// A3: a login survives a restart, and so does a logout.
func TestA3LoginSurvivesRestart(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := unclosed{open()}
			app := stay.New(st, nil)
			s := stay.Register(app, todosModule())
			in, out := newBrowser(app), newBrowser(app)
			must(t)(s.Update(in.ctx(), become("ann")))
			must(t)(s.Update(in.ctx(), addItem("milk")))
			must(t)(s.Update(out.ctx(), become("bob")))
			must(t)(s.Update(out.ctx(), become("")))
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			app = newApp(t, st, nil)
			s = stay.Register(app, todosModule())
			in, out = in.on(app), out.on(app)
			wantState(t, in.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
			wantState(t, out.ctx(), s, guestState)
		})
	}
}

// on is the browser with a new process behind the same address, or as another
// node sees it: the cookie is the same.
func (b *browser) on(app *stay.App) *browser {
	n := newBrowser(app)
	n.token = b.token
	return n
}

// W2: the cookie must be renewed, so a login after the header was sent fails
// and changes nothing.
func TestW2LoginAfterTheHeader(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	s := stay.Register(app, todosModule())
	b := newBrowser(app)
	must(t)(s.Update(b.ctx(), addItem("x")))
	ctx, answer := b.request()
	answer.sent = true
	_, err := s.Update(ctx, become("ann"))
	wantCode(t, err, stay.ErrInternal)
	_, err = s.At("ann").Get(t.Context())
	wantCode(t, err, stay.ErrNotFound)
}

// K6: a payload cannot set a key field.
func TestK6PayloadCannotSetTheKey(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	m := todosModule()
	m.Actions = stay.Actions[todos]{"edit": func(c *stay.Call, td *todos) error { return c.Bind(td) }}
	s := stay.Register(app, m)
	b := newBrowser(app)
	_, err := s.Do(b.ctx(), "edit", json.RawMessage(`{"theme":"dark","owner":{"id":"ann"}}`))
	if err == nil {
		t.Error("a payload with a key field was taken")
	}
	must(t)(s.Do(b.ctx(), "edit", json.RawMessage(`{"theme":"dark"}`)))
	_, err = s.At("ann").Get(t.Context())
	if !errors.Is(err, stay.ErrNotFound) {
		t.Error(err)
	}
}
