package web_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/web"
)

// around is a middleware as others write them: it wraps the writer and lets
// http.ResponseController see through.
func around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&wrapped{ResponseWriter: w}, r)
	})
}

type wrapped struct{ http.ResponseWriter }

func (w *wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// orders are the places where Sessions can stand.
func orders(s *site, h http.Handler) map[string]http.Handler {
	sessions := web.Sessions(s.app, nil)
	return map[string]http.Handler{
		"alone": sessions(h),
		"outer": sessions(around(h)),
		"inner": around(sessions(h)),
	}
}

// Each event of a stream arrives before the next is made, with the cookie in
// the header.
//
// Proves W2.
func TestStreams(t *testing.T) {
	s := newSite(t)
	next := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.counter.Get(r.Context())
		if err != nil {
			web.Error(w, r, err)
			return
		}
		rc := http.NewResponseController(w)
		if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("SetWriteDeadline: %v", err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", c.Count+i)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			} else if err := rc.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	for name, h := range orders(s, h) {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(h)
			defer srv.Close()
			res, err := srv.Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if len(res.Header["Set-Cookie"]) != 1 || res.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("header %v", res.Header)
			}
			lines := bufio.NewScanner(res.Body)
			for i := range 3 {
				if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
					t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
				}
				lines.Scan() // the empty line that ends the event
				next <- struct{}{}
			}
		})
	}
}

// Proves W2.
func TestHijack(t *testing.T) {
	for _, hijack := range []struct {
		name string
		take func(http.ResponseWriter) (net.Conn, error)
	}{
		{"Hijacker", func(w http.ResponseWriter) (net.Conn, error) {
			hj, ok := w.(http.Hijacker)
			if !ok {
				return nil, errors.New("not a Hijacker")
			}
			conn, _, err := hj.Hijack()
			return conn, err
		}},
		{"ResponseController", func(w http.ResponseWriter) (net.Conn, error) {
			conn, _, err := http.NewResponseController(w).Hijack()
			return conn, err
		}},
	} {
		s := newSite(t)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := s.counter.Get(r.Context()); err != nil {
				web.Error(w, r, err)
				return
			}
			w.Header().Set("Upgrade", "echo")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, err := hijack.take(w)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "ahoy\n"); err != nil {
				t.Error(err)
			}
		})
		for name, h := range orders(s, h) {
			if hijack.name == "Hijacker" && name == "outer" {
				continue // the middleware inside is no Hijacker, with or without Sessions
			}
			t.Run(hijack.name+"/"+name, func(t *testing.T) {
				srv := httptest.NewServer(h)
				defer srv.Close()
				conn, err := net.Dial("tcp", srv.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
				br := bufio.NewReader(conn)
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode != 101 || len(res.Header["Set-Cookie"]) != 1 {
					t.Errorf("status %d, cookies %q", res.StatusCode, res.Header["Set-Cookie"])
				}
				if line, err := br.ReadString('\n'); line != "ahoy\n" {
					t.Errorf("read %q, %v", line, err)
				}
			})
		}
	}
}

// A handler that writes the answer itself finds the cookie in the header, and
// nothing can be issued any more.
//
// Proves W2.
func TestHijackBeforeTheHeader(t *testing.T) {
	s := newSite(t)
	use := true
	srv := httptest.NewServer(web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if use {
			if _, err := s.counter.Get(r.Context()); err != nil {
				t.Error(err)
			}
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if use != (len(w.Header()["Set-Cookie"]) == 1) {
			t.Errorf("cookies %q", w.Header()["Set-Cookie"])
		}
		if _, err := s.counter.Get(r.Context()); use != (err == nil) {
			t.Errorf("use after the connection was taken: %v", err)
		}
		io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})))
	defer srv.Close()
	send(t, srv.Client(), "GET", srv.URL, "").want(t, 204, "")
	use = false
	send(t, srv.Client(), "GET", srv.URL, "").want(t, 204, "")
}

// If the server cannot hijack or flush, the error says so.
//
// Proves W2.
func TestNotSupportedBelow(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
		if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v", err)
		}
		w.(http.Flusher).Flush()
	}))
	h.ServeHTTP(&bareWriter{header: http.Header{}}, httptest.NewRequest("GET", "/", nil))
}

type bareWriter struct{ header http.Header }

func (w *bareWriter) Header() http.Header         { return w.header }
func (w *bareWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *bareWriter) WriteHeader(int)             {}

// Informational answers come before the header: the state may still be used.
//
// Proves W2.
func TestInformationalAnswersAreNotTheHeader(t *testing.T) {
	s := newSite(t)
	srv := httptest.NewServer(web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		if _, err := s.counter.Get(r.Context()); err != nil {
			web.Error(w, r, err)
			return
		}
		io.WriteString(w, "ok")
	})))
	defer srv.Close()
	a := send(t, srv.Client(), "GET", srv.URL, "")
	a.want(t, 200, "ok")
	if a.cookie(t) == "" {
		t.Error("no cookie")
	}
}

// A file reaches the server's own ReadFrom.
func TestReadFromReachesTheServer(t *testing.T) {
	s := newSite(t)
	below := &copier{ResponseRecorder: httptest.NewRecorder()}
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// A reader without WriteTo, so that io.Copy asks the writer.
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("file")})
	}))
	h.ServeHTTP(below, httptest.NewRequest("GET", "/", nil))
	if below.copied != 4 || !bytes.Equal(below.Body.Bytes(), []byte("file")) {
		t.Errorf("%d bytes by ReadFrom, body %q", below.copied, below.Body)
	}
}

type copier struct {
	*httptest.ResponseRecorder
	copied int64
}

func (c *copier) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseRecorder, r)
	c.copied += n
	return n, err
}
