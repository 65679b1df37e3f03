// Package once has the programs of docs/exactly-once.md.
package once

import (
	"context"
	"errors"
	"html/template"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Order is what a customer has ordered.
type Order struct {
	Items []string `json:"items"`
}

// Line is one item, as it is sent.
type Line struct {
	Item string `json:"item"`
}

// Module keeps an order for each customer.
var Module = stay.Module[Order]{
	Name:    "order",
	Persist: stay.PerUser,
	Actions: stay.Actions[Order]{"add": stay.WithPayload(func(_ *stay.Call, o *Order, in Line) error {
		o.Items = append(o.Items, in.Item)
		return nil
	})},
}

var page = template.Must(template.New("").Funcs(template.FuncMap{"once": web.Once}).Parse(
	`<!doctype html><form method="post" action="{{once "/add"}}"><input name="item"><button>{{len .Items}} ordered</button></form>`))

// NewHandler serves the order.
func NewHandler(app *stay.App) (*stay.State[Order], http.Handler) {
	orders := stay.Register(app, Module)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(orders, func(w http.ResponseWriter, _ *http.Request, o *Order) error {
		return page.Execute(w, o)
	}))
	mux.Handle("POST /add", web.Update(orders, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		o.Items = append(o.Items, r.FormValue("item"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	mux.Handle("/state/", web.Actions(orders))
	return orders, web.Sessions(app, nil)(mux)
}

// A Message of a queue is delivered until it is acknowledged.
type Message struct {
	ID       string // of whoever has sent it
	Customer string
	Line     Line
	Ack      func() error
}

// Consume carries out messages, each once.
func Consume(ctx context.Context, orders *stay.State[Order], m *Message) error {
	_, err := orders.At(m.Customer).Do(stay.Once(ctx, m.ID), "add", m.Line)
	if err != nil && !errors.Is(err, stay.ErrInvalid) { // which no further delivery would change
		return err // it is delivered again, also after ErrUnknown
	}
	return m.Ack()
}
