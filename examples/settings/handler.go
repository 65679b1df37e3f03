package main

import (
	"context"
	_ "embed"
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

// A view is what the templates show.
type view struct {
	*Settings
	T                            map[string]string // the texts in the language
	Themes, Languages, Questions []string
	Away                         bool // the other page
}

func newView(s *Settings) view {
	return view{Settings: s, T: texts[s.Language], Themes: themes, Languages: languages, Questions: questions}
}

// A Row says what the server holds for a field, and what the field survives
// besides partial requests, which all fields survive.
type Row struct {
	Name, ID, Value string
	Preserved       bool
}

// Rows are the fields of the state.
func (v view) Rows() []Row {
	return []Row{
		{v.T["theme"], "theme", v.Theme, true},
		{v.T["language"], "language", v.Language, true},
		{v.T["filter"], "filter", v.Filter, false},
		{v.T["open"], "open", v.Open, false},
		{v.T["draft"], "draft", v.Draft, false},
	}
}

// newHandler registers the module with app and returns the whole site. Nothing
// in it resets the state of the page: loading a page does that before a
// handler runs.
func newHandler(app *stay.App) http.Handler {
	settings := stay.Register(app, Module)

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())

	mux.Handle("GET /{$}", web.View(settings, show))
	mux.Handle("GET /away", web.View(settings, func(w http.ResponseWriter, _ *http.Request, s *Settings) error {
		v := newView(s)
		v.Away = true
		return tmpl.Execute(w, v)
	}))
	// The fields as the server holds them, as a part of the page.
	mux.Handle("GET /held", web.View(settings, func(w http.ResponseWriter, _ *http.Request, s *Settings) error {
		return tmpl.ExecuteTemplate(w, "held", newView(s))
	}))

	// All changes are answered in place. The usual redirect back to the page is
	// left out for a form without htmx: it would load the page, and what the
	// form has changed would be gone. An edit says what a field is, so it may be sent
	// twice; a reset has an id.
	mux.Handle("POST /{$}", web.Do(settings, "edit", show))

	mux.Handle("POST /reset", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answerReset(w, r, settings.Reset)
	}))
	mux.Handle("POST /reset-all", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answerReset(w, r, settings.ResetAll)
	}))
	return web.Sessions(app, &web.Options{Cookie: "settings"})(mux)
}

// show answers with the whole page, or with the part that htmx replaces. That
// part is everything visible if that is its target. Otherwise it is what
// follows from the text in a field; the field itself stays untouched.
func show(w http.ResponseWriter, r *http.Request, s *Settings) error {
	part := "page"
	switch {
	case r.Header.Get("HX-Request") != "true":
	case r.Header.Get("HX-Target") == "visible":
		part = "visible"
	default:
		part = "parts"
	}
	return tmpl.ExecuteTemplate(w, part, newView(s))
}

// answerReset runs a reset and shows what is left.
func answerReset(w http.ResponseWriter, r *http.Request, reset func(context.Context) (*Settings, error)) error {
	s, err := reset(r.Context())
	if err != nil {
		return err
	}
	if r.Header.Get("HX-Request") != "true" {
		http.Redirect(w, r, "/", http.StatusSeeOther) // there is nothing left to lose
		return nil
	}
	return show(w, r, s)
}
