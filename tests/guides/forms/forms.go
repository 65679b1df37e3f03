// Package forms holds the programs of docs/forms-and-errors.md.
package forms

import (
	"errors"
	"fmt"
	"html/template"
	"io"
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
{{range $name, $message := .Errors}}<p role="alert">{{$name}} {{$message}}</p>{{end}}
<input name="tea" value="{{.Value "tea"}}">
<input name="tins" type="number" value="{{.Value "tins"}}"> {{.Error "tins"}}
<input name="gift" type="checkbox" {{if .Checked "gift" "on"}}checked{{end}}>
<input name="address.street" value="{{.Value "address.street"}}">
<input name="address.city" value="{{.Value "address.city"}}"> {{.Error "address.city"}}
<button>Change</button>
</form>
`))

// show returns a function that shows the form.
func show(order *web.Form[Order]) func(http.ResponseWriter) error {
	return func(w http.ResponseWriter) error { return form.Execute(w, order) }
}

// NewHandler serves the form, and the module as JSON.
func NewHandler(app *stay.App) http.Handler {
	return web.Sessions(app, &web.Options{Error: showError})(routes(app))
}

// NewStrictHandler serves the same with StrictOptions.
func NewStrictHandler(app *stay.App) http.Handler {
	return web.Sessions(app, &StrictOptions)(routes(app))
}

func routes(app *stay.App) http.Handler {
	order := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(order, func(w http.ResponseWriter, _ *http.Request, o *Order) error {
		return show(web.NewForm(*o))(w)
	}))
	mux.Handle("POST /order", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		sent, err := web.ReadForm[Order](r)
		if err != nil {
			return sent.Again(err, show(sent)) // 422, what was typed, and why not
		}
		o, err := order.Do(r.Context(), "change", sent.Data)
		if err != nil {
			return sent.Again(err, show(sent)) // also if the action refuses
		}
		return show(web.NewForm(*o))(w)
	}))
	mux.HandleFunc("POST /photo", func(w http.ResponseWriter, r *http.Request) {
		web.Error(w, r, takePhoto(w, r)) // does nothing for nil
	})
	pages(mux, order)
	mux.Handle("/state/", web.Actions(order)) // for scripts: GET /state/order, POST /state/order/change
	return mux
}

// A Photo is what a form with a file has besides the file.
type Photo struct {
	Title string `json:"title"`
}

var photoForm = template.Must(template.New("").Parse(`<form method="post" action="/photo" enctype="multipart/form-data">
<input name="title" value="{{.Value "title"}}"> {{.Error "title"}}
<input name="photo" type="file"> {{.Error "photo"}}
<button>Send</button>
</form>
`))

// takePhoto takes a file, which may be absent, and the other fields of its form.
// It is no function of web.Handle, as those read no more than Options.MaxBody.
func takePhoto(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 10<<20)
	photo, header, err := r.FormFile("photo")
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) { // nothing of the form could be read
		form := web.NewForm(Photo{})
		return form.Again(stay.Invalid("photo", "10 MB at most"), func(w http.ResponseWriter) error { return photoForm.Execute(w, form) })
	}
	if err != nil && !errors.Is(err, http.ErrMissingFile) {
		return err
	}
	if photo != nil {
		defer func() { _ = photo.Close() }()
	}
	form, err := web.ReadForm[Photo](r) // all but the files
	if err != nil {
		return form.Again(err, func(w http.ResponseWriter) error { return photoForm.Execute(w, form) })
	}
	if photo == nil {
		_, err = fmt.Fprintf(w, "%s: no photo", form.Data.Title)
		return err
	}
	size, err := io.Copy(io.Discard, photo) // put it where your files are
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: %s, %d bytes", form.Data.Title, header.Filename, size)
	return err
}

// StrictOptions are others that the program could have.
var StrictOptions = web.Options{IgnoreField: strict, Message: german}

// strict leaves out the trap of the page and nothing else of a form, but takes
// the JSON of newer clients.
func strict(r *http.Request, name string) bool {
	return name == "website" || r.Header.Get("Content-Type") == "application/json"
}

// german says in German what is wrong, as far as the table goes.
func german(_ *http.Request, _, key string, args ...any) string {
	format := map[string]string{
		"required":             "bitte ausfüllen",
		"whole_number":         "bitte eine ganze Zahl",
		"whole_number_between": "bitte eine ganze Zahl von %d bis %d",
		"date":                 "bitte ein Datum",
	}[key]
	if format == "" {
		return "" // the built-in text
	}
	return fmt.Sprintf(format, args...)
}

var page = template.Must(template.New("").Parse("<!doctype html><title>{{.}}</title><h1>{{.}}</h1><p><a href=\"/\">Back</a></p>\n"))

// showError writes errors as pages of the site. What err says is in the log.
func showError(w http.ResponseWriter, _ *http.Request, status int, _ error) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, http.StatusText(status)) // w is buffered
}
