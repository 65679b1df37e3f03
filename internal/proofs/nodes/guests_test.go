package nodes_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
)

// A guest has one state, at whatever node, and the login makes it the user's
// once. What the user does then, every node shows, and the next guest sees
// nothing of it.
//
// Proves N1, K2, K3.
func TestGuestsAreTheSameAtEveryNode(t *testing.T) {
	stores := memstore.Shared(3)
	var apps []*stay.App
	var carts []*stay.State[testkit.Cart]
	for _, s := range stores {
		app := testkit.NewApp(t, s, &stay.Options{Guests: stay.GuestStored})
		_, cart := testkit.UserModules(app)
		apps, carts = append(apps, app), append(carts, cart)
	}
	b := testkit.NewBrowser(apps[0])
	for i, item := range []string{"pear", "plum", "fig"} {
		b = b.On(apps[i])
		testkit.Change(t, b.Ctx(), carts[i], testkit.Put(item))
	}
	for i, app := range apps {
		b = b.On(app)
		testkit.WantState(t, b.Ctx(), carts[i], `{"items":["pear","plum","fig"]}`)
	}
	b = b.On(apps[1])
	testkit.Login(t, b, "ann")
	b = b.On(apps[2])
	testkit.Change(t, b.Ctx(), carts[2], testkit.Put("quince"))
	for i, app := range apps {
		b = b.On(app)
		testkit.WantState(t, b.Ctx(), carts[i], `{"items":["pear","plum","fig","quince"]}`)
	}
	b = b.On(apps[0])
	testkit.Logout(t, b)
	for i, app := range apps {
		b = b.On(app)
		testkit.WantState(t, b.Ctx(), carts[i], `{"items":null}`)
		testkit.WantState(t, t.Context(), carts[i].At("ann"), `{"items":["pear","plum","fig","quince"]}`)
	}
	for _, key := range testkit.AllRows(t, stores[0]) {
		if strings.HasPrefix(key, "guest/") {
			t.Errorf("left: %q", key)
		}
	}
}
