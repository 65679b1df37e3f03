package debounce_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A worker of the stress test is a browser and its acknowledged changes.
type shopper struct {
	*testkit.Browser
	t     *testing.T
	id    int
	n     int
	user  string
	guest []string // acknowledged, and not yet anybody's
	oracle
}

// An oracle knows which items each user must have, and may have.
type oracle struct {
	mu         *sync.Mutex
	must, may  map[string][]string
	carts      *stay.State[testkit.Cart]
	todos      *stay.State[testkit.Todos]
	randomness *rand.Rand
}

func (o *oracle) note(into map[string][]string, user string, items ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	into[user] = append(into[user], items...)
}

// add changes the state of the user, or of the guest.
func (s *shopper) add(update func(item string) error) {
	item := fmt.Sprint(s.id, ".", s.n)
	s.n++
	err := update(item)
	switch {
	case err == nil && s.user != "":
		s.note(s.must, s.user, item)
	case err == nil:
		s.guest = append(s.guest, item)
	case stay.CodeOf(err) == stay.ErrUnknown:
		for u := range 3 {
			s.note(s.may, fmt.Sprint("u", u), item)
		}
	}
}

// become changes the session's user by a login, logout or switch.
func (s *shopper) become(user string, change func() error) {
	if s.user == user {
		return
	}
	err := change()
	switch stay.CodeOf(err) {
	case "":
		if s.user == "" {
			s.note(s.must, user, s.guest...)
		}
		s.user, s.guest = user, nil
	case stay.ErrUnknown:
		s.note(s.may, user, s.guest...)
		s.Browser, s.user, s.guest = testkit.NewBrowser(s.carts.App()), "", nil
	}
}

// Whatever the store does, logins, logouts and switches among changes that are
// saved later lose and double nothing and mix no keys: the stored states at the
// end have exactly the acknowledged changes.
//
// Proves A14, K2, K3, K4, E7, S5.
func TestLoginsAmongUnsavedChangesLoseNothing(t *testing.T) {
	for name, open := range testkit.Stores {
		for mode, guests := range testkit.GuestModes {
			for _, byState := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/byState=%v", name, mode, byState), func(t *testing.T) {
					debounceStress(t, open(), guests, byState)
				})
			}
		}
	}
}

func debounceStress(t *testing.T, inner store.Store, guests stay.GuestMode, byState bool) {
	const workers, turns = 6, 120
	seed := testseed.New(t)
	st := storefault.Wrap(testkit.Unclosed{Store: inner}, nil)
	for n, f := range map[uint64]storefault.Fault{
		5: storefault.Delay(time.Millisecond, time.Millisecond), 7: storefault.LoseAck(nil), 11: storefault.Fail(nil), 13: storefault.Drop(nil),
	} {
		st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.Every(n), Fault: f})
	}
	app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet, Guests: guests, MaxInstances: 40})
	m := testkit.TodosModule()
	m.Debounce = 5 * time.Millisecond
	m.Adopt = func(stored, guest *testkit.Todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	o := oracle{
		mu: new(sync.Mutex), must: map[string][]string{}, may: map[string][]string{}, todos: stay.Register(app, m),
		carts: stay.Register(app, stay.Module[testkit.Cart]{
			Name: "cart", Persist: stay.PerUser, Debounce: 5 * time.Millisecond,
			Adopt: func(stored, guest *testkit.Cart) error {
				stored.Items = append(stored.Items, guest.Items...)
				return nil
			},
		}),
	}
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			s := &shopper{Browser: testkit.NewBrowser(app), t: t, id: w, oracle: o}
			s.randomness = rand.New(rand.NewPCG(seed, uint64(w)))
			for range turns {
				s.turn(byState)
			}
		})
	}
	work.Wait()
	if err := app.Close(testkit.Soon(t)); err != nil {
		t.Fatalf("close: %v", err)
	}
	for u := range 3 {
		user := fmt.Sprint("u", u)
		var has struct{ Items []string }
		key := "user/cart/" + user
		if byState {
			key = "key/todos/" + user
		}
		if value := storedJSON(t, inner, key); value != "" {
			if err := json.Unmarshal([]byte(value), &has); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Sort(has.Items); len(slices.Compact(slices.Clone(has.Items))) != len(has.Items) {
			t.Errorf("%s has an item twice: %q", user, has.Items)
		}
		for _, item := range o.must[user] {
			if i, found := slices.BinarySearch(has.Items, item); found {
				has.Items = slices.Delete(has.Items, i, i+1)
			} else {
				t.Errorf("%s has lost %s", user, item)
			}
		}
		for _, item := range has.Items {
			if !slices.Contains(o.may[user], item) {
				t.Errorf("%s has got %s from somebody else", user, item)
			}
		}
	}
}

// turn does one thing that a browser does.
func (s *shopper) turn(byState bool) {
	user := fmt.Sprint("u", s.randomness.IntN(3))
	switch n := s.randomness.IntN(20); {
	case n < 2:
		user = ""
		fallthrough
	case n < 6:
		ctx := s.Ctx()
		s.become(user, func() error {
			switch {
			case byState:
				_, err := s.todos.Update(ctx, testkit.Become(user))
				return err
			case user == "":
				return stay.SessionFrom(ctx).Logout(ctx)
			}
			return stay.SessionFrom(ctx).Login(ctx, user)
		})
	case n == 6:
		access.AppOf(s.carts.App()).Evict(false)
	default:
		s.add(func(item string) error {
			var err error
			if byState {
				_, err = s.todos.Update(s.Ctx(), testkit.AddItem(item))
			} else {
				_, err = s.carts.Update(s.Ctx(), testkit.Put(item))
			}
			return err
		})
	}
}
