package stay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A journal is a store that remembers the groups it was asked to commit.
type journal struct {
	*storefault.Store
	mu     sync.Mutex
	groups [][]string // the sorted keys of each
}

func journalOf(s store.Store) *journal {
	j := &journal{}
	j.Store = storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, g := range c.Groups {
			var keys []string
			for _, w := range g {
				if w.Op != store.Check && w.Key != "stay/keys" {
					keys = append(keys, w.Key)
				}
			}
			slices.Sort(keys)
			if len(keys) > 0 {
				j.groups = append(j.groups, keys)
			}
		}
	}})
	return j
}

// take returns the groups since the last call, but for what was only checked
// and for the signing keys.
func (j *journal) take() [][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	groups := j.groups
	j.groups = nil
	return groups
}

func wantGroups(t *testing.T, what string, got [][]string, want ...[]string) {
	t.Helper()
	for _, g := range want {
		slices.Sort(g)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s wrote %q, want %q", what, got, want)
	}
}

// onJournals runs the test on each store and with each way to keep guests,
// with a view of what is written.
func onJournals(t *testing.T, opts stay.Options, test func(t *testing.T, j *journal, app *stay.App)) {
	for name, open := range keyStores {
		for mode, guests := range guestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				j, o := journalOf(open()), opts
				o.Guests = guests
				test(t, j, newApp(t, j, &o))
			})
		}
	}
}

func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), time.Now(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

func commit(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if res := s.Commit(t.Context(), time.Now(), []store.Group{writes}); res[0].Outcome != store.Applied {
		t.Fatalf("%+v", res[0])
	}
}

// known has the browser get its cookie, and returns the ID of its session.
func (b *browser) known(t *testing.T, s *stay.State[todos]) string {
	t.Helper()
	must(t)(s.Get(b.ctx()))
	return stay.SessionFrom(b.ctx()).ID()
}

// K1: the key counts as the run leaves it, whatever it was on the way; and
// what has no key is not persisted.
func TestK1KeyOfTheResult(t *testing.T) {
	onJournals(t, stay.Options{}, func(t *testing.T, j *journal, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), addItem("milk")))
		for _, g := range j.take() {
			for _, key := range g {
				if strings.HasPrefix(key, "key/") {
					t.Errorf("a guest's state is stored as %q", key)
				}
			}
		}
		token := b.token
		got := must(t)(s.Update(b.ctx(), func(t *todos) error {
			_, _ = become("ann")(t), become("bob")(t)
			return become("")(t)
		}))
		wantJSON(t, got, `{"owner":{"id":"","role":""},"items":["milk"],"theme":"light"}`)
		if b.token != token {
			t.Error("a key that appeared only on the way renewed the cookie")
		}
		must(t)(s.Update(b.ctx(), func(t *todos) error {
			_ = become("bob")(t)
			return become("ann")(t)
		}))
		wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		_, err := s.At("bob").Get(t.Context())
		wantCode(t, err, stay.ErrNotFound)
	})
}

func mergeItems(stored, guest *todos) error {
	stored.Items = append(stored.Items, guest.Items...)
	return nil
}

// K2: what a guest made is adopted once: also when the store's answer is lost,
// when the request is sent twice, one after the other or at once, and when the
// cookie stays the same.
func TestK2AdoptedOnce(t *testing.T) {
	const adopted = `{"owner":{"id":"ann","role":"r-ann"},"items":["old","guest"],"theme":"light"}`
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep cookie %v", keep), func(t *testing.T) {
			onJournals(t, stay.Options{KeepCookieOnKeyChange: keep, OnError: quiet}, func(t *testing.T, j *journal, app *stay.App) {
				m := todosModule()
				m.Adopt = mergeItems
				s := stay.Register(app, m)
				must(t)(s.At("ann").Update(t.Context(), func(t *todos) error {
					t.Items = []string{"old"}
					return become("ann")(t)
				}))
				b := newBrowser(app)
				must(t)(s.Update(b.ctx(), addItem("guest")))
				first := *b

				j.Add(storefault.Rule{Op: storefault.Commit, Key: "key/todos/ann", Times: 1, Fault: storefault.LoseAck(nil)})
				must(t)(s.Update(b.ctx(), become("ann")))
				wantState(t, b.ctx(), s, adopted)

				for _, again := range []browser{first, *b} { // the answer never arrived; the button was pressed twice
					_, err := s.Update(again.ctx(), become("ann"))
					if old := again.token == first.token && !keep; old {
						wantCode(t, err, stay.ErrEnded)
					} else if err != nil {
						t.Error(err)
					}
					wantState(t, t.Context(), s.At("ann"), adopted)
				}

				two := newBrowser(app)
				must(t)(s.Update(two.ctx(), addItem("of two")))
				var wg sync.WaitGroup
				for range 4 {
					same := *two
					wg.Go(func() {
						if _, err := s.Update(same.ctx(), become("ann")); err != nil {
							wantCode(t, err, stay.ErrEnded)
						}
					})
				}
				wg.Wait()
				wantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["old","guest","of two"],"theme":"light"}`)
			})
		})
	}
}

// K3, K4, M1: whoever keeps what an action or Adopt was given changes nothing
// with it later, neither the state that the session left nor that it came to.
func TestK3K4M1NoAliases(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		var kept []*todos
		keep := func(t *todos) { kept = append(kept, t) }
		m := todosModule()
		m.Initial.Items = []string{"initial"}
		m.Adopt = func(stored, result *todos) error {
			keep(stored)
			keep(result)
			stored.Items = result.Items // shares what the guest has
			return nil
		}
		s := stay.Register(app, m)
		b := newBrowser(app)
		to := func(id string) {
			t.Helper()
			keep(must(t)(s.Update(b.ctx(), func(t *todos) error { keep(t); return become(id)(t) })))
		}
		to("ann")
		to("bob")
		to("")
		must(t)(s.Update(b.ctx(), addItem("guest")))
		to("ann")
		for _, k := range kept {
			k.Owner.ID, k.Theme = "mallory", "stolen"
			k.Items = append(k.Items[:0], "stolen")
		}
		wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["initial","guest"],"theme":"light"}`)
		wantState(t, t.Context(), s.At("bob"), `{"owner":{"id":"bob","role":"r-bob"},"items":["initial"],"theme":"light"}`)
		to("")
		wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["initial"],"theme":"light"}`)
	})
}

// K5: the error says what to do about a key function that reads too much.
func TestK5NamesTheMend(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	m := todosModule()
	m.Persist = stay.WithKey(func(t *todos) string { return t.Owner.ID + strings.Join(t.Items, "") })
	s := stay.Register(app, m)
	must(t)(s.At("ann").Update(t.Context(), become("ann")))
	b := newBrowser(app)
	must(t)(s.Update(b.ctx(), become("an")))
	_, err := s.Update(b.ctx(), func(t *todos) error { t.Items = []string{"n"}; return nil })
	wantCode(t, err, stay.ErrInternal)
	for _, word := range []string{`todos`, `must read only fields tagged stay:"key"`} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v does not say %q", err, word)
		}
	}
}

// K7: where the record of its key is gone, the session goes on as a guest, and
// stays one when somebody else has a record under that key later.
func TestK7MissingRecord(t *testing.T) {
	for name, open := range keyStores {
		for mode, guests := range guestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				st, opts := unclosed{open()}, &stay.Options{Guests: guests}
				app := stay.New(st, opts)
				s := stay.Register(app, todosModule())
				b, other := newBrowser(app), newBrowser(app)
				must(t)(s.Update(b.ctx(), become("ann")))
				must(t)(s.Update(b.ctx(), addItem("milk")))
				if err := app.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				rec := load(t, st, "key/todos/ann")
				commit(t, st, store.Write{Op: store.Delete, Key: rec.Key, Base: rec.Revision})

				app = newApp(t, st, opts)
				s = stay.Register(app, todosModule())
				b, other = b.on(app), other.on(app)
				wantState(t, b.ctx(), s, guestState)
				must(t)(s.Update(b.ctx(), addItem("of a guest")))
				_, err := s.At("ann").Get(t.Context())
				wantCode(t, err, stay.ErrNotFound)
				must(t)(s.Update(other.ctx(), become("ann")))
				must(t)(s.Update(other.ctx(), addItem("of another ann")))
				wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["of a guest"],"theme":"light"}`)
				must(t)(s.Update(b.ctx(), become("ann")))
				wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of another ann"],"theme":"light"}`)
			})
		}
	}
}

// K7 on each store: a record that says it is another's is refused at the
// login, byte for byte as it was; one that does not say whose it is is
// completed, and what was stored in it is kept.
func TestK7OwnersInTheStore(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			bad := []byte(`{"owner":{"id":"bob"},"items":["secret"]}`)
			commit(t, st, store.Write{Key: "key/todos/ann", Value: bad, Version: 1})
			commit(t, st, store.Write{Key: "key/todos/eve", Value: []byte(`{"items":["no owner"],"later":1}`), Version: 1})
			var told []string
			app := newApp(t, st, &stay.Options{OnError: func(c *stay.Call, e *stay.Error) {
				told = append(told, e.Module+" "+e.Phase+" "+string(e.Code))
			}})
			s := stay.Register(app, todosModule())
			b := newBrowser(app)
			must(t)(s.Update(b.ctx(), addItem("guest")))
			_, err := s.Update(b.ctx(), become("ann"))
			wantCode(t, err, stay.ErrCorrupt)
			if !slices.Equal(told, []string{"todos decode corrupt"}) {
				t.Errorf("OnError was told %q", told)
			}
			wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
			if rec := load(t, st, "key/todos/ann"); !bytes.Equal(rec.Value, bad) {
				t.Errorf("the record has become %s", rec.Value)
			}
			must(t)(s.Update(b.ctx(), become("eve")))
			wantState(t, b.ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":"light"}`)
			var rec map[string]any
			if err := json.Unmarshal(load(t, st, "key/todos/eve").Value, &rec); err != nil || rec["later"] != 1.0 {
				t.Errorf("the completed record is %v, %v", rec, err)
			}
		})
	}
}

// M2: fields that this version does not know stay with the record that has
// them, and go no further: a key change and ResetAll drop them, Reset does not.
func TestM2KeyChangesDropUnknownFields(t *testing.T) {
	const known = `"owner":{"id":%q,"role":"","later":"o"},"items":[],"theme":"light","later":%q`
	record := func(id, later string) []byte { return fmt.Appendf(nil, "{"+known+"}", id, later) }
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			app := newApp(t, st, &stay.Options{Guests: stay.GuestStored})
			m := todosModule()
			m.Adopt = stay.KeepGuest[todos]
			s := stay.Register(app, m)
			stored := func(key string) string { return string(load(t, st, key).Value) }
			wantLater := func(key string, want ...string) {
				t.Helper()
				value := stored(key)
				for _, later := range []string{"of ann", "of bob", "of guest"} {
					if got, want := strings.Contains(value, later), slices.Contains(want, later); got != want {
						t.Errorf("%s is %s, has the unknown field %s: %v", key, value, later, got)
					}
				}
			}
			b := newBrowser(app)
			guest := "guest/todos/" + b.known(t, s)
			commit(t, st, store.Write{Key: "key/todos/ann", Value: record("ann", "of ann"), Version: 1})
			commit(t, st, store.Write{Key: guest, Value: record("", "of guest"), Version: 1})
			must(t)(s.Update(b.ctx(), addItem("x")))
			wantLater(guest, "of guest")

			must(t)(s.Update(b.ctx(), become("eve"))) // nothing stored: the guest is adopted whole
			wantLater("key/todos/eve")
			must(t)(s.Update(b.ctx(), become("")))
			must(t)(s.Update(b.ctx(), addItem("y")))
			must(t)(s.Update(b.ctx(), become("ann"))) // KeepGuest
			wantLater("key/todos/ann", "of ann")
			must(t)(s.Update(b.ctx(), become("bob"))) // switch
			wantLater("key/todos/bob")
			must(t)(s.Update(b.ctx(), become("ann")))
			must(t)(s.Reset(b.ctx()))
			must(t)(s.Update(b.ctx(), addItem("z")))
			wantLater("key/todos/ann", "of ann")
			must(t)(s.ResetAll(b.ctx()))
			must(t)(s.Update(b.ctx(), addItem("z")))
			if value := stored("key/todos/ann"); strings.Contains(value, "later") {
				t.Errorf("ResetAll left %s", value)
			}
		})
	}
}

// A16, S4: a key change writes the session's record, and the state of the key
// only if its bytes change; the state that was left is never written. Where
// the key stays nothing is.
func TestA16S4KeyChangesWriteWhatChanges(t *testing.T) {
	onJournals(t, stay.Options{}, func(t *testing.T, j *journal, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		session := "stay/session/" + b.known(t, s)
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the login of a new user", j.take(), []string{"key/todos/ann", session})
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the same login again", j.take())
		must(t)(s.Update(b.ctx(), become("bob")))
		wantGroups(t, "a switch to a new user", j.take(), []string{"key/todos/bob", session})
		rev := load(t, j, "key/todos/ann").Revision
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "a switch to a stored user", j.take(), []string{session})
		must(t)(s.Update(b.ctx(), become("")))
		wantGroups(t, "a logout", j.take(), []string{session})
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "a login onto a record", j.take(), []string{session})
		if now := load(t, j, "key/todos/ann").Revision; now != rev {
			t.Errorf("the user's record went from revision %d to %d", rev, now)
		}
		must(t)(s.Update(b.ctx(), func(t *todos) error { t.Owner.Role = "admin"; return nil }))
		wantGroups(t, "a key field beside the key", j.take(), []string{"key/todos/ann"})
	})
}

// S4: a login, of a WithKey module and of a session, is one group: the
// session's record, the states that it reaches and those of guests that are
// used up. What is rejected has changed nothing, not even the cookie.
func TestS4OneGroup(t *testing.T) {
	onJournals(t, stay.Options{OnError: quiet}, func(t *testing.T, j *journal, app *stay.App) {
		s := stay.Register(app, todosModule())
		p, c := userModules(app)
		b := newBrowser(app)
		id := b.known(t, s)
		session := "stay/session/" + id
		must(t)(s.Update(b.ctx(), addItem("guest")))
		change(t, b.ctx(), p, name("Guest"))
		change(t, b.ctx(), c, put("book"))
		var ofKey, ofUser []string // what guests have in the store
		for _, key := range slices.Concat(j.take()...) {
			switch {
			case key == "guest/todos/"+id:
				ofKey = append(ofKey, key)
			case strings.HasPrefix(key, "guest/"):
				ofUser = append(ofUser, key)
			}
		}

		token := b.token
		rule := j.Add(storefault.Rule{Op: storefault.Commit, Key: session, Fault: storefault.Fail(nil)})
		_, err := s.Update(b.ctx(), become("ann"))
		wantCode(t, err, stay.ErrUnavailable)
		ctx := b.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrUnavailable)
		rule.Remove()
		if b.token != token {
			t.Error("the cookie was renewed")
		}
		wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
		wantState(t, b.ctx(), p, `{"name":"Guest"}`)
		wantState(t, b.ctx(), c, `{"items":["book"]}`)
		for _, key := range []string{"key/todos/ann", "user/profile/ann", "user/cart/ann"} {
			if rec := load(t, j, key); rec.Revision != 0 {
				t.Errorf("%s is stored as %s", key, rec.Value)
			}
		}
		j.take()

		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the login by key", j.take(), slices.Concat([]string{"key/todos/ann", session}, ofKey))
		login(t, b, "ann")
		wantGroups(t, "Login", j.take(), slices.Concat([]string{"user/profile/ann", "user/cart/ann", "stay/user/ann", session}, ofUser))
		logout(t, b)
		wantGroups(t, "Logout", j.take(), []string{"stay/user/ann", session})
		wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["guest"],"theme":"light"}`)
	})
}

// S4: two sessions that switch between the same keys in opposite directions
// never wait for each other.
func TestS4SwitchesCrosswise(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		ctx := soon(t)
		users := []string{"ann", "bob"}
		var wg sync.WaitGroup
		for i := range 4 {
			b := newBrowser(app)
			wg.Go(func() {
				for n := range 20 {
					if ctx.Err() != nil {
						t.Error("the switches wait for each other")
						return
					}
					if _, err := s.Update(b.ctx(), become(users[(i+n)%2])); err != nil {
						t.Errorf("switch: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// A12, A4, A6: modules of every strategy side by side, all with the same
// session, user and key: each keeps its own, across a restart, and only the
// ephemeral ones begin anew.
func TestA12A4A6ManyModules(t *testing.T) {
	type keyed struct {
		Key   string `json:"key" stay:"key"`
		Count int    `json:"count"`
	}
	const each = 4
	for storeName, open := range keyStores {
		t.Run(storeName, func(t *testing.T) {
			st := unclosed{open()}
			var plain map[string]*stay.State[counter]
			var byKey map[string]*stay.State[keyed]
			start := func() *stay.App {
				app := stay.New(st, nil)
				plain, byKey = map[string]*stay.State[counter]{}, map[string]*stay.State[keyed]{}
				for i := range each {
					for strategy, persist := range map[string]stay.Strategy{
						"session": stay.PerSession, "global": stay.Global, "user": stay.PerUser, "ephemeral": nil,
					} {
						n := fmt.Sprintf("%s%d", strategy, i)
						plain[n] = stay.Register(app, stay.Module[counter]{Name: n, Persist: persist})
					}
					n := fmt.Sprintf("key%d", i)
					byKey[n] = stay.Register(app, stay.Module[keyed]{Name: n, Persist: stay.WithKey(func(k *keyed) string { return k.Key })})
				}
				return app
			}
			app := start()
			// The key is the name of another module, as a user might choose it.
			browsers := []*browser{newBrowser(app), newBrowser(app)}
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
				login(t, browser, users[b])
				for i, n := range names {
					by := 10*i + b + 1
					if strings.HasPrefix(n, "global") {
						by = b + 1
					}
					change(t, browser.ctx(), plain[n], func(c *counter) error { c.Count += by; return nil })
				}
				for i, n := range keyNames {
					change(t, browser.ctx(), byKey[n], func(k *keyed) error { k.Key = users[b]; return nil })
					change(t, browser.ctx(), byKey[n], func(k *keyed) error { k.Count = 10*i + b + 1; return nil })
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
						c, err := plain[n].Get(browser.ctx())
						if err != nil || c.Count != want {
							t.Errorf("browser %d, module %s: %v, %v, want %d", b, n, c, err, want)
						}
					}
					for i, n := range keyNames {
						k, err := byKey[n].Get(browser.ctx())
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
				browsers[b] = browsers[b].on(app)
			}
			check(true)
		})
	}
}

// A13: the function of ResolveKey may use the session's ID and the module's
// name; a key that is there from the start has no guest phase; At takes the key
// as it is given.
func TestA13ResolveKeyOfSession(t *testing.T) {
	type doc struct {
		Text string `json:"text"`
	}
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		modules := map[string]*stay.State[doc]{}
		for _, n := range []string{"draft", "final"} {
			modules[n] = stay.Register(app, stay.Module[doc]{Name: n, Persist: stay.ResolveKey(func(c *stay.Call, _ *doc) string {
				return c.Module() + "/" + c.Session().ID()
			})})
		}
		one, two := newBrowser(app), newBrowser(app)
		for text, b := range map[string]*browser{"one": one, "two": two} {
			for n, s := range modules {
				change(t, b.ctx(), s, func(d *doc) error { d.Text = n + " of " + text; return nil })
			}
		}
		id := stay.SessionFrom(one.ctx()).ID()
		for n, s := range modules {
			wantState(t, one.ctx(), s, fmt.Sprintf(`{"text":"%s of one"}`, n))
			wantState(t, two.ctx(), s, fmt.Sprintf(`{"text":"%s of two"}`, n))
			wantState(t, t.Context(), s.At(n+"/"+id), fmt.Sprintf(`{"text":"%s of one"}`, n))
		}

		room := stay.Register(app, stay.Module[todos]{Name: "room", Persist: stay.ResolveKey(func(_ *stay.Call, t *todos) string { return t.Owner.ID })})
		change(t, t.Context(), room.At("hall"), become("elsewhere"))
		wantState(t, t.Context(), room.At("hall"), `{"owner":{"id":"elsewhere","role":"r-elsewhere"},"items":null,"theme":""}`)
	})
}

// K7 for ResolveKey, whose key can only be computed with the session at hand:
// a session does not come to the state of another key, and takes along nothing
// of it; the record stays as it is. A record that does not say whose it is is
// completed, also where the initial state has a key.
func TestK7ResolveKeyOwnerOfRecord(t *testing.T) {
	for name, open := range keyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			bad := []byte(`{"owner":{"id":"bob"},"items":["secret"]}`)
			commit(t, st, store.Write{Key: "key/room/ann", Value: bad, Version: 1})
			commit(t, st, store.Write{Key: "key/room/eve", Value: []byte(`{"items":["no owner"]}`), Version: 1})
			var told []string
			app := newApp(t, st, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) {
				told = append(told, e.Module+" "+e.Phase+" "+string(e.Code))
			}})
			s := stay.Register(app, stay.Module[todos]{Name: "room", Persist: stay.ResolveKey(func(_ *stay.Call, t *todos) string {
				if t.Owner.ID == "" {
					return "lobby"
				}
				return t.Owner.ID
			})})
			b := newBrowser(app)
			lobby := `{"owner":{"id":"","role":""},"items":["hello"],"theme":""}`
			must(t)(s.Update(b.ctx(), addItem("hello")))
			_, err := s.Update(b.ctx(), become("ann"))
			wantCode(t, err, stay.ErrCorrupt)
			wantState(t, b.ctx(), s, lobby)
			if rec := load(t, st, "key/room/ann"); !bytes.Equal(rec.Value, bad) {
				t.Errorf("the record has become %s", rec.Value)
			}
			if !slices.Equal(told, []string{"room decode corrupt"}) {
				t.Errorf("OnError was told %q", told)
			}
			must(t)(s.Update(b.ctx(), become("eve")))
			wantState(t, b.ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":""}`)
			must(t)(s.Update(b.ctx(), become("")))
			wantState(t, b.ctx(), s, lobby)
		})
	}
}
