package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
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

var page = template.Must(template.New("page").Funcs(template.FuncMap{"once": web.Once}).Parse(pageHTML))

// newHandler registers the two modules with app and returns the whole site.
// The buttons of the page are forms, so it works with and without JavaScript:
// without it, a form is sent back to the page; with it, the stream brings what a
// click has changed, to all pages that show it. What is sent twice counts once: a
// form has the id of its page, and htmx draws one for each click.
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

	mux.Handle("GET /live", web.Live(
		web.Part("count", counter, func(w io.Writer, c *Counter) error {
			_, err := fmt.Fprint(w, c.Count)
			return err
		}),
		web.Part("total", total, func(w io.Writer, t *Total) error {
			_, err := fmt.Fprint(w, t.Count)
			return err
		}),
	))

	mux.Handle("POST /increment", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /decrement", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count--
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /total/increment", web.Update(total, func(w http.ResponseWriter, r *http.Request, t *Total) error {
		t.Count++
		return web.Done(w, r, "/")
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
		if r.URL.Query().Get("all") == "1" {
			if _, err := counter.ResetAll(r.Context()); err != nil {
				return err
			}
			reload(w, r)
			return nil
		}
		if _, err := counter.Reset(r.Context()); err != nil { // keeps the theme
			return err
		}
		return web.Done(w, r, "/")
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
