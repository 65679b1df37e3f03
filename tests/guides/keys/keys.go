// Package keys holds the programs of docs/scopes-and-keys.md.
package keys

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// List is a list of things to do. It belongs to its owner.
type List struct {
	Owner Owner    `json:"owner" stay:"key"` // set by login and logout alone
	Items []string `json:"items"`
}

// Owner is who is logged in, and what they may do.
type Owner struct {
	ID    string `json:"id"`
	Admin bool   `json:"admin"`
}

// Lists are kept under the ID of their owner; "" is a guest.
var Lists = stay.Module[List]{
	Name:    "list",
	Persist: stay.WithKey(func(l *List) string { return l.Owner.ID }),
}

// MergedLists keep what a guest wrote.
var MergedLists = stay.Module[List]{
	Name:    "list",
	Persist: Lists.Persist,
	Adopt: func(stored, guest *List) error {
		for _, item := range guest.Items {
			if !slices.Contains(stored.Items, item) {
				stored.Items = append(stored.Items, item)
			}
		}
		return nil
	},
}

// Accounts know who may log in.
type Accounts interface {
	// Check fails with stay.ErrDenied if the password is wrong.
	Check(ctx context.Context, name, password string) (Owner, error)
}

// NewHandler serves the list of whoever is logged in.
func NewHandler(app *stay.App, accounts Accounts) http.Handler {
	list := stay.Register(app, MergedLists)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(list, show))
	mux.Handle("POST /items", web.Update(list, func(w http.ResponseWriter, r *http.Request, l *List) error {
		l.Items = append(l.Items, r.FormValue("item"))
		return show(w, r, l)
	}))
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		owner, err := accounts.Check(r.Context(), r.FormValue("name"), r.FormValue("password"))
		if err != nil {
			return err
		}
		l, err := list.Update(r.Context(), func(l *List) error {
			l.Owner = owner
			return nil
		})
		if err != nil {
			return err
		}
		return show(w, r, l) // the owner's list, as it is stored
	}))
	mux.Handle("POST /logout", web.Update(list, func(w http.ResponseWriter, r *http.Request, l *List) error {
		l.Owner = Owner{}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	return web.Sessions(app, nil)(mux)
}

func show(w http.ResponseWriter, _ *http.Request, l *List) error {
	_, err := fmt.Fprintf(w, "%s: %s", l.Owner.ID, strings.Join(l.Items, ", "))
	return err
}

// Board is shared by a team.
type Board struct {
	Notes []string `json:"notes"`
}

// Boards belong to a team. Users are named by team and number: acme/17.
var Boards = stay.Module[Board]{
	Name: "board",
	Persist: stay.ResolveKey(func(c *stay.Call, _ *Board) string {
		team, _, ok := strings.Cut(c.Session().User(), "/")
		if !ok {
			return "" // a guest, who has a board of their own
		}
		return team
	}),
}

// Room is where a visitor talks: in the lobby, or in a room by its name.
type Room struct {
	Name  string   `json:"name" stay:"key"`
	Lines []string `json:"lines"`
}

// Rooms begin with the lobby, which everybody shares: there are no guests.
var Rooms = stay.Module[Room]{
	Name:    "room",
	Initial: Room{Name: "lobby"},
	Persist: stay.ResolveKey(func(_ *stay.Call, r *Room) string { return r.Name }),
}

// Remind adds an item to the list of a user, who may not have a list yet.
func Remind(ctx context.Context, lists *stay.State[List], user, item string) error {
	_, err := lists.At(user).Update(ctx, func(l *List) error {
		l.Owner.ID = user // for a new list; an existing one has it already
		l.Items = append(l.Items, item)
		return nil
	})
	return err
}

// RemindAll adds an item to every stored list.
func RemindAll(ctx context.Context, lists *stay.State[List], item string) error {
	for user, err := range lists.Keys(ctx) {
		if err != nil {
			return err
		}
		if err := Remind(ctx, lists, user, item); err != nil {
			return err
		}
	}
	return nil
}
