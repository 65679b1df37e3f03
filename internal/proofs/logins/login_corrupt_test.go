package logins_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A state that cannot be read, of a user or of a guest, does not prevent a
// login: OnError gets the failure, the other modules move, that module returns
// an error, and the record stays as it is.
//
// Proves A21, M3.
func TestLoginBesideUnreadableStates(t *testing.T) {
	for _, whose := range []string{"user", "guest"} {
		t.Run(whose, func(t *testing.T) {
			st := memstore.New()
			var told []*stay.Error
			app := testkit.NewApp(t, st, &stay.Options{
				Guests:  stay.GuestStored,
				OnError: func(_ *stay.Call, e *stay.Error) { told = append(told, e) },
			})
			p, c := testkit.UserModules(app)
			b := testkit.NewBrowser(app)
			testkit.Change(t, b.Ctx(), c, testkit.Put("book"))
			key := "user/profile/ann"
			if whose == "guest" {
				key = "guest/profile/" + stay.SessionFrom(b.Ctx()).ID()
			} else {
				testkit.Change(t, b.Ctx(), p, testkit.Name("Guest"))
			}
			bad := store.Write{Op: store.Put, Key: key, Value: []byte(`{"name":1}`), Version: 1}
			if res := st.Commit(t.Context(), []store.Group{{bad}}); res[0].Outcome != store.Applied {
				t.Fatal(res[0])
			}
			access.AppOf(app).Evict(false)
			testkit.Login(t, b, "ann")
			if len(told) != 1 || told[0].Module != "profile" || told[0].Phase != "decode" || told[0].Code != stay.ErrCorrupt {
				t.Errorf("OnError was told %v", told)
			}
			testkit.WantState(t, b.Ctx(), c, `{"items":["book"]}`)
			_, err := p.Get(b.Ctx())
			if whose == "user" {
				testkit.WantCode(t, err, stay.ErrCorrupt)
			} else {
				testkit.NoError(t, err)
			}
			if got := testkit.RecordOf(t, st, key); string(got.Value) != `{"name":1}` {
				t.Errorf("the record became %s", got.Value)
			}
		})
	}
}

// A state that a user has without a key may be unreadable, or be read by a hook
// that fails: that does not prevent a logout, and the next user begins with the
// initial state.
//
// Proves K3, M3.
func TestLogoutBesideAGuestThatCannotBeRead(t *testing.T) {
	for _, whose := range []string{"record", "hook"} {
		t.Run(whose, func(t *testing.T) {
			st := memstore.New()
			app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored, OnError: testkit.Quiet})
			fail := false
			m := testkit.TodosModule()
			m.OnCreated = func(*stay.Call, *testkit.Todos) error {
				if fail {
					return errors.New("not today")
				}
				return nil
			}
			s := stay.Register(app, m)
			b := testkit.NewBrowser(app)
			testkit.Login(t, b, "ann")
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of ann")))
			key := "guest/todos/" + stay.SessionFrom(b.Ctx()).ID()
			if whose == "record" {
				rec := testkit.RecordOf(t, st, key)
				bad := store.Write{Op: store.Put, Key: key, Base: rec.Revision, Value: []byte(`{"items":1}`), Version: 1}
				if res := st.Commit(t.Context(), []store.Group{{bad}}); res[0].Outcome != store.Applied {
					t.Fatal(res[0])
				}
			}
			fail = whose == "hook"
			access.AppOf(app).Evict(false)
			testkit.Logout(t, b)
			testkit.Login(t, b, "bob")
			fail = false
			testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":null,"theme":"light"}`)
		})
	}
}

// The guest that comes after a key was given up and a user has left is numbered
// like every other, so it is found when the session ends.
//
// Proves K3, K8, S5.
func TestDestroyRemovesTheGuestAfterAKeyAndAUser(t *testing.T) {
	st := memstore.New()
	app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored})
	s := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	for _, owner := range []string{"x", ""} {
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become(owner)))
	}
	testkit.Logout(t, b)
	testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of nobody")))
	testkit.NoError(t, stay.SessionFrom(b.Ctx()).Destroy(b.Ctx()))
	keys, err := st.List(t.Context(), time.Now(), "guest/", "", 10)
	if err != nil || len(keys) > 0 {
		t.Errorf("left: %q, %v", keys, err)
	}
}

// What a user does without a key goes with them, also what begins while they are
// leaving, and what cannot be loaded at that moment: then they cannot leave yet.
//
// Proves K3, S5.
func TestLogoutTakesWhatTheUserBeginsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		st := storefault.Wrap(mem, nil)
		app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored})
		todos := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		id := stay.SessionFrom(b.Ctx()).ID()

		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/user/ann", Fault: storefault.Stop(gate)})
		before, leaving := b.Ctx(), b.Ctx()
		left, changed := make(chan error, 1), make(chan error, 1)
		go func() { left <- stay.SessionFrom(leaving).Logout(leaving) }()
		synctest.Wait()
		go func() {
			_, err := todos.Update(before, testkit.AddItem("late"))
			changed <- err
		}()
		synctest.Wait()
		gate.Open()
		testkit.NoError(t, <-left)
		testkit.WantCode(t, <-changed, stay.ErrEnded)
		rule.Remove()
		if got := testkit.RecordOf(t, mem, "guest/todos/"+id); got.Revision != 0 {
			t.Errorf("what ann began is left: %s", got.Value)
		}

		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), todos, testkit.AddItem("pear"))
		key := "guest/todos/" + id + ".1"
		if testkit.RecordOf(t, mem, key).Revision == 0 {
			t.Fatalf("%s is not stored", key)
		}
		access.AppOf(app).Evict(false)
		rule = st.Add(storefault.Rule{Op: storefault.Load, Key: key, Fault: storefault.Fail(nil)})
		ctx := b.Ctx()
		testkit.WantCode(t, stay.SessionFrom(ctx).Logout(context.Background()), stay.ErrUnavailable)
		rule.Remove()
		testkit.Logout(t, b)
		if got := testkit.RecordOf(t, mem, key); got.Revision != 0 {
			t.Errorf("what ann did is left: %s", got.Value)
		}
	})
}
