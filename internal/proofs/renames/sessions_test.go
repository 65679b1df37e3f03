package renames_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// cart is the cart of testkit.UserModules under a name of its own.
func cart(app *stay.App, name string, formerly ...string) *stay.State[testkit.Cart] {
	return stay.Register(app, stay.Module[testkit.Cart]{
		Name: name, Formerly: formerly, Persist: stay.PerUser,
		Adopt: func(stored, guest *testkit.Cart) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
}

// What a guest did before the rename comes along with a login after it, into
// what the user has from before.
//
// Proves M6, K2, K3, S4.
func TestLoginAdoptsAGuestOfBeforeTheRename(t *testing.T) {
	for what, user := range map[string]string{"with a state": "ann", "without": "bob"} {
		t.Run(what, func(t *testing.T) {
			s, opts := memstore.New(), &stay.Options{Guests: stay.GuestStored, OnError: testkit.Loud(t)}
			app := open(t, s, opts)
			b, other := testkit.NewBrowser(app), testkit.NewBrowser(app)
			carts := cart(app, "cart")
			testkit.Change(t, t.Context(), carts.At("ann"), testkit.Put("pear"))
			testkit.Change(t, b.Ctx(), carts, testkit.Put("fig"))
			testkit.Change(t, other.Ctx(), carts, testkit.Put("plum"))
			shut(t, app)

			app = open(t, s, opts)
			b, other = b.On(app), other.On(app)
			baskets := cart(app, "basket", "cart")
			testkit.Login(t, b, user)
			want := map[string]string{"ann": `{"items":["pear","fig"]}`, "bob": `{"items":["fig"]}`}[user]
			testkit.WantState(t, b.Ctx(), baskets, want)
			testkit.Logout(t, b)
			testkit.WantState(t, b.Ctx(), baskets, `{"items":null}`)
			testkit.Login(t, b, user) // nothing comes along a second time
			testkit.WantState(t, b.Ctx(), baskets, want)
			left := states(t, s)
			if !slices.Contains(left, "user/basket/"+user) || slices.Contains(left, "user/cart/"+user) {
				t.Errorf("the store has %q", left)
			}
			testkit.WantState(t, other.Ctx(), baskets, `{"items":["plum"]}`)
			testkit.WantState(t, t.Context(), baskets.At("ann"), map[string]string{"ann": want, "bob": `{"items":["pear"]}`}[user])
			shut(t, app)
		})
	}
}

// A guest's state that a login of another program has left for the module, by
// its former name or by both, is taken along once.
//
// Proves M6, K2, S5.
func TestAGuestThatWaitsUnderTheFormerNameIsTakenAlong(t *testing.T) {
	all := memstore.Shared(4)
	opts := &stay.Options{Guests: stay.GuestStored, OnError: testkit.Loud(t)}
	before, jobs := testkit.NewApp(t, all[0], opts), testkit.NewApp(t, all[1], opts)
	carts := cart(before, "cart")
	b := testkit.NewBrowser(before)
	testkit.Change(t, b.Ctx(), carts, testkit.Put("fig"))
	testkit.Change(t, t.Context(), carts.At("ann"), testkit.Put("pear"))
	b = b.On(jobs)
	testkit.Login(t, b, "ann")
	after := testkit.NewApp(t, all[2], opts)
	baskets := cart(after, "basket", "cart")
	testkit.Change(t, t.Context(), baskets.At("bob"), testkit.Put("kiwi")) // both names are listed from now on
	testkit.WantState(t, b.On(after).Ctx(), baskets, `{"items":["pear","fig"]}`)
	testkit.WantState(t, b.On(after).Ctx(), baskets, `{"items":["pear","fig"]}`)

	c := testkit.NewBrowser(before)
	testkit.Change(t, c.Ctx(), carts, testkit.Put("plum"))
	c = c.On(jobs)
	testkit.Login(t, c, "cyd") // waits under both names
	testkit.WantState(t, c.On(after).Ctx(), baskets, `{"items":["plum"]}`)
	if got := states(t, all[3]); !slices.Equal(got, []string{"user/basket/ann", "user/basket/bob", "user/basket/cyd"}) {
		t.Errorf("the store has %q", got)
	}
}

// Delete and Destroy remove a state under every name.
//
// Proves M6, S5.
func TestDeletedStatesAreGoneUnderAllNames(t *testing.T) {
	for _, names := range [][]string{{"old"}, {"new"}, {"old", "new"}, {"older", "old"}, {"older", "new"}, {"older", "old", "new"}} {
		t.Run(strings.Join(names, "+"), func(t *testing.T) {
			for _, opened := range testkit.Stores {
				s := opened()
				app := open(t, s, &stay.Options{OnError: testkit.Quiet})
				m := renamed(stay.PerSession)
				m.Formerly = []string{"older", "old"}
				own := stay.Register(app, m)
				u := m
				u.Name, u.Formerly, u.Persist = "u-new", []string{"u-older", "u-old"}, stay.PerUser
				users := stay.Register(app, u)
				b := testkit.NewBrowser(app)
				other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession})
				testkit.MustUpdate(t, b.Ctx(), other)
				for _, name := range names {
					put(t, s, "session/"+name+"/"+stay.SessionFrom(b.Ctx()).ID(), `{"count":3}`)
					put(t, s, "user/u-"+name+"/ann", `{"count":3}`)
				}
				testkit.WantCount(t, b.Ctx(), own, 3)
				testkit.NoError(t, users.At("ann").Delete(t.Context()))
				if _, err := users.At("ann").Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
					t.Errorf("after Delete there is still something: %v", err)
				}
				ctx := b.Ctx()
				testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
				if got := states(t, s); len(got) != 0 {
					t.Errorf("left: %q", got)
				}
				shut(t, app)
			}
		})
	}
}

// What Debounce keeps back is stored under the present name when it is saved.
//
// Proves M6, A14.
func TestADebouncedChangeMovesTheStateWhenItIsSaved(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		put(t, s, "global/old/", `{"count":5}`)
		app := open(t, s, &stay.Options{OnError: testkit.Loud(t)})
		m := renamed(stay.Global)
		m.Debounce = testkit.Debounce
		own := stay.Register(app, m)
		testkit.MustUpdate(t, t.Context(), own)
		testkit.WantCount(t, t.Context(), own, 6)
		if got := states(t, s); !slices.Equal(got, []string{"global/old/"}) {
			t.Errorf("before the save the store has %q", got)
		}
		testkit.Sleep(2 * testkit.Debounce)
		testkit.MustUpdate(t, t.Context(), own)
		testkit.NoError(t, app.Close(context.Background()))
		if c, _ := testkit.StoredCounter(t, s, "new"); c.Count != 7 || len(states(t, s)) != 1 {
			t.Errorf("stored is %+v in %q", c, states(t, s))
		}
	})
}
