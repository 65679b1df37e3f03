package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// increase is a first use of the session in a plain handler.
func (s *site) increase(r *http.Request) error {
	_, err := s.counter.Update(r.Context(), func(c *Counter) error { c.Count++; return nil })
	return err
}

// shortcut is an adapter that passes on the request of Sessions and not its
// ResponseWriter, like short adapters for frameworks that keep their own
// ResponseWriter.
func shortcut(sessions func(http.Handler) http.Handler, own func(http.ResponseWriter) http.ResponseWriter, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = own(w)
		sessions(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })).ServeHTTP(w, r)
	})
}

// statusWriter reports whether it was written to, like the writers of gin and
// negroni.
type statusWriter struct {
	http.ResponseWriter
	written bool
}

func (w *statusWriter) WriteHeader(status int) {
	w.written = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.written = true
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Written() bool { return w.written }

// counting reports its status, like the writers of chi.
type counting struct {
	http.ResponseWriter
	status, n int
}

func (w *counting) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *counting) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.n += len(b)
	return w.ResponseWriter.Write(b)
}

func (w *counting) Status() int       { return w.status }
func (w *counting) BytesWritten() int { return w.n }

// opaque reports nothing.
type opaque struct{ http.ResponseWriter }

// opaqueValue cannot be compared.
type opaqueValue struct {
	http.ResponseWriter
	_ []byte
}

var writers = map[string]func(http.ResponseWriter) http.ResponseWriter{
	"net/http's":   func(w http.ResponseWriter) http.ResponseWriter { return w },
	"one around":   func(w http.ResponseWriter) http.ResponseWriter { return &wrapped{w} },
	"Written":      func(w http.ResponseWriter) http.ResponseWriter { return &statusWriter{ResponseWriter: w} },
	"Status":       func(w http.ResponseWriter) http.ResponseWriter { return &counting{ResponseWriter: w} },
	"opaque":       func(w http.ResponseWriter) http.ResponseWriter { return &opaque{w} },
	"incomparable": func(w http.ResponseWriter) http.ResponseWriter { return opaqueValue{ResponseWriter: w} },
}

// overAll runs a test with a server of each protocol, and without one.
func overAll(t *testing.T, h http.Handler, f func(t *testing.T, c *http.Client, url string)) {
	overBoth(t, h, func(t *testing.T, srv *httptest.Server) { f(t, srv.Client(), srv.URL) })
	t.Run("in process", func(t *testing.T) { f(t, browser(h), "http://app.test") })
}

// The handlers of this package answer through Sessions, whichever of the two
// ResponseWriters an adapter hands them.
//
// Proves W2.
func TestHandlersGivenTheWriterInFrontOfSessions(t *testing.T) {
	for name, own := range writers {
		if name == "incomparable" {
			continue // is not a pointer, so no code can see that it is the same
		}
		s := newSite(t)
		h := shortcut(web.Sessions(s.app, nil), own, s.handlers())
		overAll(t, h, func(t *testing.T, c *http.Client, url string) {
			for _, path := range []string{"/view", "/update", "/do", "/handle", "/state/counter", "/error"} {
				method := "POST"
				if path == "/state/counter" {
					method = "GET"
				}
				a := send(t, &http.Client{Transport: c.Transport}, method, url+path, "")
				if a.cookie(t) == "" || a.header.Get("Cache-Control") != "private, no-store" {
					t.Errorf("%s %s: header %v", name, path, a.header)
				}
			}
		})
		if s.log.String() != "" {
			t.Errorf("%s: the log says %s", name, s.log)
		}
	}
}

// handlers are one handler of each kind that uses the session.
func (s *site) handlers() http.Handler {
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}
	mux.Handle("/view", web.View(s.counter, show))
	mux.Handle("/update", web.Update(s.counter, show))
	mux.Handle("/do", web.Do(s.counter, "increment", show))
	mux.Handle("/handle", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := s.increase(r); err != nil {
			return err
		}
		return stay.ErrNotFound
	}))
	mux.HandleFunc("/error", func(w http.ResponseWriter, r *http.Request) {
		if err := s.increase(r); err != nil {
			web.Error(w, r, err)
			return
		}
		web.Error(w, r, stay.ErrNotFound)
	})
	mux.Handle("/state/", web.Actions(s.counter))
	return mux
}

// A plain handler that writes past Sessions loses the cookie. The log says so,
// and the change is refused before the commit if the handler has written
// already. A handler that writes nothing is not reported.
//
// Proves W2.
func TestAResponseWrittenPastSessionsIsReported(t *testing.T) {
	const past, unseen = "written past web.Sessions", "no response was written through"
	for name, own := range writers {
		opaque := name == "opaque" || name == "incomparable"
		for _, tc := range []struct {
			what    string
			handler func(s *site, w http.ResponseWriter, r *http.Request) error
			refused bool // if it is known that the response was written
			log     string
			unknown string // the log if that is not known
		}{
			{"uses, then writes", func(s *site, w http.ResponseWriter, r *http.Request) error {
				err := s.increase(r)
				fmt.Fprint(w, "answer")
				return err
			}, false, past, unseen},
			{"uses, then sets the status", func(s *site, w http.ResponseWriter, r *http.Request) error {
				err := s.increase(r)
				w.WriteHeader(http.StatusNoContent)
				return err
			}, false, past, unseen},
			{"writes, then uses", func(s *site, w http.ResponseWriter, r *http.Request) error {
				w.WriteHeader(http.StatusOK)
				return s.increase(r)
			}, true, "", unseen},
			{"uses and writes nothing", func(s *site, w http.ResponseWriter, r *http.Request) error {
				return s.increase(r)
			}, false, "", unseen},
			{"gives up", func(s *site, w http.ResponseWriter, r *http.Request) error {
				_ = s.increase(r)
				panic(http.ErrAbortHandler)
			}, false, "", ""},
			{"uses nothing", func(s *site, w http.ResponseWriter, r *http.Request) error {
				fmt.Fprint(w, "answer")
				return nil
			}, false, "", ""},
		} {
			s := newSite(t)
			var err error
			h := shortcut(web.Sessions(s.app, nil), own, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				err = tc.handler(s, w, r)
			}))
			overAll(t, abortable(h), func(t *testing.T, c *http.Client, url string) {
				before := len(s.log.String())
				res, failed := (&http.Client{Transport: c.Transport}).Post(url, "", nil)
				if failed == nil {
					_ = res.Body.Close()
				}
				if refused := stay.CodeOf(err) == stay.ErrInternal; err != nil && !refused || refused != (tc.refused && !opaque) {
					t.Errorf("%s/%s: %v", name, tc.what, err)
				}
				want, log := tc.log, s.log.String()[before:]
				if opaque {
					if want = tc.unknown; before > 0 {
						want = "" // is said once
					}
				}
				if want == "" && log != "" || !strings.Contains(log, want) {
					t.Errorf("%s/%s: the log says %q, want %q", name, tc.what, log, want)
				}
			})
		}
	}
}

// abortable does what net/http does with http.ErrAbortHandler, for clients in
// process.
func abortable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil, http.ErrAbortHandler:
			default:
				panic(p)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// A browser that has a cookie keeps it, so nothing is refused.
//
// Proves W2.
func TestAKnownBrowserIsServedPastSessions(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(nil))
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	h := shortcut(web.Sessions(s.app, nil), writers["Written"], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		if err := s.increase(r); err != nil {
			t.Error(err)
		}
	}))
	c.Transport = inProcess{h}
	send(t, c, "POST", "/", "")
	c.Transport = inProcess{s.routes(nil)}
	send(t, c, "GET", "/view", "").want(t, 200, "2")
	if s.log.String() != "" {
		t.Errorf("the log says %s", s.log)
	}
}

// A handler that finishes when http.TimeoutHandler around Sessions has answered
// loses the cookie; inside of Sessions the answer has it.
//
// Proves W2.
func TestACookieLostByATimeoutIsReported(t *testing.T) {
	s := newSite(t)
	done := make(chan struct{}, 1)
	late := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		if err := s.increase(r); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		for { // until TimeoutHandler has seen it, too
			if _, err := io.WriteString(w, "x"); errors.Is(err, http.ErrHandlerTimeout) {
				return
			}
			runtime.Gosched()
		}
	})
	sessions := web.Sessions(s.app, nil)
	timed := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 200*time.Millisecond, "timeout") }
	srv := httptest.NewServer(sessions(timed(late)))
	defer srv.Close()
	a := send(t, srv.Client(), "POST", srv.URL, "")
	<-done
	if a.status != 503 || a.cookie(t) == "" || s.log.String() != "" {
		t.Errorf("inside: %d, header %v, log %s", a.status, a.header, s.log)
	}
	over := make(chan struct{})
	srv = httptest.NewServer(timed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		sessions(late).ServeHTTP(w, r)
	})))
	defer srv.Close()
	a = send(t, srv.Client(), "POST", srv.URL, "")
	<-done
	<-over
	if a.status != 503 || a.cookie(t) != "" || !strings.Contains(s.log.String(), "put http.TimeoutHandler inside of web.Sessions") {
		t.Errorf("outside: %d, header %v, log %s", a.status, a.header, s.log)
	}
}

// A change that comes after the timeout of its request is not made.
//
// Proves W2.
func TestNoChangeAfterATimeout(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.increase(r); err == nil {
			t.Error("a change was made")
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/", nil))
}
