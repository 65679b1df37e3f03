package main

import (
	"embed"
	"errors"
	"net/http"

	"github.com/a-h/templ"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var assets embed.FS

// policy lets the pages use what this server serves, and nothing else: a page
// may not contain scripts or styles.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// newHandler registers the module with app and returns the whole site. Every
// step has its own address. A valid form is answered with a redirect to the
// next step, an invalid one with the form itself. htmx handles both as a
// browser does, so no handler asks whether htmx sent the request.
func newHandler(app *stay.App) http.Handler {
	order := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))

	mux.Handle("GET /{$}", web.View(order, next))
	mux.Handle("GET /tea", web.View(order, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		if o.Number != "" {
			return next(w, r, o)
		}
		tea := Tea{Tins: 1}
		if o.Tea != nil {
			tea = *o.Tea
		}
		return render(w, r, teaPage(o, web.NewForm(tea)))
	}))
	mux.Handle("GET /delivery", web.View(order, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		if o.Number != "" || o.Tea == nil {
			return next(w, r, o)
		}
		var delivery Delivery
		if o.Delivery != nil {
			delivery = *o.Delivery
		}
		return render(w, r, deliveryPage(o, web.NewForm(delivery)))
	}))
	mux.Handle("GET /check", web.View(order, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		if o.Next() != "/check" {
			return next(w, r, o)
		}
		return render(w, r, checkPage(o))
	}))
	mux.Handle("GET /placed", web.View(order, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		if o.Number == "" {
			return next(w, r, o)
		}
		return render(w, r, placedPage(o))
	}))

	mux.Handle("POST /tea", step(order, "tea", teaPage))
	mux.Handle("POST /delivery", step(order, "delivery", deliveryPage))
	mux.Handle("POST /place", web.Do(order, "place", next))
	mux.Handle("POST /again", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		o, err := order.Reset(r.Context())
		if err != nil {
			return err
		}
		return next(w, r, o)
	}))

	// The price of the tea in the form, for htmx: a component can be a part of
	// a page or a whole answer.
	mux.Handle("POST /price", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Tea](r)
		if err != nil && !errors.Is(err, stay.ErrInvalid) {
			return err
		}
		return render(w, r, price(form))
	}))

	return secure(web.Sessions(app, &web.Options{Cookie: "order"})(mux))
}

// step returns the handler of a form: it runs the action and goes on to the next
// step, or shows the form again.
func step[T any](order *stay.State[Order], action string, page func(*Order, *web.Form[T]) templ.Component) http.Handler {
	return web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[T](r)
		var o *Order
		if err == nil {
			o, err = order.Do(r.Context(), action, form)
		}
		if err != nil {
			return form.Again(err, func(w http.ResponseWriter) error { // with status 422
				o, err := order.Get(r.Context())
				if err != nil {
					return err
				}
				return render(w, r, page(o, form))
			})
		}
		return next(w, r, o)
	})
}

// next sends the browser to the next step.
func next(w http.ResponseWriter, r *http.Request, o *Order) error {
	http.Redirect(w, r, o.Next(), http.StatusSeeOther)
	return nil
}

// render answers with a component.
func render(w http.ResponseWriter, r *http.Request, c templ.Component) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return c.Render(r.Context(), w)
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
