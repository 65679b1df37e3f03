package testkit

import (
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// Todos is the state of the tests of keys.
type Todos struct {
	Owner Owner    `json:"owner" stay:"key"`
	Items []string `json:"items"`
	Theme string   `json:"theme"`
}

// Owner is the owner of a Todos.
type Owner struct {
	ID   string `json:"id"`
	Role string `json:"role"`
}

// ByOwner is the key of a Todos.
func ByOwner(t *Todos) string { return t.Owner.ID }

// AddItem is a change that adds an item.
func AddItem(item string) func(*Todos) error {
	return func(t *Todos) error {
		t.Items = append(t.Items, item)
		return nil
	}
}

// Become is a change of the owner, as a login is, or with "" a logout.
func Become(id string) func(*Todos) error {
	return func(t *Todos) error {
		t.Owner = Owner{}
		if id != "" {
			t.Owner = Owner{ID: id, Role: "r-" + id}
		}
		return nil
	}
}

// TodosModule is a module of WithKey.
func TodosModule() stay.Module[Todos] {
	return stay.Module[Todos]{Name: "todos", Initial: Todos{Theme: "light"}, Persist: stay.WithKey(ByOwner)}
}

// KeyStores are the stores on which tests check the key rules.
var KeyStores = map[string]func() store.Store{
	"memstore":  func() store.Store { return memstore.New() },
	"committer": func() store.Store { return BehindCommitter(memstore.New()) },
	"simple":    func() store.Store { return store.FromSimple(NewSimple()) },
}

// GuestModes are the ways in which guests are kept.
var GuestModes = map[string]stay.GuestMode{"memory": stay.GuestMemory, "stored": stay.GuestStored}

// OnKeyStores runs the test on each store and with each way to keep guests.
func OnKeyStores(t *testing.T, test func(t *testing.T, app *stay.App)) {
	for name, open := range KeyStores {
		for mode, guests := range GuestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				test(t, NewApp(t, open(), &stay.Options{Guests: guests}))
			})
		}
	}
}

// GuestState is the initial Todos as JSON.
const GuestState = `{"owner":{"id":"","role":""},"items":null,"theme":"light"}`

// Must takes the results of a change, which must have succeeded.
func Must(t *testing.T) func(v *Todos, err error) *Todos {
	return func(v *Todos, err error) *Todos {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
