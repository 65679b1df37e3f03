package keys_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
)

// A key that follows from the state and from the session's user ends with the
// user: no user reads the state of another user's key.
//
// Proves K3, K4.
func TestKeyOfStateAndUserGoesWithTheUser(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Todos]{
			Name: "workspace",
			Persist: stay.ResolveKey(func(c *stay.Call, s *testkit.Todos) string {
				if c.Session().User() == "" || s.Owner.ID == "" {
					return ""
				}
				return c.Session().User() + "/" + s.Owner.ID
			}),
		})
		b := testkit.NewBrowser(app)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of the guest")))
		testkit.Login(t, b, "ann")
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("work")))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("secret")))
		const ofAnn = `{"owner":{"id":"work","role":"r-work"},"items":["of the guest","secret"],"theme":""}`
		const nothing = `{"owner":{"id":"","role":""},"items":null,"theme":""}`
		testkit.WantState(t, b.Ctx(), s, ofAnn)
		testkit.Logout(t, b)
		testkit.WantState(t, b.Ctx(), s, nothing)
		testkit.Login(t, b, "ann")
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("work")))
		testkit.WantState(t, b.Ctx(), s, ofAnn)
		testkit.Login(t, b, "bob")
		testkit.WantState(t, b.Ctx(), s, nothing)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("work")))
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("of bob")))
		testkit.WantState(t, t.Context(), s.At("ann/work"), ofAnn)
	})
}

// deskKey has a key for members of the staff alone.
func deskKey(c *stay.Call, _ *testkit.Cart) string {
	user, ok := strings.CutPrefix(c.Session().User(), "staff:")
	if !ok {
		return ""
	}
	return user
}

// The work of a guest goes on as the guest state of a user without a key, and
// stops there: it is the user's from then on, and nobody else's.
//
// Proves K1, K3, K4.
func TestLoginThatGivesNoKeyKeepsTheGuest(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Cart]{Name: "desk", Persist: stay.ResolveKey(deskKey)})
		b := testkit.NewBrowser(app)
		testkit.Change(t, b.Ctx(), s, testkit.Put("a"))
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), s, `{"items":["a"]}`)
		testkit.Change(t, b.Ctx(), s, testkit.Put("b"))
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), s, `{"items":["a","b"]}`)
		testkit.Login(t, b, "bob")
		testkit.WantState(t, b.Ctx(), s, `{"items":null}`)
		testkit.Logout(t, b)
		testkit.Login(t, b, "ann")
		testkit.WantState(t, b.Ctx(), s, `{"items":null}`)
		testkit.Change(t, b.Ctx(), s, testkit.Put("c"))
		testkit.Login(t, b, "staff:eve")
		testkit.WantState(t, b.Ctx(), s, `{"items":null}`)
		testkit.Logout(t, b)
		testkit.WantState(t, b.Ctx(), s, `{"items":null}`)
		testkit.Change(t, b.Ctx(), s, testkit.Put("d"))
		testkit.Login(t, b, "staff:eve")
		testkit.WantState(t, b.Ctx(), s, `{"items":["d"]}`)
	})
}
