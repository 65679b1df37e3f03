// Package pagestate holds the programs of docs/page-state.md.
package pagestate

import (
	"fmt"
	"html"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Search is what a visitor looks for on a page.
type Search struct {
	Query   string `json:"query"`                   // until the next page load
	PerPage int    `json:"perPage" stay:"preserve"` // until the session ends
}

// Module is reset by each page load, except for what is preserved.
var Module = stay.Module[Search]{
	Name:            "search",
	Initial:         Search{PerPage: 20},
	Persist:         stay.PerSession,
	ResetOnPageLoad: true,
}

// Notice is what a page shows once: it is preserved, and whoever shows it
// takes it away.
type Notice struct {
	Text string `json:"text" stay:"preserve"`
}

// NewHandler serves a page, its parts, and a form that redirects.
func NewHandler(app *stay.App) http.Handler {
	search := stay.Register(app, Module)
	notice := stay.Register(app, stay.Module[Notice]{Name: "notice", Persist: stay.PerSession, ResetOnPageLoad: true})

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(search, show)) // a page load: Query is "" here
	mux.Handle("POST /query", web.Update(search, func(w http.ResponseWriter, r *http.Request, s *Search) error {
		s.Query = r.FormValue("query") // by hx-post: stays until the page is loaded again
		return show(w, r, s)
	}))
	mux.Handle("POST /per-page", web.Update(search, func(w http.ResponseWriter, r *http.Request, s *Search) error {
		s.PerPage = 50
		http.Redirect(w, r, "/", http.StatusSeeOther) // a page load: PerPage is kept, Query is not
		return nil
	}))
	mux.Handle("POST /save", web.Update(notice, func(w http.ResponseWriter, r *http.Request, n *Notice) error {
		n.Text = "Saved."
		http.Redirect(w, r, "/notice", http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /notice", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		var text string
		_, err := notice.Update(r.Context(), func(n *Notice) error {
			text, n.Text = n.Text, "" // one step: no message is shown twice, or lost
			return nil
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "<p>%s</p>", html.EscapeString(text))
		return err
	}))
	return web.Sessions(app, nil)(mux)
}

func show(w http.ResponseWriter, _ *http.Request, s *Search) error {
	_, err := fmt.Fprintf(w, "<p>%q, %d per page</p>", s.Query, s.PerPage)
	return err
}
