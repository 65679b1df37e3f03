package web_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// overBoth serves h over HTTP/1.1 and over HTTP/2.
func overBoth(t *testing.T, h http.Handler, test func(t *testing.T, srv *httptest.Server)) {
	t.Helper()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(h)
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // handlers panic
			srv.EnableHTTP2 = protocol == "HTTP/2.0"
			srv.StartTLS()
			defer srv.Close()
			test(t, srv)
		})
	}
}

// copying is a common kind of middleware: it gives the handler a copy of the
// request, and keeps no reference to it.
func copying(next http.Handler) http.Handler {
	type key struct{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "x")))
	})
}

// bothKinds returns handlers that do the same in each way that the package
// has. plain gets what the buffered ones return.
func (s *site) bothKinds(plain func(http.ResponseWriter, *http.Request, error), fn func(http.ResponseWriter, *http.Request) error) map[string]http.Handler {
	of := func(w http.ResponseWriter, r *http.Request, _ *Counter) error { return fn(w, r) }
	return map[string]http.Handler{
		"plain":  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { plain(w, r, fn(w, r)) }),
		"Handle": web.Handle(fn),
		"View":   web.View(s.counter, of),
		"Update": web.Update(s.counter, of),
		"Do":     web.Do(s.counter, "increment", of),
	}
}

// No file that a form was parsed into outlives its request, however the handler
// came by the request and however it ends.
//
// Proves W5.
func TestNoFileOfAFormStays(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSite(t)
	end := func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseMultipartForm(1); err != nil { // of the file all but one byte goes to the disk
			t.Errorf("%s: %v", r.URL, err)
		}
		if len(entries(t)) == 0 {
			t.Errorf("%s: there is no file on the disk to begin with", r.URL)
		}
		switch r.URL.Query().Get("end") {
		case "error":
			return stay.ErrDenied
		case "panic":
			panic("boom")
		case "abort":
			panic(http.ErrAbortHandler)
		case "Goexit":
			runtime.Goexit()
		case "hijack":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
		return nil
	}
	kinds := s.bothKinds(web.Error, end)
	sessions := web.Sessions(s.app, nil)
	timed := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }
	type stack func(http.Handler) http.Handler
	stacks := map[string]stack{
		"behind Sessions":       sessions,
		"copied outside":        func(h http.Handler) http.Handler { return copying(sessions(h)) },
		"Sessions once more":    func(h http.Handler) http.Handler { return sessions(copying(sessions(h))) },
		"TimeoutHandler around": func(h http.Handler) http.Handler { return timed(sessions(h)) },
		"of an error's page": func(h http.Handler) http.Handler {
			return web.Sessions(s.app, &web.Options{Error: func(w http.ResponseWriter, r *http.Request, _ int, _ error) {
				_ = r.ParseMultipartForm(1)
			}})(copying(h))
		},
		// Behind these, a plain handler has to remove its files itself, as it
		// has to without Sessions.
		"copied inside":         func(h http.Handler) http.Handler { return sessions(copying(h)) },
		"TimeoutHandler inside": func(h http.Handler) http.Handler { return sessions(timed(h)) },
	}
	notPlain := "copied inside, TimeoutHandler inside, of an error's page"
	mux := http.NewServeMux()
	var requests []string
	for kind, h := range kinds {
		for name, stack := range stacks {
			if kind == "plain" && strings.Contains(notPlain, name) {
				continue
			}
			path := "/" + kind + "/" + strings.ReplaceAll(name, " ", "-")
			mux.Handle(path, stack(h))
			for _, end := range []string{"return", "error", "panic", "abort", "Goexit", "hijack"} {
				if end == "Goexit" && strings.Contains(name, "Timeout") {
					continue // TimeoutHandler waits for it until its time is over
				}
				requests = append(requests, path+"?end="+end)
			}
		}
	}
	left := make(chan []string, 1)
	outermost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { left <- entries(t) }()
		mux.ServeHTTP(w, r)
	})
	body, contentType := multipartForm(t, map[string]string{"name": "x"}, strings.Repeat("x", 100))
	overBoth(t, outermost, func(t *testing.T, srv *httptest.Server) {
		for _, request := range requests {
			res, err := srv.Client().Post(srv.URL+request, contentType, strings.NewReader(body))
			if err == nil {
				_ = res.Body.Close()
			}
			if names := <-left; len(names) > 0 {
				t.Errorf("%s leaves %q", request, names)
				for _, name := range names {
					_ = os.Remove(os.TempDir() + "/" + name)
				}
			}
		}
	})
}
