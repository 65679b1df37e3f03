package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

const (
	// cookieName is that of package web over plain http.
	cookieName = "stay"
	// sessionHeader tells the driver in which session a handler ran.
	sessionHeader = "Golden-Session"
	// thinking is how long the route /api/rmw waits.
	thinking = 2 * time.Millisecond
)

// setup is the initial state of a case, as JSON with all fields, and whether
// each page load resets it.
type setup struct {
	initial   json.RawMessage
	pageReset bool
}

// newSite makes the handler that the cases are about.
type newSite func(app *stay.App, s setup) (http.Handler, error)

// newSiteOf serves a state of type S.
func newSiteOf[S any, P interface {
	*S
	fields
}](app *stay.App, s setup) (http.Handler, error) {
	var initial S
	if err := decode(s.initial, &initial); err != nil {
		return nil, err
	}
	state := stay.Register(app, stay.Module[S]{
		Name: "scoped", Initial: initial, Persist: stay.PerSession, ResetOnPageLoad: s.pageReset,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>page</html>")
	})
	use := func(route string, h http.Handler) { mux.Handle(route, inSession(h)) }
	view := func(route string, fn func(w http.ResponseWriter, f fields) error) {
		use("GET "+route, web.View(state, func(w http.ResponseWriter, _ *http.Request, s *S) error { return fn(w, P(s)) }))
	}
	update := func(route string, fn func(w http.ResponseWriter, r *http.Request, f fields) error) {
		use("POST "+route, web.Update(state, func(w http.ResponseWriter, r *http.Request, s *S) error { return fn(w, r, P(s)) }))
	}
	reset := func(route, answer string, do func(r *http.Request) (*S, error)) {
		use("POST "+route, web.Handle(func(w http.ResponseWriter, r *http.Request) error {
			if _, err := do(r); err != nil {
				return err
			}
			_, err := io.WriteString(w, answer)
			return err
		}))
	}
	view("/api/all", func(w http.ResponseWriter, f fields) error { return writeJSON(w, f) })
	reset("/api/reset", "reset", func(r *http.Request) (*S, error) { return state.Reset(r.Context()) })
	reset("/api/full-reset", "full", func(r *http.Request) (*S, error) { return state.ResetAll(r.Context()) })
	routes(view, update)
	return web.Sessions(app, nil)(mux), nil
}

// routes are those that need to know nothing of the type of the state.
func routes(
	view func(route string, fn func(http.ResponseWriter, fields) error),
	update func(route string, fn func(http.ResponseWriter, *http.Request, fields) error),
) {
	view("/home", func(w http.ResponseWriter, f fields) error {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, err := fmt.Fprintf(w, "count=%d name=%s", *f.TheCount(), *f.TheUsername())
		return err
	})
	view("/api/count", func(w http.ResponseWriter, f fields) error { return writeJSON(w, f.TheCount()) })

	for route, by := range map[string]int{"/api/increment": 1, "/api/decrement": -1} {
		update(route, func(w http.ResponseWriter, _ *http.Request, f fields) error {
			*f.TheCount() += by
			return writeJSON(w, f.TheCount())
		})
	}
	update("/api/rmw", func(w http.ResponseWriter, r *http.Request, f fields) error {
		read := *f.TheCount()
		if err := wait(r.Context(), thinking); err != nil {
			return err
		}
		*f.TheCount() = read + 1
		return writeJSON(w, f.TheCount())
	})
	for route, field := range map[string]func(fields) *string{"/api/name/{v}": fields.TheUsername, "/api/theme/{v}": fields.TheTheme} {
		update(route, func(w http.ResponseWriter, r *http.Request, f fields) error {
			*field(f) = r.PathValue("v")
			_, err := io.WriteString(w, *field(f))
			return err
		})
	}
	update("/api/cart/{v}", func(w http.ResponseWriter, r *http.Request, f fields) error {
		*f.TheCart() = append(*f.TheCart(), r.PathValue("v"))
		return writeJSON(w, f.TheCart())
	})
	update("/api/prefs", func(w http.ResponseWriter, _ *http.Request, f fields) error {
		f.ThePrefs().N++
		return writeJSON(w, f.ThePrefs())
	})
	update("/api/throw", func(_ http.ResponseWriter, _ *http.Request, f fields) error {
		*f.TheCount() = 999
		return errors.New("boom")
	})
}

// inSession has the response say in which session the handler ran.
func inSession(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(sessionHeader, stay.SessionFrom(r.Context()).ID())
		h.ServeHTTP(w, r)
	})
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// setupOf reads the setup of a case, which names every field of the state.
func setupOf(fields map[string]fieldText, pageReset bool) (newSite, setup, error) {
	var kept [5]bool
	values := map[string]json.RawMessage{}
	names := []string{"count", "username", "theme", "cart", "prefs"}
	for i, name := range names {
		f, ok := fields[name]
		if !ok || len(f.Value) == 0 || isNull(f.Value) {
			return nil, setup{}, fmt.Errorf("setup: no value for %s", name)
		}
		kept[i], values[name] = f.Preserve, f.Value
	}
	if len(fields) != len(names) {
		return nil, setup{}, fmt.Errorf("setup: the fields are %s", strings.Join(names, ", "))
	}
	initial, err := json.Marshal(values)
	if err != nil {
		return nil, setup{}, err
	}
	// Every choice has the same fields, so a value fits all types or none.
	var fit struct {
		count
		username
		theme
		cart
		prefs
	}
	return sites[kept], setup{initial, pageReset}, decode(initial, &fit)
}
