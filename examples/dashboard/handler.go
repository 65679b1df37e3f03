package main

import (
	"embed"
	"html/template"
	"io"
	"net/http"

	"github.com/starfederation/datastar-go/datastar"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var assets embed.FS

//go:embed page.html
var pageHTML string

// pages holds the page and the parts of it that are live.
var pages = template.Must(template.New("page").Funcs(template.FuncMap{"once": web.Once}).Parse(pageHTML))

// policy lets the page use what this server serves, and nothing else. Datastar
// makes functions of the attributes in the page, so it needs 'unsafe-eval'.
const policy = "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// part is a live part of the page: the template and the element have its name.
func part[S any](name string, state *stay.State[S]) web.LivePart {
	return web.Part(name, state, func(w io.Writer, s *S) error { return pages.ExecuteTemplate(w, name, s) })
}

// newHandler registers the modules with app and returns the whole site. What a
// form changes, the stream brings to all pages that show it; without JavaScript a
// form leads back to the page. What is sent twice counts once: Datastar sends an id
// for each click, and otherwise a form has the one of its page. The forms in a live
// part have none, since its function must not draw one: what they do, they do once.
func newHandler(app *stay.App) http.Handler {
	counter := stay.Register(app, counterModule)
	tasks := stay.Register(app, tasksModule)
	note := stay.Register(app, noteModule)

	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))

	mux.Handle("GET /live", web.Live(part("counter", counter), part("owner", tasks), part("tasks", tasks), part("note", note)))
	mux.Handle("GET /{$}", web.Handle(func(w http.ResponseWriter, r *http.Request) (err error) {
		var p struct {
			Counter *Counter
			Tasks   *Tasks
			Note    *Note
		}
		if p.Counter, err = counter.Get(r.Context()); err != nil {
			return err
		}
		if p.Tasks, err = tasks.Get(r.Context()); err != nil {
			return err
		}
		if p.Note, err = note.Get(r.Context()); err != nil {
			return err
		}
		return pages.Execute(w, p)
	}))

	mux.Handle("POST /order", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Waiting++
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /serve", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		if c.Waiting > 0 {
			c.Waiting--
			c.Served++
		}
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /task", web.Update(tasks, func(w http.ResponseWriter, r *http.Request, t *Tasks) error {
		if err := t.add(r.PostFormValue("task")); err != nil {
			return err
		}
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /finish", web.Update(tasks, func(w http.ResponseWriter, r *http.Request, t *Tasks) error {
		t.finish(r.PostFormValue("task"))
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /note", web.Update(note, func(w http.ResponseWriter, r *http.Request, n *Note) (err error) {
		if n.Text, err = checked("note", r.PostFormValue("note")); err != nil {
			return err
		}
		return web.Done(w, r, "/")
	}))
	mux.Handle("POST /sign-in", web.Handle(func(w http.ResponseWriter, r *http.Request) error { return signIn(w, r, tasks) }))
	mux.Handle("POST /sign-out", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Logout(r.Context()); err != nil {
			return err
		}
		return web.Done(w, r, "/")
	}))
	return secure(web.Sessions(app, &web.Options{Cookie: "dashboard", Error: showError})(mux))
}

// signIn signs the browser in. The page need not be loaded again: the stream comes
// back with the new cookie, and brings the user's tasks.
func signIn(w http.ResponseWriter, r *http.Request, tasks *stay.State[Tasks]) error {
	user, err := checked("user", r.PostFormValue("user"))
	if err != nil {
		return err
	}
	// Here a real program checks the password, limits the number of attempts,
	// and returns stay.ErrDenied if it is wrong.
	if err := stay.SessionFrom(r.Context()).Login(r.Context(), user); err != nil {
		return err
	}
	if _, err := tasks.Update(r.Context(), func(t *Tasks) error { t.Owner = user; return nil }); err != nil {
		return err
	}
	return web.Done(w, r, "/")
}

// showError answers every error. Datastar ignores the body of an answer with an
// error status, so it gets the status 200 and the text as a signal.
func showError(w http.ResponseWriter, r *http.Request, _ int, err error) {
	text := "That did not work. Please try again in a moment."
	for _, message := range stay.FieldErrors(err) {
		text = message // a form has one field
	}
	if r.Header.Get("Datastar-Request") != "true" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text) // w is buffered, here and below
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = datastar.NewSSE(w, r).MarshalAndPatchSignals(map[string]string{"_problem": text})
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
