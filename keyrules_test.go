package stay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

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
	key := func(t *todos) string { return t.Owner.ID + strings.Join(t.Items, "") }
	for name, persist := range map[string]stay.Strategy{
		"WithKey":    stay.WithKey(key),
		"ResolveKey": stay.ResolveKey(func(_ *stay.Call, t *todos) string { return key(t) }),
	} {
		t.Run(name, func(t *testing.T) {
			st := memstore.New()
			commit(t, st, store.Write{Key: "key/todos/ann", Value: []byte(`{"owner":{"id":"ann"}}`), Version: 1})
			app := newApp(t, st, nil)
			m := todosModule()
			m.Persist = persist
			s := stay.Register(app, m)
			b := newBrowser(app)
			must(t)(s.Update(b.ctx(), become("an")))
			_, err := s.Update(b.ctx(), func(t *todos) error { t.Items = []string{"n"}; return nil })
			wantCode(t, err, stay.ErrInternal)
			for _, word := range []string{"todos", name + ` must read only fields tagged stay:"key"`} {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("error %v does not say %q", err, word)
				}
			}
			wantState(t, b.ctx(), s, `{"owner":{"id":"an","role":"r-an"},"items":null,"theme":"light"}`)
			if rec := load(t, st, "key/todos/ann"); string(rec.Value) != `{"owner":{"id":"ann"}}` {
				t.Errorf("the record has become %s", rec.Value)
			}
		})
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
