// Package readme holds the program texts of README.md, and a few of the guides,
// that are not an example of their own.
package readme

import (
	"fmt"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Cart is what a user, or a guest, is about to buy.
type Cart struct {
	Items []string `json:"items"`
}

// NewShop serves a cart and a login.
func NewShop(app *stay.App) http.Handler {
	mux := http.NewServeMux()

	cart := stay.Register(app, stay.Module[Cart]{
		Name:    "cart",
		Persist: stay.PerUser, // a guest's until Login, then the user's on all devices
		Adopt: func(stored, guest *Cart) error { // where both have one; by default the stored one stays
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})

	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		user := r.FormValue("user") // check the password here
		if err := stay.SessionFrom(r.Context()).Login(r.Context(), user); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))

	show := func(w http.ResponseWriter, _ *http.Request, c *Cart) error {
		_, err := fmt.Fprint(w, c.Items)
		return err
	}
	mux.Handle("GET /{$}", web.View(cart, show))
	mux.Handle("POST /items", web.Update(cart, func(w http.ResponseWriter, r *http.Request, c *Cart) error {
		c.Items = append(c.Items, r.FormValue("item"))
		return show(w, r, c)
	}))
	return web.Sessions(app, nil)(mux)
}

// A Table is a game table that players join.
type Table struct {
	Code  string   `json:"code" stay:"key"` // set by your code: no request can bind it
	Moves []string `json:"moves"`
}

// Join is the payload of the action "join".
type Join struct {
	Code string `json:"code"`
}

// Tables are kept by their code.
var Tables = stay.Module[Table]{
	Name:    "table",
	Persist: stay.WithKey(func(t *Table) string { return t.Code }), // "" = at no table
	Actions: stay.Actions[Table]{
		"join": stay.WithPayload(func(_ *stay.Call, t *Table, in Join) error {
			t.Code = in.Code // the moves made there are loaded before Do returns
			return nil
		}),
	},
}
