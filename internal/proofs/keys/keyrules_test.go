package keys_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// The key after the run counts, whatever it was during the run; and a state
// without a key is not persisted.
//
// Proves K1.
func TestKeyIsThatOfTheResult(t *testing.T) {
	testkit.OnJournals(t, stay.Options{}, func(t *testing.T, j *testkit.Journal, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("milk")))
		for _, g := range j.Take() {
			for _, key := range g {
				if strings.HasPrefix(key, "key/") {
					t.Errorf("a guest's state is stored as %q", key)
				}
			}
		}
		token := b.Token
		got := testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error {
			_, _ = testkit.Become("ann")(t), testkit.Become("bob")(t)
			return testkit.Become("")(t)
		}))
		testkit.WantJSON(t, got, `{"owner":{"id":"","role":""},"items":["milk"],"theme":"light"}`)
		if b.Token != token {
			t.Error("a key that appeared only on the way renewed the cookie")
		}
		testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error {
			_ = testkit.Become("bob")(t)
			return testkit.Become("ann")(t)
		}))
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		_, err := s.At("bob").Get(t.Context())
		testkit.WantCode(t, err, stay.ErrNotFound)
	})
}

func mergeItems(stored, guest *testkit.Todos) error {
	stored.Items = append(stored.Items, guest.Items...)
	return nil
}

// What a guest made is adopted once: also when the store's answer is lost, when
// the request is sent twice, one after the other or at once, and when the
// cookie stays the same.
//
// Proves K2.
func TestGuestIsAdoptedOnce(t *testing.T) {
	const adopted = `{"owner":{"id":"ann","role":"r-ann"},"items":["old","guest"],"theme":"light"}`
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep cookie %v", keep), func(t *testing.T) {
			testkit.OnJournals(t, stay.Options{KeepCookieOnKeyChange: keep, OnError: testkit.Quiet}, func(t *testing.T, j *testkit.Journal, app *stay.App) {
				m := testkit.TodosModule()
				m.Adopt = mergeItems
				s := stay.Register(app, m)
				testkit.Must(t)(s.At("ann").Update(t.Context(), func(t *testkit.Todos) error {
					t.Items = []string{"old"}
					return testkit.Become("ann")(t)
				}))
				b := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
				first := *b

				j.Add(storefault.Rule{Op: storefault.Commit, Key: "key/todos/ann", Times: 1, Fault: storefault.LoseAck(nil)})
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				testkit.WantState(t, b.Ctx(), s, adopted)

				for _, again := range []testkit.Browser{first, *b} { // the answer never arrived; the button was pressed twice
					_, err := s.Update(again.Ctx(), testkit.Become("ann"))
					if old := again.Token == first.Token && !keep; old {
						testkit.WantCode(t, err, stay.ErrEnded)
					} else if err != nil {
						t.Error(err)
					}
					testkit.WantState(t, t.Context(), s.At("ann"), adopted)
				}

				two := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(two.Ctx(), testkit.AddItem("of two")))
				var wg sync.WaitGroup
				for range 4 {
					same := *two
					wg.Go(func() {
						if _, err := s.Update(same.Ctx(), testkit.Become("ann")); err != nil {
							testkit.WantCode(t, err, stay.ErrEnded)
						}
					})
				}
				wg.Wait()
				testkit.WantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["old","guest","of two"],"theme":"light"}`)
			})
		})
	}
}

// Whoever keeps what an action or Adopt was given changes nothing with it
// later, neither the state that the session left nor that it came to.
//
// Proves K3, K4, M1.
func TestKeyChangesShareNoMemory(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		var kept []*testkit.Todos
		keep := func(t *testkit.Todos) { kept = append(kept, t) }
		m := testkit.TodosModule()
		m.Initial.Items = []string{"initial"}
		m.Adopt = func(stored, result *testkit.Todos) error {
			keep(stored)
			keep(result)
			stored.Items = result.Items // shares memory with the guest's state
			return nil
		}
		s := stay.Register(app, m)
		b := testkit.NewBrowser(app)
		to := func(id string) {
			t.Helper()
			keep(testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error { keep(t); return testkit.Become(id)(t) })))
		}
		to("ann")
		to("bob")
		to("")
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
		to("ann")
		for _, k := range kept {
			k.Owner.ID, k.Theme = "mallory", "stolen"
			k.Items = append(k.Items[:0], "stolen")
		}
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["initial","guest"],"theme":"light"}`)
		testkit.WantState(t, t.Context(), s.At("bob"), `{"owner":{"id":"bob","role":"r-bob"},"items":["initial"],"theme":"light"}`)
		to("")
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["initial"],"theme":"light"}`)
	})
}

// The error says what to do about a key function that reads too much.
//
// Proves K5.
func TestKeyThatDoesNotHoldNamesTheFix(t *testing.T) {
	key := func(t *testkit.Todos) string { return t.Owner.ID + strings.Join(t.Items, "") }
	for name, persist := range map[string]stay.Strategy{
		"WithKey":    stay.WithKey(key),
		"ResolveKey": stay.ResolveKey(func(_ *stay.Call, t *testkit.Todos) string { return key(t) }),
	} {
		t.Run(name, func(t *testing.T) {
			st := memstore.New()
			testkit.Commit(t, st, store.Write{Key: "key/todos/ann", Value: []byte(`{"owner":{"id":"ann"}}`), Version: 1})
			app := testkit.NewApp(t, st, nil)
			m := testkit.TodosModule()
			m.Persist = persist
			s := stay.Register(app, m)
			b := testkit.NewBrowser(app)
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("an")))
			_, err := s.Update(b.Ctx(), func(t *testkit.Todos) error { t.Items = []string{"n"}; return nil })
			testkit.WantCode(t, err, stay.ErrInternal)
			for _, word := range []string{"todos", name + ` must read only fields tagged stay:"key"`} {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("error %v does not say %q", err, word)
				}
			}
			testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"an","role":"r-an"},"items":null,"theme":"light"}`)
			if rec := testkit.RecordOf(t, st, "key/todos/ann"); string(rec.Value) != `{"owner":{"id":"ann"}}` {
				t.Errorf("the record has become %s", rec.Value)
			}
		})
	}
}

// Where the record of its key is gone, the session goes on as a guest, and
// stays one when somebody else has a record under that key later.
//
// Proves K7.
func TestMissingRecordOfAKeyMakesAGuest(t *testing.T) {
	for name, open := range testkit.KeyStores {
		for mode, guests := range testkit.GuestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				st, opts := testkit.Unclosed{Store: open()}, &stay.Options{Guests: guests}
				app := stay.New(st, opts)
				s := stay.Register(app, testkit.TodosModule())
				b, other := testkit.NewBrowser(app), testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("milk")))
				if err := app.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				rec := testkit.RecordOf(t, st, "key/todos/ann")
				testkit.Commit(t, st, store.Write{Op: store.Delete, Key: rec.Key, Base: rec.Revision})

				app = testkit.NewApp(t, st, opts)
				s = stay.Register(app, testkit.TodosModule())
				b, other = b.On(app), other.On(app)
				testkit.WantState(t, b.Ctx(), s, testkit.GuestState)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of a guest")))
				_, err := s.At("ann").Get(t.Context())
				testkit.WantCode(t, err, stay.ErrNotFound)
				testkit.Must(t)(s.Update(other.Ctx(), testkit.Become("ann")))
				testkit.Must(t)(s.Update(other.Ctx(), testkit.AddItem("of another ann")))
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["of a guest"],"theme":"light"}`)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["of another ann"],"theme":"light"}`)
			})
		}
	}
}

// On each store a record of another key is refused at the login and stays byte
// for byte; a record without an owner is completed, and its stored values are
// kept.
//
// Proves K7.
func TestRecordOfAnotherOwnerIsRefusedOnEachStore(t *testing.T) {
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			bad := []byte(`{"owner":{"id":"bob"},"items":["secret"]}`)
			testkit.Commit(t, st, store.Write{Key: "key/todos/ann", Value: bad, Version: 1})
			testkit.Commit(t, st, store.Write{Key: "key/todos/eve", Value: []byte(`{"items":["no owner"],"later":1}`), Version: 1})
			var told []string
			app := testkit.NewApp(t, st, &stay.Options{OnError: func(c *stay.Call, e *stay.Error) {
				told = append(told, e.Module+" "+e.Phase+" "+string(e.Code))
			}})
			s := stay.Register(app, testkit.TodosModule())
			b := testkit.NewBrowser(app)
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
			_, err := s.Update(b.Ctx(), testkit.Become("ann"))
			testkit.WantCode(t, err, stay.ErrCorrupt)
			if !slices.Equal(told, []string{"todos decode corrupt"}) {
				t.Errorf("OnError was told %q", told)
			}
			testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
			if rec := testkit.RecordOf(t, st, "key/todos/ann"); !bytes.Equal(rec.Value, bad) {
				t.Errorf("the record has become %s", rec.Value)
			}
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("eve")))
			testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["no owner"],"theme":"light"}`)
			var rec map[string]any
			if err := json.Unmarshal(testkit.RecordOf(t, st, "key/todos/eve").Value, &rec); err != nil || rec["later"] != 1.0 {
				t.Errorf("the completed record is %v, %v", rec, err)
			}
		})
	}
}

// Fields that this version does not know stay with the record that has them,
// and go no further: a key change and ResetAll drop them, Reset does not.
//
// Proves M2.
func TestKeyChangesDropUnknownFields(t *testing.T) {
	const known = `"owner":{"id":%q,"role":"","later":"o"},"items":[],"theme":"light","later":%q`
	record := func(id, later string) []byte { return fmt.Appendf(nil, "{"+known+"}", id, later) }
	for name, open := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			st := open()
			app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored})
			m := testkit.TodosModule()
			m.Adopt = stay.KeepGuest[testkit.Todos]
			s := stay.Register(app, m)
			stored := func(key string) string { return string(testkit.RecordOf(t, st, key).Value) }
			wantLater := func(key string, want ...string) {
				t.Helper()
				value := stored(key)
				for _, later := range []string{"of ann", "of bob", "of guest"} {
					if got, want := strings.Contains(value, later), slices.Contains(want, later); got != want {
						t.Errorf("%s is %s, has the unknown field %s: %v", key, value, later, got)
					}
				}
			}
			b := testkit.NewBrowser(app)
			guest := "guest/todos/" + b.Known(t, s)
			testkit.Commit(t, st, store.Write{Key: "key/todos/ann", Value: record("ann", "of ann"), Version: 1})
			testkit.Commit(t, st, store.Write{Key: guest, Value: record("", "of guest"), Version: 1})
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("x")))
			wantLater(guest, "of guest")

			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("eve"))) // nothing stored: the guest is adopted whole
			wantLater("key/todos/eve")
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("y")))
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann"))) // KeepGuest
			wantLater("key/todos/ann", "of ann")
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("bob"))) // switch
			wantLater("key/todos/bob")
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
			testkit.Must(t)(s.Reset(b.Ctx()))
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("z")))
			wantLater("key/todos/ann", "of ann")
			testkit.Must(t)(s.ResetAll(b.Ctx()))
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("z")))
			if value := stored("key/todos/ann"); strings.Contains(value, "later") {
				t.Errorf("ResetAll left %s", value)
			}
		})
	}
}
