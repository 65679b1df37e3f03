package main

import (
	"embed"
	"net/http"

	"github.com/starfederation/datastar-go/datastar"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var assets embed.FS

// policy lets the page use what this server serves, and nothing else. Datastar
// makes functions of the attributes in the page, so it needs 'unsafe-eval'.
const policy = "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// newHandler registers the module with app and returns the whole site.
func newHandler(app *stay.App) http.Handler {
	poll := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))

	mux.Handle("GET /{$}", web.View(poll, func(w http.ResponseWriter, r *http.Request, p *Poll) error {
		return page(p, mine(r, p)).Render(r.Context(), w)
	}))
	mux.Handle("GET /votes", web.View(poll, func(w http.ResponseWriter, r *http.Request, p *Poll) error {
		return datastar.NewSSE(w, r).PatchElementTempl(votes(p, mine(r, p)))
	}))

	// The signals that Datastar sends are the payload of the action. It sends a request
	// again that had no answer: once.js gives each click an id, which counts once.
	mux.Handle("POST /vote", web.Do(poll, "vote", changed))
	mux.Handle("POST /suggest", web.Do(poll, "suggest", func(w http.ResponseWriter, r *http.Request, p *Poll) error {
		if err := changed(w, r, p); err != nil {
			return err
		}
		return datastar.NewSSE(w, r).MarshalAndPatchSignals(Suggestion{}) // empties the field
	}))
	mux.Handle("POST /withdraw", web.Update(poll, func(w http.ResponseWriter, r *http.Request, p *Poll) error {
		delete(p.Votes, stay.SessionFrom(r.Context()).ID())
		return changed(w, r, p)
	}))

	return secure(web.Sessions(app, &web.Options{Cookie: "poll", Error: showError})(mux))
}

// mine is the answer that the visitor has chosen, or "".
func mine(r *http.Request, p *Poll) string {
	return p.Votes[stay.SessionFrom(r.Context()).ID()]
}

// changed answers a change with the parts of the page that are new.
func changed(w http.ResponseWriter, r *http.Request, p *Poll) error {
	events := datastar.NewSSE(w, r)
	if err := events.PatchElementTempl(problem("")); err != nil {
		return err
	}
	return events.PatchElementTempl(votes(p, mine(r, p)))
}

// showError answers every error. Datastar ignores the body of an answer with an
// error status, so it gets the status 200 and the text for the page.
func showError(w http.ResponseWriter, r *http.Request, status int, err error) {
	text := "That did not work. Please try again in a moment."
	if status == http.StatusUnauthorized {
		text = "This page is out of date. Please load it again."
	}
	for _, message := range stay.FieldErrors(err) {
		text = message // the actions name one field
	}
	if r.Header.Get("Datastar-Request") != "true" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(text)) // w is buffered, here and below
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = datastar.NewSSE(w, r).PatchElementTempl(problem(text))
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
