package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

//go:embed page.html
var pageHTML string

// tmpl holds the page and the parts of it that htmx replaces.
var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{"once": web.Once}).Parse(pageHTML))

// A view is what the templates show: the list, and the forms, which may be
// shown again with their errors.
type view struct {
	*Todos
	New   *web.Form[NewItem]
	Login *web.Form[Login]
}

func newView(t *Todos) view {
	return view{Todos: t, New: web.NewForm(NewItem{}), Login: web.NewForm(Login{})}
}

// newHandler registers the module with app and returns the whole site. All
// buttons are forms, so it works without JavaScript too: htmx gets the part of
// the page that has changed, and after a plain form the browser goes back to
// the page. Each form has an id, so one that is sent twice counts once.
func newHandler(app *stay.App) http.Handler {
	todos := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())

	mux.Handle("GET /{$}", web.View(todos, func(w http.ResponseWriter, _ *http.Request, t *Todos) error {
		return tmpl.Execute(w, newView(t))
	}))
	mux.Handle("GET /todos.json", web.View(todos, showJSON))

	// A login changes the owner of the list, and the cookie with it. So it runs
	// as an action and answers when the user's list is there.
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Login](r)
		if err == nil {
			_, err = todos.Do(r.Context(), "login", form)
		}
		if err != nil && !errors.Is(err, stay.ErrEnded) { // see below
			return form.Again(err, showAgain(r, todos, "login", func(v *view) { v.Login = form }))
		}
		return home(w, r, nil)
	}))
	mux.Handle("POST /logout", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		// The second click of a double click comes with the cookie that the
		// first has replaced: its logout has already happened.
		if _, err := todos.Do(r.Context(), "logout", nil); err != nil && !errors.Is(err, stay.ErrEnded) {
			return err
		}
		return home(w, r, nil)
	}))

	mux.Handle("POST /todos", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[NewItem](r)
		var t *Todos
		var added Item
		if err == nil {
			t, err = todos.Update(r.Context(), func(t *Todos) (err error) {
				added, err = t.add(form.Data)
				return err
			})
		}
		if err != nil {
			return form.Again(err, showAgain(r, todos, "new", func(v *view) { v.New = form }))
		}
		if added.ID == "" { // the form was sent before
			return home(w, r, t)
		}
		return show(w, r, "added", t, added)
	}))
	mux.Handle("POST /todos/{id}/toggle", web.Update(todos, func(w http.ResponseWriter, r *http.Request, t *Todos) error {
		item := t.item(r.PathValue("id"))
		if item == nil {
			return stay.ErrNotFound
		}
		item.Done = !item.Done
		return show(w, r, "toggled", t, *item)
	}))
	mux.Handle("POST /todos/clear", web.Do(todos, "clear", func(w http.ResponseWriter, r *http.Request, t *Todos) error {
		return show(w, r, "cleared", t, Item{})
	}))
	return web.Sessions(app, &web.Options{Cookie: "todo"})(mux)
}

// show answers a form that has changed the list: htmx gets a part of the page,
// and all others are sent back to the page.
func show(w http.ResponseWriter, r *http.Request, part string, t *Todos, item Item) error {
	if !isHTMX(r) {
		return home(w, r, t)
	}
	return tmpl.ExecuteTemplate(w, part, struct {
		view
		Item Item
	}{newView(t), item})
}

// showAgain returns a function that answers a refused form with the form
// itself; without htmx as part of the whole page. put stores the form in the
// view.
func showAgain(r *http.Request, todos *stay.State[Todos], part string, put func(*view)) func(http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		t, err := todos.Get(r.Context())
		if err != nil {
			return err
		}
		v := newView(t)
		put(&v)
		if isHTMX(r) {
			return tmpl.ExecuteTemplate(w, part, v)
		}
		return tmpl.Execute(w, v)
	}
}

// home sends the browser to the page.
func home(w http.ResponseWriter, r *http.Request, _ *Todos) error {
	if isHTMX(r) {
		w.Header().Set("HX-Redirect", "/")
		return nil
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// showJSON writes the list for scripts.
func showJSON(w http.ResponseWriter, _ *http.Request, t *Todos) error {
	type item struct {
		Title string `json:"title"`
		Done  bool   `json:"done"`
	}
	items := make([]item, len(t.Items))
	for i, it := range t.Items {
		items[i] = item{it.Title, it.Done}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(items)
}

func isHTMX(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true"
}
