package debounce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// storedJSON returns the value that the store has for a key, "" for none.
func storedJSON(t *testing.T, s store.Store, key string) string {
	t.Helper()
	recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return string(recs[0].Value)
}

func wantStoredJSON(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	if got := storedJSON(t, s, key); got != want {
		t.Errorf("%s holds %s, want %s", key, got, want)
	}
}

func debouncedTodos(app *stay.App) *stay.State[testkit.Todos] {
	m := testkit.TodosModule()
	m.Debounce = time.Hour
	m.Adopt = func(stored, guest *testkit.Todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	return stay.Register(app, m)
}

func annsTodos(items string) string {
	return `{"owner":{"id":"ann","role":"r-ann"},"items":[` + items + `],"theme":"light"}`
}

// A change of the key first stores the unsaved changes of its states: of the
// old key, at a logout and a switch, and of the new key.
//
// Proves A14, K2, K3, K4.
func TestKeyChangeStoresFirstWhatIsOwed(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			testkit.InBubbles(t, stay.Options{Guests: guests}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				s := debouncedTodos(app)
				b := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("a")))
				if n := len(testkit.Rows(t, mem)); n != 1 { // a stored guest waits too
					t.Errorf("%d records, want the keys alone", n)
				}
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann"))) // adopted whole
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a"`))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("b")))
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a"`))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become(""))) // earlier edits are kept
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
				testkit.WantState(t, b.Ctx(), s, testkit.GuestState)

				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("c")))
				testkit.Must(t)(s.At("ann").Update(t.Context(), testkit.AddItem("d")))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann"))) // onto changes that are not stored yet
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b","d","c"`))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("e")))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("bob")))
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b","d","c","e"`))
				wantStoredJSON(t, mem, "key/todos/bob", `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`)

				// A key that At has made, and that was never stored.
				testkit.Must(t)(s.At("eve").Update(t.Context(), testkit.Become("eve")))
				testkit.Must(t)(s.At("eve").Update(t.Context(), testkit.AddItem("x")))
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("eve")))
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["x"],"theme":"light"}`)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("y")))
				access.AppOf(app).Evict(false) // the session stays attached to the record
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["x","y"],"theme":"light"}`)
			})
		})
	}
}

// A login and a logout store the unsaved changes of all PerUser modules.
//
// Proves A14, S5.
func TestLoginAndLogoutStoreWhatIsOwed(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			testkit.InBubbles(t, stay.Options{Guests: guests}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				p := stay.Register(app, stay.Module[testkit.Profile]{Name: "profile", Persist: stay.PerUser, Debounce: time.Hour})
				c := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Debounce: time.Hour, Adopt: stay.KeepGuest[testkit.Cart]})
				phone, desk := testkit.NewBrowser(app), testkit.NewBrowser(app)
				testkit.Change(t, phone.Ctx(), c, testkit.Put("book"))
				testkit.Login(t, phone, "ann")
				testkit.Change(t, phone.Ctx(), p, testkit.Name("Ann"))
				testkit.Change(t, phone.Ctx(), c, testkit.Put("pen"))
				testkit.Change(t, desk.Ctx(), c, testkit.Put("ink"))
				testkit.Change(t, desk.Ctx(), p, testkit.Name("guest"))
				testkit.Login(t, desk, "ann") // onto what phone has not stored yet
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Ann"}`)
				wantStoredJSON(t, mem, "user/cart/ann", `{"items":["ink"]}`)
				testkit.Change(t, phone.Ctx(), p, testkit.Name("Anna"))
				testkit.Change(t, phone.Ctx(), c, testkit.Put("cap"))
				testkit.Logout(t, desk)
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Anna"}`)
				wantStoredJSON(t, mem, "user/cart/ann", `{"items":["ink","cap"]}`)
				testkit.Change(t, phone.Ctx(), p, testkit.Name("Annie"))
				testkit.Login(t, phone, "bob")
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Annie"}`)
				testkit.WantState(t, phone.Ctx(), p, `{"name":""}`)
			})
		})
	}
}

// A change of the key fails if the unsaved changes cannot be stored first. Then
// nothing has changed, and nothing is lost.
//
// Proves A14, K2, K3, K4.
func TestKeyChangeFailsIfWhatIsOwedCannotBeStored(t *testing.T) {
	withSaveFaults(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
		s := debouncedTodos(app)
		c := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Debounce: time.Hour})
		b, guest := testkit.NewBrowser(app), testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.Login(t, b, "ann")
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("a")))
		testkit.Change(t, b.Ctx(), c, testkit.Put("book"))
		testkit.Change(t, guest.Ctx(), s, testkit.AddItem("g"))
		testkit.Must(t)(s.At("bob").Update(t.Context(), testkit.Become("bob")))
		rule := start()
		for name, attempt := range map[string]func() error{
			"logout":                        func() error { _, err := s.Update(b.Ctx(), testkit.Become("")); return err },
			"switch":                        func() error { _, err := s.Update(b.Ctx(), testkit.Become("bob")); return err },
			"login":                         func() error { _, err := s.Update(guest.Ctx(), testkit.Become("ann")); return err },
			"onto a key that is not stored": func() error { _, err := s.Update(guest.Ctx(), testkit.Become("bob")); return err },
			"Logout":                        func() error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Logout(ctx) },
			"Login":                         func() error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Login(ctx, "bob") },
		} {
			if err := attempt(); stay.CodeOf(err) != stay.ErrUnavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		testkit.WantState(t, b.Ctx(), s, annsTodos(`"a"`))
		testkit.WantState(t, b.Ctx(), c, `{"items":["book"]}`)
		testkit.WantState(t, guest.Ctx(), s, strings.Replace(testkit.GuestState, "null", `["g"]`, 1))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("b")))
		rule.Remove()
		testkit.Sleep(2 * time.Hour)
		wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
		testkit.Logout(t, b)
		wantStoredJSON(t, mem, "user/cart/ann", `{"items":["book"]}`)
	})
}

// The first state of a session is stored together with the session's record, as
// the record is by then; with a session that was destroyed its states go,
// stored or not, while a user's state stays.
//
// Proves A14, S1, S5.
func TestFirstStateIsStoredWithItsSession(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
		u := stay.Register(app, stay.Module[testkit.Counter]{Name: "u", Persist: stay.PerUser, Debounce: testkit.Debounce})
		session := func(b *testkit.Browser) *stay.Session { return stay.SessionFrom(b.Ctx()) }
		record := func(b *testkit.Browser) string { return storedJSON(t, mem, "session/s/"+session(b).ID()) }

		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), s)
		testkit.Sleep(testkit.Debounce - 1)
		if n := len(testkit.Rows(t, mem)); n != 1 {
			t.Errorf("%d records, want the keys alone", n)
		}
		testkit.Sleep(1)
		if got := storedJSON(t, mem, "stay/session/"+session(b).ID()); got == "" || record(b) == "" {
			t.Error("the session or its state is not stored")
		}

		renewed := testkit.NewBrowser(app)
		testkit.MustUpdate(t, renewed.Ctx(), s)
		if err := session(renewed).Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		testkit.Login(t, renewed, "ann")
		testkit.MustUpdate(t, renewed.Ctx(), u)
		testkit.Sleep(testkit.Debounce)
		if record(renewed) == "" {
			t.Error("the state of a session that was renewed meanwhile is not stored")
		}
		testkit.WantCount(t, renewed.Ctx(), s, 1)

		for _, first := range []bool{true, false} {
			ended := testkit.NewBrowser(app)
			testkit.MustUpdate(t, ended.Ctx(), s)
			id := session(ended).ID()
			testkit.Login(t, ended, "bob")
			if !first {
				testkit.Sleep(testkit.Debounce)
			}
			testkit.MustUpdate(t, ended.Ctx(), s)
			testkit.MustUpdate(t, ended.Ctx(), u)
			if err := session(ended).Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
			testkit.Sleep(time.Minute)
			wantStoredJSON(t, mem, "session/s/"+id, "")
		}
		wantStoredJSON(t, mem, "user/u/bob", `{"count":2,"label":""}`)

		// A request that is under way goes on with the state while the session
		// is destroyed.
		ended := testkit.NewBrowser(app)
		testkit.MustUpdate(t, ended.Ctx(), s)
		id := session(ended).ID()
		goOn, over := make(chan struct{}), make(chan error)
		running := ended.Ctx()
		go func() {
			_, err := s.Update(running, func(c *testkit.Counter) error { <-goOn; return testkit.Increment(c) })
			over <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(ended.Ctx(), testkit.Debounce/2)
		defer cancel()
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Error(err)
		}
		close(goOn)
		if err := <-over; err != nil {
			t.Error(err)
		}
		testkit.Sleep(time.Minute)
		wantStoredJSON(t, mem, "session/s/"+id, "")
	})
}

// A first change that was under way when its session was renewed or destroyed
// creates nothing, as without Debounce.
//
// Proves A14, S5.
func TestStaleFirstChangeCreatesNothing(t *testing.T) {
	for name, verb := range map[string]func(*stay.Session, context.Context) error{"Renew": (*stay.Session).Renew, "Destroy": (*stay.Session).Destroy} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
				b := testkit.NewBrowser(app)
				ctx := b.Ctx()
				testkit.WantCount(t, ctx, s, 0)
				id := stay.SessionFrom(ctx).ID()
				running := b.Ctx()
				_, err := s.Update(running, func(c *testkit.Counter) error {
					if c.Count == 0 {
						if err := verb(stay.SessionFrom(b.Ctx()), context.Background()); err != nil && !errors.Is(err, stay.ErrEnded) {
							t.Error(err)
						}
					}
					return testkit.Increment(c)
				})
				testkit.WantCode(t, err, stay.ErrEnded)
				testkit.Sleep(time.Minute)
				wantStoredJSON(t, mem, "session/s/"+id, "")
			})
		})
	}
}

// A save that creates a state follows the session's record when that changes at
// the same moment.
//
// Proves A14, S1.
func TestSaveFollowsTheSessionsRecord(t *testing.T) {
	testkit.InBubble(t, false, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		busy := stay.Register(app, stay.Module[testkit.Counter]{Name: "busy", Persist: stay.Global})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		id := stay.SessionFrom(b.Ctx()).ID()
		testkit.MustUpdate(t, b.Ctx(), s)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/busy/", Fault: storefault.Stop(gate)})
		go testkit.TryUpdate(t, t.Context(), busy)
		synctest.Wait()
		renewed := make(chan error)
		go func() { renewed <- stay.SessionFrom(b.Ctx()).Renew(context.Background()) }()
		testkit.Sleep(testkit.Debounce * 3 / 2) // the renewal and the save wait for the store
		wantStoredJSON(t, mem, "session/s/"+id, "")
		rule.Remove()
		gate.Open()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
		testkit.WantCount(t, b.Ctx(), s, 1)
	})
}

// With a session that has expired go its states as they were last, stored or
// not: they are saved before they are removed.
//
// Proves A14, A15.
func TestStatesAreSavedBeforeTheyExpireWithTheirSession(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{IdleTimeout: time.Hour}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: 50 * time.Minute})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), s)
		id := stay.SessionFrom(b.Ctx()).ID()
		access.AppOf(app).Evict(false) // saves it
		testkit.Sleep(40 * time.Minute)
		if _, err := s.At(id).Update(t.Context(), testkit.Increment); err != nil {
			t.Fatal(err)
		}
		var saved []string
		st.Add(storefault.Rule{Op: storefault.Commit, Key: "session/s/" + id, Match: func(c storefault.Call) bool {
			for _, w := range c.Groups[0] {
				saved = append(saved, string(w.Value))
			}
			return false
		}})
		testkit.Sleep(25 * time.Minute)
		if len(saved) < 2 || saved[0] != `{"count":2,"label":""}` || len(testkit.Rows(t, mem)) != 1 {
			t.Errorf("%q were written, %q are left", saved, testkit.Rows(t, mem))
		}
	})
}

// A state whose record is about to expire is stored before that, and an expired
// state is not brought back.
//
// Proves A14, A15.
func TestStateIsStoredBeforeItsRecordExpires(t *testing.T) {
	testkit.InBubbles(t, stay.Options{IdleTimeout: time.Hour, Lifetime: time.Hour}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: time.Minute})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), s)
		id := stay.SessionFrom(b.Ctx()).ID()
		testkit.Sleep(59*time.Minute + 50*time.Second)
		testkit.MustUpdate(t, b.Ctx(), s)
		testkit.Sleep(6 * time.Second)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":2,"label":""}`)
		testkit.MustUpdate(t, b.Ctx(), s)
		testkit.Sleep(time.Hour)
		if n := len(testkit.Rows(t, mem)); n != 1 {
			t.Errorf("%q are stored, want the keys alone", testkit.Rows(t, mem))
		}
	})
}
