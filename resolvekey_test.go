package stay_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay"
)

// K3, K4: a key that follows from the state and from the session's user goes
// with the user: nobody reads what another user's key holds.
func TestK3K4KeyOfStateAndUser(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[todos]{
			Name: "workspace",
			Persist: stay.ResolveKey(func(c *stay.Call, s *todos) string {
				if c.Session().User() == "" || s.Owner.ID == "" {
					return ""
				}
				return c.Session().User() + "/" + s.Owner.ID
			}),
		})
		b := newBrowser(app)
		must(t)(s.Update(b.ctx(), addItem("of the guest")))
		login(t, b, "ann")
		must(t)(s.Update(b.ctx(), become("work")))
		must(t)(s.Update(b.ctx(), addItem("secret")))
		const ofAnn = `{"owner":{"id":"work","role":"r-work"},"items":["of the guest","secret"],"theme":""}`
		const nothing = `{"owner":{"id":"","role":""},"items":null,"theme":""}`
		wantState(t, b.ctx(), s, ofAnn)
		logout(t, b)
		wantState(t, b.ctx(), s, nothing)
		login(t, b, "ann")
		must(t)(s.Update(b.ctx(), become("work")))
		wantState(t, b.ctx(), s, ofAnn)
		login(t, b, "bob")
		wantState(t, b.ctx(), s, nothing)
		must(t)(s.Update(b.ctx(), become("work")))
		must(t)(s.Update(b.ctx(), addItem("of bob")))
		wantState(t, t.Context(), s.At("ann/work"), ofAnn)
	})
}

// deskKey has a key for members of the staff alone.
func deskKey(c *stay.Call, _ *cart) string {
	user, ok := strings.CutPrefix(c.Session().User(), "staff:")
	if !ok {
		return ""
	}
	return user
}

// What nobody did goes on as the guest state of a user without a key, and
// stops there: it is the user's from then on, and nobody else's.
//
// Proves K1, K3, K4.
func TestLoginThatGivesNoKeyKeepsTheGuest(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[cart]{Name: "desk", Persist: stay.ResolveKey(deskKey)})
		b := newBrowser(app)
		change(t, b.ctx(), s, put("a"))
		login(t, b, "ann")
		wantState(t, b.ctx(), s, `{"items":["a"]}`)
		change(t, b.ctx(), s, put("b"))
		login(t, b, "ann")
		wantState(t, b.ctx(), s, `{"items":["a","b"]}`)
		login(t, b, "bob")
		wantState(t, b.ctx(), s, `{"items":null}`)
		logout(t, b)
		login(t, b, "ann")
		wantState(t, b.ctx(), s, `{"items":null}`)
		change(t, b.ctx(), s, put("c"))
		login(t, b, "staff:eve")
		wantState(t, b.ctx(), s, `{"items":null}`)
		logout(t, b)
		wantState(t, b.ctx(), s, `{"items":null}`)
		change(t, b.ctx(), s, put("d"))
		login(t, b, "staff:eve")
		wantState(t, b.ctx(), s, `{"items":["d"]}`)
	})
}
