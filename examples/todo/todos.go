package main

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// Limits of text, in characters, and of a list.
const (
	maxUser  = 40
	maxTitle = 200
	maxItems = 500
)

// Todos are a user's list, or a guest's.
type Todos struct {
	// User is the owner of the list, "" for a guest. It is the key: all devices
	// of a user share the list, and the owner's name never comes from a client
	// or a stored list.
	User  string `json:"user" stay:"key"`
	Items []Item `json:"items"`
}

// An Item is one thing to do. Its ID stays the same while other items come and
// go, and when a guest's list becomes a user's. So a click always means the
// item that was clicked on, even on a page that shows an old list.
type Item struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Done  bool   `json:"done"`
}

// Open counts the items that are not done.
func (t *Todos) Open() int { return len(t.Items) - t.Finished() }

// Finished counts the items that are done.
func (t *Todos) Finished() (n int) {
	for _, item := range t.Items {
		if item.Done {
			n++
		}
	}
	return n
}

// item returns the item with an ID, otherwise nil.
func (t *Todos) item(id string) *Item {
	i := slices.IndexFunc(t.Items, func(item Item) bool { return item.ID == id })
	if i < 0 {
		return nil
	}
	return &t.Items[i]
}

// Module is a definition, plain data: the program and its tests each register
// it with their own Apps.
var Module = stay.Module[Todos]{
	Name:    "todos",
	Persist: stay.WithKey(func(t *Todos) string { return t.User }),
	Actions: stay.Actions[Todos]{
		"login":  stay.WithPayload(login),
		"logout": logout,
		"add":    stay.WithPayload(add),
		"clear":  clearFinished,
	},
	// The user already has a list: the guest's items go below it. A new user
	// gets the guest's list, and Adopt is not called.
	Adopt: func(stored, guest *Todos) error {
		room := max(0, maxItems-len(stored.Items)) // the guest's last items are dropped if there is no room
		stored.Items = append(stored.Items, guest.Items[:min(room, len(guest.Items))]...)
		return nil
	},
}

// Login is the name that somebody logs in with.
type Login struct {
	User string `json:"user"`
}

// Validate refuses names that are empty or too long.
func (in Login) Validate() error {
	return checkText("user", in.User, "Please say who you are.", maxUser)
}

// login gives the list to a user: what is stored for the user is loaded before
// anybody sees the result.
func login(_ *stay.Call, t *Todos, in Login) error {
	t.User = strings.TrimSpace(in.User) // there is no password, see main
	return nil
}

// logout gives the session a guest's list, which is empty. The user's list
// stays stored.
func logout(_ *stay.Call, t *Todos) error {
	t.User = ""
	return nil
}

// NewItem is the payload of the action "add".
type NewItem struct {
	Title string `json:"title"`
}

// Validate refuses titles that are empty or too long.
func (in NewItem) Validate() error {
	return checkText("title", in.Title, "Please write what there is to do.", maxTitle)
}

func add(_ *stay.Call, t *Todos, in NewItem) error {
	_, err := t.add(in)
	return err
}

// add adds an item and returns it.
func (t *Todos) add(in NewItem) (Item, error) {
	if len(t.Items) >= maxItems {
		return Item{}, stay.Invalid("title", "The list is full: finish something first.")
	}
	item := Item{ID: rand.Text(), Title: strings.TrimSpace(in.Title)}
	t.Items = append(t.Items, item)
	return item, nil
}

func clearFinished(_ *stay.Call, t *Todos) error {
	t.Items = slices.DeleteFunc(t.Items, func(item Item) bool { return item.Done })
	return nil
}

func checkText(field, text, missing string, most int) error {
	switch text = strings.TrimSpace(text); {
	case text == "":
		return stay.Invalid(field, missing)
	case utf8.RuneCountInString(text) > most:
		return stay.Invalid(field, "Please use at most "+strconv.Itoa(most)+" characters.")
	}
	return nil
}
