// Package forms holds the programs of docs/forms-and-errors.md.
package forms

import (
	"errors"
	"html/template"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Order is what a visitor wants to order.
type Order struct {
	Tea     string  `json:"tea"`
	Tins    int     `json:"tins"`
	Gift    bool    `json:"gift"`
	Address Address `json:"address"`
}

// Address is where an order goes.
type Address struct {
	Street string `json:"street"`
	City   string `json:"city"`
}

// Validate says what is wrong with each field.
func (o Order) Validate() error {
	var errs []error
	if o.Tins < 1 || o.Tins > 20 {
		errs = append(errs, stay.Invalid("tins", "1 to 20 tins, please"))
	}
	if o.Address.City == "" {
		errs = append(errs, stay.Invalid("address.city", "where does it go?"))
	}
	return errors.Join(errs...)
}

// Module is one order for each visitor.
var Module = stay.Module[Order]{
	Name:    "order",
	Initial: Order{Tea: "Assam", Tins: 1},
	Persist: stay.PerSession,
	Actions: stay.Actions[Order]{
		"change": stay.WithPayload(func(_ *stay.Call, o *Order, in Order) error {
			*o = in
			return nil
		}),
	},
}

var form = template.Must(template.New("").Parse(`<form method="post" action="/order" hx-post="/order" hx-swap="outerHTML">
<input name="tea" value="{{.Order.Tea}}">
<input name="tins" value="{{.Order.Tins}}"> {{.Wrong.tins}}
<input name="gift" type="checkbox" {{if .Order.Gift}}checked{{end}}>
<input name="address.street" value="{{.Order.Address.Street}}">
<input name="address.city" value="{{.Order.Address.City}}"> {{index .Wrong "address.city"}}
<button>Change</button>
</form>
`))

type view struct {
	Order *Order
	Wrong map[string]string // by field
}

// NewHandler serves the form, and the module as JSON.
func NewHandler(app *stay.App) http.Handler {
	order := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(order, func(w http.ResponseWriter, _ *http.Request, o *Order) error {
		return form.Execute(w, view{Order: o})
	}))
	mux.Handle("POST /order", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		var in Order
		err := web.Bind(r, &in)
		if errors.Is(err, stay.ErrInvalid) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return form.Execute(w, view{&in, stay.FieldErrors(err)}) // what was entered, and why not
		}
		if err != nil {
			return err
		}
		o, err := order.Do(r.Context(), "change", in)
		if err != nil {
			return err
		}
		return form.Execute(w, view{Order: o})
	}))
	mux.Handle("/state/", web.Actions(order)) // for scripts: GET /state/order, POST /state/order/change
	return web.Sessions(app, &web.Options{Error: showError})(mux)
}

var page = template.Must(template.New("").Parse("<!doctype html><title>{{.}}</title><h1>{{.}}</h1><p><a href=\"/\">Back</a></p>\n"))

// showError writes errors as pages of the site. What err says is in the log.
func showError(w http.ResponseWriter, _ *http.Request, status int, _ error) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, http.StatusText(status)) // w is buffered
}
