package order_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/order"
)

// A warehouse takes each order once, and fails while it is closed.
type warehouse struct {
	closed bool
	calls  int
	orders map[string]order.Order
}

func (w *warehouse) Take(_ context.Context, _ string, o order.Order) error {
	w.calls++
	if w.closed {
		return errors.New("closed")
	}
	w.orders[o.ID] = o
	return nil
}

// The order of docs/an-order.md is placed once for two clicks, and reaches the
// warehouse also if that was closed when it was placed.
//
// Proves B6.
func TestGuideOfAnOrder(t *testing.T) {
	app := staytest.App(t, nil)
	w := &warehouse{closed: true, orders: map[string]order.Order{}}
	shop := order.NewShop(app, w)
	account := shop.Account()
	ann := staytest.Session(t, app)
	if err := stay.SessionFrom(ann).Login(ann, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := account.Update(ann, func(a *order.Account) error { a.Basket = []string{"tea"}; return nil }); err != nil {
		t.Fatal(err)
	}
	in := order.Place{ID: "0123456789abcdef"}
	for range 2 {
		if _, err := account.Do(ann, "place", in); err != nil {
			t.Fatal(err)
		}
	}
	staytest.Want(t, ann, account, order.Account{Orders: []order.Order{{ID: in.ID, Items: []string{"tea"}}}})
	if w.calls == 0 {
		t.Error("nothing was sent after the order")
	}

	w.closed = false
	for range 2 {
		if err := shop.SendAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	staytest.Want(t, ann, account, order.Account{Orders: []order.Order{{ID: in.ID, Items: []string{"tea"}, Sent: true}}})
	if len(w.orders) != 1 {
		t.Errorf("the warehouse has %v", w.orders)
	}
	if _, err := account.Do(ann, "place", order.Place{ID: "another-id-of-16"}); !errors.Is(err, stay.ErrInvalid) {
		t.Errorf("an order of an empty basket: %v", err)
	}
}
