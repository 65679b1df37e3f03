package stay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// storedJSON returns the value that the store has for a key, "" for none.
func storedJSON(t *testing.T, s store.Store, key string) string {
	t.Helper()
	recs, err := s.Load(context.Background(), time.Now(), []store.Read{{Key: key}})
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

func debouncedTodos(app *stay.App) *stay.State[todos] {
	m := todosModule()
	m.Debounce = time.Hour
	m.Adopt = func(stored, guest *todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	return stay.Register(app, m)
}

func annsTodos(items string) string {
	return `{"owner":{"id":"ann","role":"r-ann"},"items":[` + items + `],"theme":"light"}`
}

// A change of the key stores first what its states owe the store: those of
// the key that is left, at a logout and a switch, and those of the key that
// is reached (A14, K2, K3, K4).
func TestA14K2K3K4DebounceKeyChange(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			inBubbles(t, stay.Options{Guests: guests}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				s := debouncedTodos(app)
				b := newBrowser(app)
				must(t)(s.Update(b.ctx(), addItem("a")))
				if n := len(rows(t, mem)); n != 1 { // a stored guest waits too
					t.Errorf("%d records, want the keys alone", n)
				}
				must(t)(s.Update(b.ctx(), become("ann"))) // K2: adopted whole
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a"`))
				must(t)(s.Update(b.ctx(), addItem("b")))
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a"`))
				must(t)(s.Update(b.ctx(), become(""))) // K3: earlier edits are kept
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
				wantState(t, b.ctx(), s, guestState)

				must(t)(s.Update(b.ctx(), addItem("c")))
				must(t)(s.At("ann").Update(t.Context(), addItem("d")))
				must(t)(s.Update(b.ctx(), become("ann"))) // K2: onto what is not stored yet
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b","d","c"`))
				must(t)(s.Update(b.ctx(), addItem("e")))
				must(t)(s.Update(b.ctx(), become("bob"))) // K4
				wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b","d","c","e"`))
				wantStoredJSON(t, mem, "key/todos/bob", `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`)

				// A key that At has made, and that was never stored.
				must(t)(s.At("eve").Update(t.Context(), become("eve")))
				must(t)(s.At("eve").Update(t.Context(), addItem("x")))
				must(t)(s.Update(b.ctx(), become("eve")))
				wantState(t, b.ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["x"],"theme":"light"}`)
				must(t)(s.Update(b.ctx(), addItem("y")))
				bridge.AppOf(app).Evict(false) // the session stays attached to the record
				wantState(t, b.ctx(), s, `{"owner":{"id":"eve","role":"r-eve"},"items":["x","y"],"theme":"light"}`)
			})
		})
	}
}

// A login and a logout store what all PerUser modules owe (A14, S5).
func TestA14S5DebounceLogin(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			inBubbles(t, stay.Options{Guests: guests}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				p := stay.Register(app, stay.Module[profile]{Name: "profile", Persist: stay.PerUser, Debounce: time.Hour})
				c := stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerUser, Debounce: time.Hour, Adopt: stay.KeepGuest[cart]})
				phone, desk := newBrowser(app), newBrowser(app)
				change(t, phone.ctx(), c, put("book"))
				login(t, phone, "ann")
				change(t, phone.ctx(), p, name("Ann"))
				change(t, phone.ctx(), c, put("pen"))
				change(t, desk.ctx(), c, put("ink"))
				change(t, desk.ctx(), p, name("guest"))
				login(t, desk, "ann") // onto what phone has not stored yet
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Ann"}`)
				wantStoredJSON(t, mem, "user/cart/ann", `{"items":["ink"]}`)
				change(t, phone.ctx(), p, name("Anna"))
				change(t, phone.ctx(), c, put("cap"))
				logout(t, desk)
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Anna"}`)
				wantStoredJSON(t, mem, "user/cart/ann", `{"items":["ink","cap"]}`)
				change(t, phone.ctx(), p, name("Annie"))
				login(t, phone, "bob")
				wantStoredJSON(t, mem, "user/profile/ann", `{"name":"Annie"}`)
				wantState(t, phone.ctx(), p, `{"name":""}`)
			})
		})
	}
}

// A change of the key fails if what it has to store first cannot be stored.
// Then nothing has changed, and nothing is lost (A14, K2, K3, K4).
func TestA14K2K3K4DebounceKeyChangeFails(t *testing.T) {
	withSaveFaults(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store, start func() *storefault.Added) {
		s := debouncedTodos(app)
		c := stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerUser, Debounce: time.Hour})
		b, guest := newBrowser(app), newBrowser(app)
		must(t)(s.Update(b.ctx(), become("ann")))
		login(t, b, "ann")
		must(t)(s.Update(b.ctx(), addItem("a")))
		change(t, b.ctx(), c, put("book"))
		change(t, guest.ctx(), s, addItem("g"))
		must(t)(s.At("bob").Update(t.Context(), become("bob")))
		rule := start()
		for name, attempt := range map[string]func() error{
			"logout":                        func() error { _, err := s.Update(b.ctx(), become("")); return err },
			"switch":                        func() error { _, err := s.Update(b.ctx(), become("bob")); return err },
			"login":                         func() error { _, err := s.Update(guest.ctx(), become("ann")); return err },
			"onto a key that is not stored": func() error { _, err := s.Update(guest.ctx(), become("bob")); return err },
			"Logout":                        func() error { ctx := b.ctx(); return stay.SessionFrom(ctx).Logout(ctx) },
			"Login":                         func() error { ctx := b.ctx(); return stay.SessionFrom(ctx).Login(ctx, "bob") },
		} {
			if err := attempt(); stay.CodeOf(err) != stay.ErrUnavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantState(t, b.ctx(), s, annsTodos(`"a"`))
		wantState(t, b.ctx(), c, `{"items":["book"]}`)
		wantState(t, guest.ctx(), s, strings.Replace(guestState, "null", `["g"]`, 1))
		must(t)(s.Update(b.ctx(), addItem("b")))
		rule.Remove()
		sleep(2 * time.Hour)
		wantStoredJSON(t, mem, "key/todos/ann", annsTodos(`"a","b"`))
		must(t)(s.Update(b.ctx(), become("")))
		logout(t, b)
		wantStoredJSON(t, mem, "user/cart/ann", `{"items":["book"]}`)
	})
}

// The first state of a session is stored together with the session's record,
// as the record is by then; with a session that was destroyed its states go,
// stored or not, while a user's state stays (A14, S1, S5).
func TestA14S1S5DebounceSession(t *testing.T) {
	inBubbles(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce})
		u := stay.Register(app, stay.Module[counter]{Name: "u", Persist: stay.PerUser, Debounce: debounce})
		session := func(b *browser) *stay.Session { return stay.SessionFrom(b.ctx()) }
		record := func(b *browser) string { return storedJSON(t, mem, "session/s/"+session(b).ID()) }

		b := newBrowser(app)
		mustUpdate(t, b.ctx(), s)
		sleep(debounce - 1)
		if n := len(rows(t, mem)); n != 1 {
			t.Errorf("%d records, want the keys alone", n)
		}
		sleep(1)
		if got := storedJSON(t, mem, "stay/session/"+session(b).ID()); got == "" || record(b) == "" {
			t.Error("the session or its state is not stored")
		}

		renewed := newBrowser(app)
		mustUpdate(t, renewed.ctx(), s)
		if err := session(renewed).Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		login(t, renewed, "ann")
		mustUpdate(t, renewed.ctx(), u)
		sleep(debounce)
		if record(renewed) == "" {
			t.Error("the state of a session that was renewed meanwhile is not stored")
		}
		wantCount(t, renewed.ctx(), s, 1)

		for _, first := range []bool{true, false} {
			ended := newBrowser(app)
			mustUpdate(t, ended.ctx(), s)
			id := session(ended).ID()
			login(t, ended, "bob")
			if !first {
				sleep(debounce)
			}
			mustUpdate(t, ended.ctx(), s)
			mustUpdate(t, ended.ctx(), u)
			if err := session(ended).Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
			sleep(time.Minute)
			wantStoredJSON(t, mem, "session/s/"+id, "")
		}
		wantStoredJSON(t, mem, "user/u/bob", `{"count":2,"label":""}`)

		// A request that is under way goes on with the state while the session
		// is destroyed.
		ended := newBrowser(app)
		mustUpdate(t, ended.ctx(), s)
		id := session(ended).ID()
		goOn, over := make(chan struct{}), make(chan error)
		running := ended.ctx()
		go func() {
			_, err := s.Update(running, func(c *counter) error { <-goOn; return increment(c) })
			over <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(ended.ctx(), debounce/2)
		defer cancel()
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Error(err)
		}
		close(goOn)
		if err := <-over; err != nil {
			t.Error(err)
		}
		sleep(time.Minute)
		wantStoredJSON(t, mem, "session/s/"+id, "")
	})
}

// A first change that was under way when its session was renewed or destroyed
// creates nothing, as without Debounce (S5, A14).
func TestS5A14DebounceStaleFirstChange(t *testing.T) {
	for name, verb := range map[string]func(*stay.Session, context.Context) error{"Renew": (*stay.Session).Renew, "Destroy": (*stay.Session).Destroy} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
				s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce})
				b := newBrowser(app)
				ctx := b.ctx()
				wantCount(t, ctx, s, 0)
				id := stay.SessionFrom(ctx).ID()
				running := b.ctx()
				_, err := s.Update(running, func(c *counter) error {
					if c.Count == 0 {
						if err := verb(stay.SessionFrom(b.ctx()), context.Background()); err != nil && !errors.Is(err, stay.ErrEnded) {
							t.Error(err)
						}
					}
					return increment(c)
				})
				wantCode(t, err, stay.ErrEnded)
				sleep(time.Minute)
				wantStoredJSON(t, mem, "session/s/"+id, "")
			})
		})
	}
}

// A save that creates a state follows the session's record when that changes
// at the same moment (A14, S1).
func TestA14S1DebounceBesideRenewal(t *testing.T) {
	inBubble(t, false, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce})
		own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
		busy := stay.Register(app, stay.Module[counter]{Name: "busy", Persist: stay.Global})
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), own)
		id := stay.SessionFrom(b.ctx()).ID()
		mustUpdate(t, b.ctx(), s)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/busy/", Fault: storefault.Stop(gate)})
		go mustUpdateAsync(t, t.Context(), busy)
		synctest.Wait()
		renewed := make(chan error)
		go func() { renewed <- stay.SessionFrom(b.ctx()).Renew(context.Background()) }()
		sleep(2 * debounce) // the renewal and the save wait for the store
		wantStoredJSON(t, mem, "session/s/"+id, "")
		rule.Remove()
		gate.Open()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
		wantCount(t, b.ctx(), s, 1)
	})
}

// With a session that has expired go its states as they were last, stored or
// not: they are saved before they are removed (A14, A15).
func TestA15A14DebounceSavedBeforeItExpires(t *testing.T) {
	inBubble(t, true, stay.Options{IdleTimeout: time.Hour}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: 50 * time.Minute})
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), s)
		id := stay.SessionFrom(b.ctx()).ID()
		bridge.AppOf(app).Evict(false) // saves it
		sleep(40 * time.Minute)
		if _, err := s.At(id).Update(t.Context(), increment); err != nil {
			t.Fatal(err)
		}
		var saved []string
		st.Add(storefault.Rule{Op: storefault.Commit, Key: "session/s/" + id, Match: func(c storefault.Call) bool {
			for _, w := range c.Groups[0] {
				saved = append(saved, string(w.Value))
			}
			return false
		}})
		sleep(25 * time.Minute)
		if len(saved) < 2 || saved[0] != `{"count":2,"label":""}` || len(rows(t, mem)) != 1 {
			t.Errorf("%q were written, %q are left", saved, rows(t, mem))
		}
	})
}

// A state whose record is about to expire is stored before that, and one that
// has expired is not brought back (A14, A15).
func TestA14A15DebounceExpiry(t *testing.T) {
	inBubbles(t, stay.Options{IdleTimeout: time.Hour, Lifetime: time.Hour}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: time.Minute})
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), s)
		id := stay.SessionFrom(b.ctx()).ID()
		sleep(59*time.Minute + 50*time.Second)
		mustUpdate(t, b.ctx(), s)
		sleep(6 * time.Second)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":2,"label":""}`)
		mustUpdate(t, b.ctx(), s)
		sleep(time.Hour)
		if n := len(rows(t, mem)); n != 1 {
			t.Errorf("%q are stored, want the keys alone", rows(t, mem))
		}
	})
}
