package web_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A connection that is taken over before the cookie was sent is reported,
// unless the handler has asked for the header, to send it itself, or has sent
// it.
//
// Proves W2.
func TestACookieLostByHijackIsReported(t *testing.T) {
	answer := func(conn net.Conn, h http.Header) {
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n")
		_ = h.Write(conn)
		fmt.Fprint(conn, "\r\n")
	}
	hijack := func(t *testing.T, w http.ResponseWriter) net.Conn {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, tc := range []struct {
		name    string
		handler func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request)
		cookie  bool
		log     string
	}{
		{"not sent", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Frame-Options", "DENY") // before there is a cookie
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			conn := hijack(t, w)
			defer conn.Close()
			answer(conn, nil)
		}, false, "pass w.Header() to the WebSocket upgrader"},
		{"passed to the upgrader", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			h := w.Header()
			conn := hijack(t, w)
			defer conn.Close()
			answer(conn, h)
		}, true, ""},
		{"asked for afterwards", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			conn := hijack(t, w)
			defer conn.Close()
			answer(conn, w.Header())
		}, true, ""},
		{"not sent, to a connection", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			conn := hijack(t, w)
			defer conn.Close()
			answer(conn, nil)
			if s.log.String() == "" {
				t.Error("the client may know the answer before it is reported")
			}
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, ok := conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
				t.Errorf("the connection is a %T", conn)
			}
		}, false, "pass w.Header() to the WebSocket upgrader"},
		{"not sent, through the buffer", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if err := buf.Flush(); err != nil {
				t.Error(err)
			}
			if s.log.String() == "" {
				t.Error("the client may know the answer before it is reported")
			}
		}, false, "pass w.Header() to the WebSocket upgrader"},
		{"written by net/http", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			if err := s.increase(r); err != nil {
				t.Error(err)
			}
			w.Header().Set("Upgrade", "echo")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			_ = hijack(t, w).Close()
		}, true, ""},
		{"used too late", func(t *testing.T, s *site, w http.ResponseWriter, r *http.Request) {
			conn := hijack(t, w)
			defer conn.Close()
			answer(conn, nil)
			if err := s.increase(r); stay.CodeOf(err) != stay.ErrInternal {
				t.Errorf("use after the connection was taken over: %v", err)
			}
			if n := s.store.writes.Load(); n != 0 {
				t.Errorf("%d records were written", n)
			}
		}, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			done := make(chan struct{})
			srv := httptest.NewServer(web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				tc.handler(t, s, w, r)
			})))
			defer srv.Close()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			<-done
			if got := len(res.Header["Set-Cookie"]) == 1; got != tc.cookie {
				t.Errorf("cookies %q", res.Header["Set-Cookie"])
			}
			if log := s.log.String(); tc.log == "" && log != "" || !strings.Contains(log, tc.log) {
				t.Errorf("the log says %q, want %q", log, tc.log)
			}
		})
	}
}

// A connection that is closed without an answer is reported, too.
//
// Proves W2.
func TestAConnectionClosedWithoutAnAnswerIsReported(t *testing.T) {
	s := newSite(t)
	sessions := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.increase(r); err != nil {
			t.Error(err)
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		sessions.ServeHTTP(w, r)
	}))
	defer srv.Close()
	if res, err := srv.Client().Post(srv.URL, "", nil); err == nil {
		_ = res.Body.Close()
		t.Errorf("an answer: %d", res.StatusCode)
	}
	<-over
	if log := s.log.String(); !strings.Contains(log, "a connection was taken over before") {
		t.Errorf("the log says %q", log)
	}
}
