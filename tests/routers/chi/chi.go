// Package chi serves the site with chi.
package chi

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

// Around returns the site with the sessions around the router.
func Around(s *site.Site) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	routes(r, s)
	return web.Sessions(s.App, nil)(r)
}

// Inside returns the site with the sessions as a middleware of the router.
func Inside(s *site.Site) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, web.Sessions(s.App, nil))
	routes(r, s)
	return r
}

func routes(r chi.Router, s *site.Site) {
	r.Method("GET", "/", s.View())
	r.Method("POST", "/add/{n}", s.Add())
	r.Method("POST", "/note/{text}", s.Note())
	r.Method("POST", "/panic", s.Panic())
	r.Mount("/state", s.Actions())
	r.Get("/plain", site.Plain)
	r.Get("/stream", s.Stream)
	r.Get("/socket", s.Socket)

	r.Get("/own", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w)(s.Count(r.Context()))
	}))
	r.Post("/own/{n}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w)(s.AddText(r.Context(), chi.URLParam(r, "n")))
	}))
	r.Post("/doc/{name}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w)(s.CountDoc(r.Context(), chi.URLParam(r, "name")))
	}))
	r.Post("/login/{user}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w)(0, s.Login(r.Context(), chi.URLParam(r, "user")))
	}))
	r.Get("/own-stream", s.Stream)
	r.Post("/own-panic", func(http.ResponseWriter, *http.Request) { panic("the password is hunter2") })
}

func answer(w http.ResponseWriter) func(n int, err error) error {
	return func(n int, err error) error {
		if err == nil {
			_, err = fmt.Fprint(w, n)
		}
		return err
	}
}
