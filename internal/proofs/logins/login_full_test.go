package logins_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// An attacker who plants the cookie of a guest whose state is almost full must
// not prevent the user's login: a guest's state that does not fit beside the
// user's is not adopted, and OnError gets the failure.
//
// Proves K2, E9.
func TestFullGuestKeepsNobodyFromLoggingIn(t *testing.T) {
	var mu sync.Mutex
	var told []*stay.Error
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxState: 1000, OnError: func(_ *stay.Call, e *stay.Error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e)
	}})
	carts := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Adopt: func(stored, guest *testkit.Cart) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}})
	m := testkit.TodosModule()
	m.Adopt = func(stored, guest *testkit.Todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	list := stay.Register(app, m)
	full := strings.Repeat("x", 600)
	for _, user := range []string{"ann", "bob"} {
		testkit.Change(t, context.Background(), carts.At(user), testkit.Put("of "+user))
	}
	testkit.Must(t)(list.At("ann").Update(context.Background(), func(s *testkit.Todos) error {
		s.Items = []string{"of ann", full}
		return testkit.Become("ann")(s)
	}))
	testkit.Change(t, context.Background(), carts.At("ann"), testkit.Put(full))

	b := testkit.NewBrowser(app)
	testkit.Change(t, b.Ctx(), carts, testkit.Put(full))
	testkit.Must(t)(list.Update(b.Ctx(), testkit.AddItem(full)))
	testkit.Login(t, b, "ann")
	testkit.WantState(t, b.Ctx(), carts, `{"items":["of ann","`+full+`"]}`)
	got, err := list.Update(b.Ctx(), testkit.Become("ann"))
	if err != nil || len(got.Items) != 2 || got.Owner.ID != "ann" {
		t.Errorf("the key's login gives %v, %v", got, err)
	}
	mu.Lock()
	for i, module := range []string{"cart", "todos"} {
		if i >= len(told) || !errors.Is(told[i], stay.ErrTooLarge) || told[i].Module != module || told[i].Phase != "adopt" {
			t.Errorf("told %v", told)
		}
	}
	mu.Unlock()

	b = testkit.NewBrowser(app)
	testkit.Change(t, b.Ctx(), carts, testkit.Put(full))
	testkit.Login(t, b, "bob")
	testkit.WantState(t, b.Ctx(), carts, `{"items":["of bob","`+full+`"]}`)
}
