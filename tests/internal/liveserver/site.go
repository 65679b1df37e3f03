package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A Counter is what everybody has together, and each browser for itself.
type Counter struct {
	Count int `json:"count"`
}

// A Cart is what a user has on all devices.
type Cart struct {
	Items []string `json:"items"`
}

// A site has the states, and notes which streams begin.
type site struct {
	app     *stay.App
	release string
	all     *stay.State[Counter]
	mine    *stay.State[Counter]
	cart    *stay.State[Cart]

	mu     sync.Mutex
	pages  int
	opened map[string]int // by client
}

func newSite(app *stay.App, release string) *site {
	return &site{
		app: app, release: release, opened: map[string]int{},
		all:  stay.Register(app, stay.Module[Counter]{Name: "all", Persist: stay.Global}),
		mine: stay.Register(app, stay.Module[Counter]{Name: "mine", Persist: stay.PerSession}),
		cart: stay.Register(app, stay.Module[Cart]{Name: "cart", Persist: stay.PerUser}),
	}
}

func (s *site) handler(folder string, several web.Several) http.Handler {
	mux := http.NewServeMux()
	live := web.Live(
		// Text and elements; text alone; rows of a table; the whole element.
		web.Part("all", s.all, func(w io.Writer, c *Counter) error {
			_, err := fmt.Fprintf(w, "is <b>%d</b>\r\n<i>release %s</i>", c.Count, s.release)
			return err
		}),
		web.Part("mine", s.mine, func(w io.Writer, c *Counter) error {
			_, err := fmt.Fprint(w, c.Count)
			return err
		}),
		web.Part("rows", s.all, func(w io.Writer, c *Counter) error {
			for n := max(0, c.Count-2); n <= c.Count; n++ {
				if _, err := fmt.Fprintf(w, "<tr><td>%d</td></tr>\n", n); err != nil {
					return err
				}
			}
			return nil
		}),
		web.Part("cart", s.cart, func(w io.Writer, c *Cart) error {
			var items strings.Builder
			for _, item := range c.Items {
				fmt.Fprintf(&items, "<li>%s</li>", html.EscapeString(item))
			}
			_, err := fmt.Fprintf(w, "<ul id=\"cart\" sse-swap=\"cart\" hx-swap=\"outerHTML\">\n<li>release %s</li>%s</ul>", s.release, items.String())
			return err
		}),
	)
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.opened[r.FormValue("client")]++
		s.mu.Unlock()
		live(w, r)
	})
	mux.HandleFunc("GET /opened", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = fmt.Fprint(w, s.opened[r.FormValue("client")])
	})
	mux.HandleFunc("GET /pages", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = fmt.Fprint(w, s.pages)
	})
	mux.HandleFunc("GET /page/{client}", func(w http.ResponseWriter, r *http.Request) {
		c, ok := clients[r.PathValue("client")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		s.mu.Lock()
		s.pages++
		s.mu.Unlock()
		stay.SessionFrom(r.Context()).ID() // two tabs have one session
		_, _ = io.WriteString(w, c.page())
	})
	mux.HandleFunc("GET /away", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<!doctype html><p id=away>away</p>")
	})
	mux.HandleFunc("GET /scripts/{name}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(folder, scripts[r.PathValue("name")]))
	})
	s.actions(mux)
	return web.Sessions(s.app, &web.Options{Live: web.LiveOptions{Several: several}})(mux)
}

// actions are what a page, or another tab of it, asks for.
func (s *site) actions(mux *http.ServeMux) {
	action := func(path string, do func(ctx context.Context, r *http.Request) error) {
		mux.HandleFunc("POST "+path, web.Handle(func(w http.ResponseWriter, r *http.Request) error {
			if err := do(r.Context(), r); err != nil {
				return err
			}
			return web.Done(w, r, "/")
		}))
	}
	count := func(c *Counter) error { c.Count++; return nil }
	action("/all", func(ctx context.Context, _ *http.Request) error { _, err := s.all.Update(ctx, count); return err })
	action("/mine", func(ctx context.Context, _ *http.Request) error { _, err := s.mine.Update(ctx, count); return err })
	action("/cart", func(ctx context.Context, _ *http.Request) error {
		_, err := s.cart.Update(ctx, func(c *Cart) error {
			c.Items = append(c.Items, fmt.Sprintf("<b>tea</b> %d", len(c.Items)+1))
			return nil
		})
		return err
	})
	action("/login", func(ctx context.Context, r *http.Request) error {
		return stay.SessionFrom(ctx).Login(ctx, r.FormValue("user"))
	})
	action("/logout", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Logout(ctx) })
	action("/revoke", func(ctx context.Context, r *http.Request) error { return s.app.Revoke(ctx, r.FormValue("user")) })
}
