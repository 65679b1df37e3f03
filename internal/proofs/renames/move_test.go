package renames_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A state under a former name is found whatever the strategy. Reading leaves it
// where it is, a change moves it, and it is found after a restart.
//
// Proves M6, A1, A3, A16.
func TestStatesUnderAFormerNameAreFoundAndMove(t *testing.T) {
	user := stay.ResolveKey(func(c *stay.Call, _ *testkit.Counter) string { return c.Session().User() })
	for what, persist := range map[string]stay.Strategy{
		"Global": stay.Global, "PerSession": stay.PerSession, "PerUser": stay.PerUser, "ResolveKey": user, "ephemeral": nil,
	} {
		for name, opened := range testkit.Stores {
			t.Run(what+"/"+name, func(t *testing.T) {
				s := opened()
				opts := &stay.Options{Guests: stay.GuestStored, OnError: testkit.Loud(t)}
				app := open(t, s, opts)
				b := testkit.NewBrowser(app)
				own := stay.Register(app, named(persist))
				testkit.MustUpdate(t, b.Ctx(), own)
				testkit.Login(t, b, "ann")
				testkit.MustUpdate(t, b.Ctx(), own)
				shut(t, app)
				before := states(t, s)

				for restart := range 3 {
					app = open(t, s, opts)
					b = b.On(app)
					own = stay.Register(app, renamed(persist))
					testkit.WantCount(t, b.Ctx(), own, 2+restart)
					if got := states(t, s); restart == 0 && !slices.Equal(got, before) {
						t.Errorf("reading left %q, want %q", got, before)
					}
					testkit.MustUpdate(t, b.Ctx(), own)
					testkit.WantCount(t, b.Ctx(), own, 3+restart)
					if got := states(t, s); len(got) != 1 || !strings.Contains(got[0], "/new/") {
						t.Errorf("a change left %q, want one state under the present name", got)
					}
					shut(t, app)
				}
			})
		}
	}
}

// A session stays attached to its key: its record names modules, too.
//
// Proves M6, K2, S3.
func TestASessionStaysAttachedToItsKey(t *testing.T) {
	for name, opened := range testkit.KeyStores {
		t.Run(name, func(t *testing.T) {
			s := opened()
			app := open(t, s, nil)
			b := testkit.NewBrowser(app)
			todos := stay.Register(app, testkit.TodosModule())
			testkit.Change(t, b.Ctx(), todos, testkit.Become("ann"))
			testkit.Change(t, b.Ctx(), todos, testkit.AddItem("milk"))
			shut(t, app)

			for range 2 {
				app = open(t, s, nil)
				b = b.On(app)
				m := testkit.TodosModule()
				m.Name, m.Formerly = "tasks", []string{"notes", "todos"}
				tasks := stay.Register(app, m)
				testkit.WantState(t, b.Ctx(), tasks, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
				testkit.Change(t, b.Ctx(), tasks, func(s *testkit.Todos) error { s.Theme = "dark"; return nil })
				testkit.Change(t, b.Ctx(), tasks, func(s *testkit.Todos) error { s.Theme = "light"; return nil })
				shut(t, app)
			}

			app = open(t, s, nil)
			b = b.On(app)
			m := testkit.TodosModule()
			m.Name = "tasks" // all of it has moved
			tasks := stay.Register(app, m)
			testkit.Change(t, b.Ctx(), tasks, testkit.Become(""))
			testkit.WantState(t, b.Ctx(), tasks, `{"owner":{"id":"","role":""},"items":null,"theme":"light"}`)
			testkit.Change(t, b.Ctx(), tasks, testkit.AddItem("tea"))
			testkit.Change(t, b.Ctx(), tasks, testkit.Become("ann"))
			testkit.WantState(t, b.Ctx(), tasks, `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
			shut(t, app)
		})
	}
}

// A module that had several names finds what is under each of them.
//
// Proves M6, A3.
func TestEachOfSeveralFormerNamesIsLookedUp(t *testing.T) {
	s := memstore.New()
	for name, user := range map[string]string{"a": "ann", "b": "bob", "c": "cyd", "new": "dan"} {
		app := open(t, s, nil)
		m := named(stay.PerUser)
		m.Name = name
		testkit.MustUpdate(t, t.Context(), stay.Register(app, m).At(user))
		shut(t, app)
	}
	app := open(t, s, &stay.Options{OnError: testkit.Loud(t)})
	defer shut(t, app)
	m := renamed(stay.PerUser)
	m.Formerly = []string{"a", "b", "c"}
	own := stay.Register(app, m)
	var all []string
	for _, user := range []string{"ann", "bob", "cyd", "dan"} {
		testkit.WantCount(t, t.Context(), own.At(user), 1)
		testkit.MustUpdate(t, t.Context(), own.At(user))
		testkit.WantCount(t, t.Context(), own.At(user), 2)
		all = append(all, "user/new/"+user)
	}
	if got := states(t, s); !slices.Equal(got, all) {
		t.Errorf("the store has %q, want %q", got, all)
	}
}

// Steps of Migrate run on a record under a former name, which may have an older
// version, and OnCreated is told that it is a stored one.
//
// Proves M6, M4, A11.
func TestARenamedModuleMigrates(t *testing.T) {
	s := memstore.New()
	put(t, s, "global/old/", `{"n":7}`)
	app := testkit.NewApp(t, s, nil)
	m := renamed(stay.Global)
	m.Version, m.Migrate = 2, testkit.Steps{1: func(old json.RawMessage) (json.RawMessage, error) {
		var was struct{ N int }
		err := json.Unmarshal(old, &was)
		return json.RawMessage(fmt.Sprintf(`{"count":%d}`, was.N)), err
	}}
	m.OnCreated = func(c *stay.Call, _ *testkit.Counter) error {
		if !c.Restored() {
			return errors.New("not restored")
		}
		return nil
	}
	own := stay.Register(app, m)
	testkit.WantCount(t, t.Context(), own, 7)
	testkit.MustUpdate(t, t.Context(), own)
	if rec := testkit.RecordOf(t, s, "global/new/"); rec.Version != 2 || testkit.RecordOf(t, s, "global/old/").Revision != 0 {
		t.Errorf("the record under the new name is %+v", rec)
	}
}

// A move whose answer is lost is made once.
//
// Proves M6, E5.
func TestAMoveWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	for what, fault := range map[string]storefault.Fault{
		"lost answer": storefault.LoseAck(nil), "lost request": storefault.Drop(nil), "failure": storefault.Fail(nil),
	} {
		t.Run(what, func(t *testing.T) {
			s := memstore.New()
			put(t, s, "global/old/", `{"count":1}`)
			f := storefault.Wrap(s, nil)
			f.Add(storefault.Rule{Op: storefault.Commit, Key: "global/new/", Times: 1, Fault: fault})
			app := testkit.NewApp(t, f, nil)
			own := stay.Register(app, renamed(stay.Global))
			want := 2
			if _, err := own.Update(t.Context(), testkit.Increment); err != nil {
				testkit.WantCode(t, err, stay.ErrUnavailable)
				want = 1
			}
			testkit.WantCount(t, t.Context(), own, want)
			testkit.MustUpdate(t, t.Context(), own)
			testkit.WantCount(t, t.Context(), own, want+1)
			if got := states(t, s); !slices.Equal(got, []string{"global/new/"}) {
				t.Errorf("the store has %q", got)
			}
		})
	}
}

// What a store over three methods keeps moves as well. Where a crash has cut
// the move short both records are there, and the new one counts.
//
// Proves M6, A13.
func TestAMoveOnASimpleStore(t *testing.T) {
	simple := testkit.NewSimple()
	app := stay.New(store.FromSimple(simple), nil)
	testkit.MustUpdate(t, t.Context(), stay.Register(app, named(stay.PerUser)).At("ann"))
	shut(t, app)
	old := map[string][]byte{}
	for _, key := range []string{"user=2fold=2fann"} {
		old[key], _ = simple.Load(t.Context(), key)
		if old[key] == nil {
			t.Fatal("the state is under another name")
		}
	}
	for round := range 2 {
		app = stay.New(store.FromSimple(simple), &stay.Options{OnError: testkit.Quiet})
		own := stay.Register(app, renamed(stay.PerUser)).At("ann")
		testkit.WantCount(t, t.Context(), own, 1+round)
		testkit.MustUpdate(t, t.Context(), own)
		testkit.WantCount(t, t.Context(), own, 2+round)
		shut(t, app)
		for key, value := range old { // as if the second write of the move had not been made
			testkit.NoError(t, simple.Save(context.Background(), key, value))
		}
	}
}
