package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// The fragment of an error is for no place of the page, so htmx is told to leave
// the page and its address as they are. A form that is shown again, the program's
// own answer, and a handler that has chosen a place are left alone.
//
// Proves W6.
func TestAFragmentReplacesNothingOfThePage(t *testing.T) {
	s := newSite(t)
	refused := stay.Invalid("", "no more")
	carts := stay.Register(s.app, stay.Module[Counter]{
		Name: "cart", Persist: stay.PerSession,
		Actions: stay.Actions[Counter]{"more": func(*stay.Call, *Counter) error { return refused }},
	})
	again := func(show error) func(http.ResponseWriter, *http.Request) error {
		return func(http.ResponseWriter, *http.Request) error {
			return web.NewForm(struct{}{}).Again(refused, func(w http.ResponseWriter) error {
				_, err := fmt.Fprint(w, "<form>")
				return errors.Join(err, show)
			})
		}
	}
	chosen := func(name, value string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			web.Error(w, r, refused)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/do", web.Do(carts, "more", func(http.ResponseWriter, *http.Request, *Counter) error { return nil }))
	mux.Handle("/handle", web.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("HX-Reswap", "innerHTML") // goes with what the handler wrote
		return stay.ErrDenied
	}))
	mux.Handle("/plain", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, stay.ErrBusy) }))
	mux.Handle("/method", web.Update(carts, func(http.ResponseWriter, *http.Request, *Counter) error { return nil }))
	mux.Handle("/again", web.Handle(again(nil)))
	mux.Handle("/again/fails", web.Handle(again(errors.New("no template"))))
	mux.Handle("/reswap", chosen("HX-Reswap", "beforeend"))
	mux.Handle("/retarget", chosen("HX-Retarget", "#failed"))
	own := web.Options{Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) { _, _ = fmt.Fprint(w, "own") }}
	for _, c := range []struct {
		method, path, htmx string
		o                  *web.Options
		status             int
		reswap, address    string
	}{
		{"POST", "/do", "true", nil, 422, "none", "false"},
		{"POST", "/handle", "true", nil, 403, "none", "false"},
		{"POST", "/plain", "true", nil, 503, "none", "false"},
		{"GET", "/method", "true", nil, 405, "none", "false"},
		{"POST", "/again", "true", nil, 422, "", ""},
		{"POST", "/again/fails", "true", nil, 500, "none", "false"},
		{"POST", "/reswap", "true", nil, 422, "beforeend", ""},
		{"POST", "/retarget", "true", nil, 422, "", ""},
		{"POST", "/do", "", nil, 422, "", ""},
		{"POST", "/do", "true", &own, 422, "", ""},
	} {
		a := send(t, browser(web.Sessions(s.app, c.o)(mux)), c.method, c.path, "", "HX-Request", c.htmx)
		if got := a.header.Get("HX-Reswap"); a.status != c.status || got != c.reswap || a.header.Get("HX-Push-Url") != c.address {
			t.Errorf("%s %s: %d, HX-Reswap %q, HX-Push-Url %q, want %d, %q, %q", c.method, c.path, a.status, got, a.header.Get("HX-Push-Url"), c.status, c.reswap, c.address)
		}
	}
}
