package testkit

import (
	"testing"

	"github.com/stay-go/stay"
)

// Profile is the state of a module that a login replaces.
type Profile struct {
	Name string `json:"name"`
}

// Cart is the state of a module that a login merges.
type Cart struct {
	Items []string `json:"items"`
}

// UserModules are the two modules of most tests of logins.
func UserModules(app *stay.App) (*stay.State[Profile], *stay.State[Cart]) {
	p := stay.Register(app, stay.Module[Profile]{Name: "profile", Initial: Profile{"guest"}, Persist: stay.PerUser})
	c := stay.Register(app, stay.Module[Cart]{
		Name: "cart", Persist: stay.PerUser,
		Adopt: func(stored, guest *Cart) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
	return p, c
}

// Login logs the browser's session in.
func Login(t *testing.T, b *Browser, user string) {
	t.Helper()
	ctx := b.Ctx()
	if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
		t.Fatalf("login: %v", err)
	}
}

// Logout logs the browser's session out.
func Logout(t *testing.T, b *Browser) {
	t.Helper()
	ctx := b.Ctx()
	if err := stay.SessionFrom(ctx).Logout(ctx); err != nil {
		t.Fatalf("logout: %v", err)
	}
}

// Name is a change of the name.
func Name(n string) func(*Profile) error {
	return func(p *Profile) error { p.Name = n; return nil }
}

// Put is a change that puts an item into the cart.
func Put(item string) func(*Cart) error {
	return func(c *Cart) error { c.Items = append(c.Items, item); return nil }
}

// LoginAnew logs a browser in whose cookie is over. It begins another session in
// place of the one with this ID.
func LoginAnew(t *testing.T, b *Browser, user, id string) {
	t.Helper()
	Login(t, b, user)
	s := stay.SessionFrom(b.Ctx())
	if got := s.User(); got != user {
		t.Errorf("the session belongs to %q after a login of %q", got, user)
	}
	if s.ID() == id {
		t.Error("a login has brought a session back that is over for its cookie")
	}
}
