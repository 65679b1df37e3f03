package wrappers_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/starfederation/datastar-go/datastar"
	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// upgrades are the ways from a request to a WebSocket, by library. sent says
// that the answer has the headers of w.Header(): then the cookie arrives. Each
// returns when the connection was closed.
var upgrades = []struct {
	name    string
	sent    bool
	upgrade func(w http.ResponseWriter, r *http.Request) error
}{
	{"coder/websocket", true, func(w http.ResponseWriter, r *http.Request) error {
		conn, err := coder.Accept(w, r, nil)
		if err != nil {
			return err
		}
		return conn.CloseNow()
	}},
	{"gorilla/websocket with w.Header()", true, func(w http.ResponseWriter, r *http.Request) error {
		conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, w.Header())
		if err != nil {
			return err
		}
		return conn.Close()
	}},
	{"gorilla/websocket without a header", false, func(w http.ResponseWriter, r *http.Request) error {
		conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return err
		}
		return conn.Close()
	}},
	{"gobwas/ws with w.Header()", true, func(w http.ResponseWriter, r *http.Request) error {
		conn, _, _, err := (ws.HTTPUpgrader{Header: w.Header()}).Upgrade(r, w)
		if err != nil {
			return err
		}
		return conn.Close()
	}},
	{"gobwas/ws without a header", false, func(w http.ResponseWriter, r *http.Request) error {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return err
		}
		return conn.Close()
	}},
}

// dial opens a WebSocket and returns the header of the answer.
func dial(t *testing.T, c *http.Client, address string) http.Header {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, res, err := coder.Dial(ctx, address, &coder.DialOptions{HTTPClient: &http.Client{Jar: c.Jar}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return res.Header
}

// The first use of a session in a handler that switches to WebSocket: with each
// library the cookie arrives, or the log says how to fix that. A use afterwards
// is refused and stores nothing, and a known session can be used at any time.
//
// Proves W2.
func TestWebSockets(t *testing.T) {
	for _, u := range upgrades {
		t.Run(u.name, func(t *testing.T) {
			s := newSite(t)
			var late error
			over := make(chan struct{}, 1)
			s.mux.HandleFunc("GET /socket/{order}", func(w http.ResponseWriter, r *http.Request) {
				if r.PathValue("order") == "before" {
					if _, err := s.state.Update(r.Context(), increment); err != nil {
						t.Error(err)
					}
				}
				if err := u.upgrade(w, r); err != nil {
					t.Error(err)
				}
				if r.PathValue("order") == "after" {
					_, late = s.state.Update(r.Context(), increment)
				}
			})
			sessions := web.Sessions(s.app, nil)(s.mux)
			address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sessions.ServeHTTP(w, r)
				if strings.HasPrefix(r.URL.Path, "/socket/") {
					over <- struct{}{}
				}
			}))

			c := browser(t)
			a := answer{header: dial(t, c, address+"/socket/before")}
			<-over
			if a.cookies() == 1 != u.sent {
				t.Errorf("cookies %q", a.header["Set-Cookie"])
			}
			if log := s.log.String(); strings.Contains(log, "pass w.Header() to the WebSocket upgrader") == u.sent || u.sent && log != "" {
				t.Errorf("the log says %s", log)
			}
			before := len(s.log.String())

			dial(t, browser(t), address+"/socket/after")
			<-over
			if stay.CodeOf(late) != stay.ErrInternal {
				t.Errorf("a first use afterwards: %v", late)
			}

			c = browser(t)
			if a, err := send(c, "POST", address+"/update/ok"); err != nil || a.cookies() != 1 {
				t.Fatal(a, err)
			}
			for _, order := range []string{"before", "after"} {
				if a := (answer{header: dial(t, c, address+"/socket/"+order)}); a.cookies() != 0 {
					t.Errorf("%s: the cookie was set again", order)
				}
				<-over
			}
			if a, err := send(c, "GET", address+"/view/ok"); err != nil || !strings.HasPrefix(a.body, "3 ") {
				t.Errorf("the state is %.3q, %v; late: %v", a.body, err, late)
			}
			if log := s.log.String()[before:]; log != "" {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// A WebSocket that a ReverseProxy inside of Sessions passes on has the cookie of
// the request that the proxy got, and an answer that its server breaks off is no
// failure.
//
// Proves W2.
func TestReverseProxyInside(t *testing.T) {
	s := newSite(t)
	over := make(chan struct{}, 1)
	backend := http.NewServeMux()
	backend.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		defer func() { over <- struct{}{} }()
		if err := upgrades[0].upgrade(w, r); err != nil {
			t.Error(err)
		}
	})
	backend.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		fmt.Fprint(w, "page")
	})
	backend.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	target, err := url.Parse(serve(t, backend))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	address := serve(t, web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.state.Update(r.Context(), increment); err != nil {
			t.Error(err)
		}
		proxy.ServeHTTP(w, r)
	})))
	a := answer{header: dial(t, browser(t), address+"/socket")}
	<-over
	if a.cookies() != 1 {
		t.Errorf("cookies %q", a.header["Set-Cookie"])
	}
	if a, err := send(browser(t), "GET", address+"/broken"); err == nil {
		t.Errorf("an answer: %+v", a)
	}
	if log := s.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
	if a, err := send(browser(t), "GET", address+"/page"); err != nil || a.body != "page" || a.cookies() != 1 || a.header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%+v, %v", a, err)
	}
}

// Datastar's SDK works in buffered handlers, whose events are sent together
// when the change is durable, and streams from plain handlers.
//
// Proves W2, W5.
func TestDatastar(t *testing.T) {
	s := newSite(t)
	patch := func(w http.ResponseWriter, r *http.Request, c *counter) error {
		fails := r.URL.Query().Has("fail")
		var options []datastar.SSEOption
		if fails {
			options = append(options, datastar.WithCompression())
		}
		sse := datastar.NewSSE(w, r, options...)
		for range 2 {
			if err := sse.PatchElements(fmt.Sprintf(`<output id="count">%d</output>`, c.Count)); err != nil {
				return err
			}
		}
		if fails {
			return stay.ErrDenied
		}
		return nil
	}
	s.mux.Handle("/datastar/view", web.View(s.state, patch))
	s.mux.Handle("/datastar/update", web.Update(s.state, func(w http.ResponseWriter, r *http.Request, c *counter) error {
		c.Count++
		return patch(w, r, c)
	}))
	s.mux.Handle("/datastar/handle", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := s.state.Update(r.Context(), increment)
		if err != nil {
			return err
		}
		return patch(w, r, c)
	}))
	s.mux.HandleFunc("/datastar/plain", func(w http.ResponseWriter, r *http.Request) {
		c, err := s.state.Update(r.Context(), increment)
		if err == nil {
			err = patch(w, r, c)
		}
		web.Error(w, r, err)
	})
	address := serve(t, web.Sessions(s.app, nil)(s.mux))
	c := browser(t)
	for i, tc := range []struct {
		path string
		want int
	}{{"view", 0}, {"update", 1}, {"handle", 2}, {"plain", 3}} {
		a, err := send(c, "POST", address+"/datastar/"+tc.path)
		if n := strings.Count(a.body, fmt.Sprintf(">%d<", tc.want)); err != nil || a.status != 200 || n != 2 || a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %d %q, %v", tc.path, a.status, a.body, err)
		}
		if a.cookies() == 1 != (i == 0) {
			t.Errorf("%s: cookies %q", tc.path, a.header["Set-Cookie"])
		}
		if first := i == 0; strings.Contains(a.header.Get("Cache-Control"), "private") != first {
			t.Errorf("%s: Cache-Control %q", tc.path, a.header["Cache-Control"])
		}
	}
	for _, path := range []string{"view", "update", "handle"} {
		a, err := send(c, "POST", address+"/datastar/"+path+"?fail")
		if err != nil || a.status != 403 || a.body != "Forbidden\n" || a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s that fails: %+v, %v", path, a, err)
		}
	}
	if log := s.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}
