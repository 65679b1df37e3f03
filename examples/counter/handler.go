package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

// Counter is what each browser has for itself.
type Counter struct {
	Count int `json:"count"`
	// Theme is one of themes; it survives Reset, but not ResetAll.
	Theme string `json:"theme" stay:"preserve"`
}

// Total is what all visitors have together.
type Total struct {
	Count int `json:"count"`
}

// themes are the names that a page's theme may have; auto follows the system.
var themes = []string{"auto", "light", "dark"}

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// newHandler registers the two modules with app and returns the whole site.
// The buttons of the page are forms, so it works with and without JavaScript:
// a request by htmx or a script gets a fragment, a plain form is sent back to
// the page.
func newHandler(app *stay.App) http.Handler {
	counter := stay.Register(app, stay.Module[Counter]{
		Name:    "counter",
		Initial: Counter{Theme: "auto"},
		Persist: stay.PerSession,
	})
	total := stay.Register(app, stay.Module[Total]{
		Name:    "total",
		Persist: stay.Global,
	})

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())

	mux.Handle("GET /{$}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := counter.Get(r.Context())
		if err != nil {
			return err
		}
		t, err := total.Get(r.Context())
		if err != nil {
			return err
		}
		return page.Execute(w, map[string]any{"Counter": c, "Total": t, "Themes": themes})
	}))

	mux.Handle("GET /count", web.View(counter, showCount))
	mux.Handle("POST /increment", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		return showCount(w, r, c)
	}))
	mux.Handle("POST /decrement", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count--
		return showCount(w, r, c)
	}))

	mux.Handle("GET /total", web.View(total, showTotal))
	mux.Handle("POST /total/increment", web.Update(total, func(w http.ResponseWriter, r *http.Request, t *Total) error {
		t.Count++
		return showTotal(w, r, t)
	}))

	mux.Handle("POST /theme", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		theme := r.PostFormValue("theme")
		if !slices.Contains(themes, theme) {
			return stay.Invalid("theme", "choose one of "+strings.Join(themes, ", "))
		}
		c.Theme = theme
		reload(w, r)
		return nil
	}))
	mux.Handle("POST /reset", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		reset := counter.Reset // keeps the theme
		if r.URL.Query().Get("all") == "1" {
			reset = counter.ResetAll
		}
		if _, err := reset(r.Context()); err != nil {
			return err
		}
		reload(w, r)
		return nil
	}))
	mux.Handle("POST /logout", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Destroy(r.Context()); err != nil {
			return err
		}
		if isHTMX(r) {
			w.Header().Set("HX-Redirect", "/")
			return nil
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	return web.Sessions(app, &web.Options{Cookie: "counter"})(mux)
}

func showCount(w http.ResponseWriter, r *http.Request, c *Counter) error {
	return fragment(w, r, "count", c.Count)
}

func showTotal(w http.ResponseWriter, r *http.Request, t *Total) error {
	return fragment(w, r, "total", t.Count)
}

// fragment answers with a number in its element, the part of the page that
// htmx replaces.
func fragment(w http.ResponseWriter, r *http.Request, id string, n int) error {
	if r.Method == http.MethodPost && isPlainForm(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := fmt.Fprintf(w, `<span id="%s">%d</span>`, id, n)
	return err
}

// reload makes the browser load the page again, for changes that touch more of
// it than one element.
func reload(w http.ResponseWriter, r *http.Request) {
	if isHTMX(r) {
		w.Header().Set("HX-Refresh", "true")
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func isHTMX(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true"
}

// isPlainForm reports whether the browser will show the answer as a separate
// page: a browser that submits a form asks for HTML by name, htmx and scripts
// do not.
func isPlainForm(r *http.Request) bool {
	return !isHTMX(r) && strings.Contains(r.Header.Get("Accept"), "text/html")
}
