package forms

import (
	"html/template"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// orderPage is what the template of a whole page gets.
type orderPage struct {
	Form      *web.Form[Order]
	PageField template.HTML // says to whose login the page belongs
	Flash     string        // of the change before
	User      string        // "" for a guest
}

var orderHTML = template.Must(template.New("").Parse(`<!doctype html><title>Your order</title>
<p>{{with .User}}{{.}}'s order{{else}}Your order{{end}}</p>
{{with .Flash}}<p role="status">{{.}}</p>{{end}}
<form method="post" action="/page">
{{.PageField}}
{{with .Form}}
{{range $name, $message := .Errors}}<p role="alert">{{$name}} {{$message}}</p>{{end}}
<input name="tins" type="number" value="{{.Value "tins"}}">
<input name="address.city" value="{{.Value "address.city"}}">
{{end}}
<button>Order</button>
</form>
`))

// showPage shows the whole page with a form.
func showPage(w http.ResponseWriter, r *http.Request, form *web.Form[Order]) error {
	return orderHTML.Execute(w, orderPage{
		Form:      form,
		PageField: web.PageField(r),
		Flash:     web.TakeFlash(w, r),
		User:      stay.SessionFrom(r.Context()).User(),
	})
}

// pages serves the whole page.
func pages(mux *http.ServeMux, order *stay.State[Order]) {
	mux.Handle("GET /page", web.View(order, func(w http.ResponseWriter, r *http.Request, o *Order) error {
		return showPage(w, r, web.NewForm(*o))
	}))
	mux.Handle("POST /page", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Order](r)
		if err == nil {
			_, err = order.Do(r.Context(), "change", form.Data)
		}
		if err != nil {
			return form.Again(err, func(w http.ResponseWriter) error { return showPage(w, r, form) })
		}
		if err := web.SetFlash(w, r, "Thank you for your order"); err != nil {
			return err
		}
		web.Redirect(w, r, "/page")
		return nil
	}))
}
