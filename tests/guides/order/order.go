// Package order holds the program of docs/an-order.md.
package order

import (
	"context"
	"crypto/rand"
	"html/template"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Account is what a customer has in the shop.
type Account struct {
	Basket []string `json:"basket"`
	Orders []Order  `json:"orders"`
}

// Order is what a customer has ordered.
type Order struct {
	ID    string   `json:"id"`
	Items []string `json:"items"`
	Sent  bool     `json:"sent"` // to the warehouse
}

// Place is the payload of the action "place".
type Place struct {
	ID string `json:"id"` // made with the page that has the button
}

// Validate refuses a form without an ID.
func (p Place) Validate() error {
	if len(p.ID) < 16 || len(p.ID) > 64 {
		return stay.Invalid("id", "load the page again")
	}
	return nil
}

// Warehouse takes orders. An order that comes again, with the same ID, is one
// order.
type Warehouse interface {
	Take(ctx context.Context, customer string, o Order) error
}

// Shop takes orders.
type Shop struct {
	account   *stay.State[Account]
	warehouse Warehouse
}

// NewShop registers the shop's module.
func NewShop(app *stay.App, w Warehouse) *Shop {
	s := &Shop{warehouse: w}
	s.account = stay.Register(app, stay.Module[Account]{
		Name:    "account",
		Persist: stay.PerUser,
		Actions: stay.Actions[Account]{"place": stay.WithPayload(s.place)},
	})
	return s
}

// Account is the state that the shop keeps.
func (s *Shop) Account() *stay.State[Account] { return s.account }

// place makes an order of the basket.
func (s *Shop) place(c *stay.Call, a *Account, in Place) error {
	for _, o := range a.Orders {
		if o.ID == in.ID {
			return nil // the same click again
		}
	}
	if len(a.Basket) == 0 {
		return stay.Invalid("basket", "the basket is empty")
	}
	customer := c.Session().User()
	if customer == "" {
		return stay.ErrDenied
	}
	a.Orders = append(a.Orders, Order{ID: in.ID, Items: a.Basket})
	a.Basket = nil
	c.After(func(ctx context.Context) { _ = s.Send(ctx, customer) }) // what fails is sent by SendAll
	return nil
}

// Send sends a customer's orders that the warehouse does not have yet.
func (s *Shop) Send(ctx context.Context, customer string) error {
	account := s.account.At(customer)
	a, err := account.Get(ctx)
	if err != nil {
		return err
	}
	for _, o := range a.Orders {
		if o.Sent {
			continue
		}
		if err := s.warehouse.Take(ctx, customer, o); err != nil {
			return err
		}
		_, err := account.Update(ctx, func(a *Account) error {
			for i := range a.Orders {
				a.Orders[i].Sent = a.Orders[i].Sent || a.Orders[i].ID == o.ID
			}
			return nil
		})
		if err != nil {
			return err // it is sent again: the warehouse knows the ID
		}
	}
	return nil
}

// SendAll sends what a crash or an error has left. Call it at the start, and now
// and then.
func (s *Shop) SendAll(ctx context.Context) error {
	for customer, err := range s.account.Keys(ctx) {
		if err != nil {
			return err
		}
		if err := s.Send(ctx, customer); err != nil {
			return err
		}
	}
	return nil
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<ul>{{range .Account.Basket}}<li>{{.}}{{end}}</ul>
<form method="post" action="/order">
  <input type="hidden" name="id" value="{{.NewID}}">
  <button>Order</button>
</form>
<p>{{len .Account.Orders}} orders</p>
`))

type view struct {
	Account *Account
	NewID   string
}

// Handler serves the shop's page. It stands behind web.Sessions.
func (s *Shop) Handler() http.Handler {
	show := func(w http.ResponseWriter, _ *http.Request, a *Account) error {
		return page.Execute(w, view{a, rand.Text()})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(s.account, show))
	mux.Handle("POST /order", web.Do(s.account, "place", show))
	return mux
}
