package stay_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// Whoever plants the cookie of a guest whose state is almost full must not keep
// its user from logging in: what does not fit beside the user's state stays
// behind, and OnError is told.
//
// Proves K2, E9.
func TestFullGuestKeepsNobodyFromLoggingIn(t *testing.T) {
	var mu sync.Mutex
	var told []*stay.Error
	app := newApp(t, memstore.New(), &stay.Options{MaxState: 1000, OnError: func(_ *stay.Call, e *stay.Error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e)
	}})
	carts := stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerUser, Adopt: func(stored, guest *cart) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}})
	m := todosModule()
	m.Adopt = func(stored, guest *todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	list := stay.Register(app, m)
	full := strings.Repeat("x", 600)
	for _, user := range []string{"ann", "bob"} {
		change(t, context.Background(), carts.At(user), put("of "+user))
	}
	must(t)(list.At("ann").Update(context.Background(), func(s *todos) error {
		s.Items = []string{"of ann", full}
		return become("ann")(s)
	}))
	change(t, context.Background(), carts.At("ann"), put(full))

	b := newBrowser(app)
	change(t, b.ctx(), carts, put(full))
	must(t)(list.Update(b.ctx(), addItem(full)))
	login(t, b, "ann")
	wantState(t, b.ctx(), carts, `{"items":["of ann","`+full+`"]}`)
	got, err := list.Update(b.ctx(), become("ann"))
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

	b = newBrowser(app)
	change(t, b.ctx(), carts, put(full))
	login(t, b, "bob")
	wantState(t, b.ctx(), carts, `{"items":["of bob","`+full+`"]}`)
}
