package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/web"
)

// protocols runs a test with a server of each version of HTTP.
func protocols(t *testing.T, test func(t *testing.T, srv *httptest.Server, start func())) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[h2], func(t *testing.T) {
			wantNoGoroutines(t)
			srv := httptest.NewUnstartedServer(nil)
			srv.EnableHTTP2 = h2
			defer srv.Close()
			test(t, srv, func() {
				if h2 {
					srv.StartTLS()
				} else {
					srv.Start()
				}
			})
			srv.CloseClientConnections()
		})
	}
}

// wantNoGoroutines checks at the end of a test that it has left no goroutine.
func wantNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// net/http ends its goroutines a moment after it has closed connections.
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}

// line reads a stream up to a line that contains the text.
func line(t *testing.T, b *bufio.Reader, text string) {
	t.Helper()
	for {
		got, err := b.ReadString('\n')
		if err != nil {
			t.Fatalf("reading up to %q: %v", text, err)
		}
		if strings.Contains(got, text) {
			return
		}
	}
}

// Streams outlive the timeouts of their server, with and without messages.
//
// Proves L13.
func TestStreamsOutliveTheTimeoutsOfTheServer(t *testing.T) {
	protocols(t, func(t *testing.T, srv *httptest.Server, start func()) {
		s := newLiveSite(t, nil)
		srv.Config.Handler = s.h
		const timeout = 300 * time.Millisecond
		srv.Config.ReadTimeout, srv.Config.WriteTimeout, srv.Config.IdleTimeout = timeout, timeout, timeout
		start()
		res, err := srv.Client().Get(srv.URL + "/public")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b := bufio.NewReader(res.Body)
		line(t, b, "id: ")
		for i := range 3 {
			<-time.After(2 * timeout)
			s.publish(t, fmt.Sprint("n", i))
			line(t, b, fmt.Sprint("data: n", i))
		}
	})
}

// A server that shuts down is not held up by streams, however many: they end, and
// their clients are told when to come back.
//
// Proves L17.
func TestShutdownEndsStreams(t *testing.T) {
	protocols(t, func(t *testing.T, srv *httptest.Server, start func()) {
		s := newLiveSite(t, nil)
		srv.Config.Handler = s.h
		start()
		c := srv.Client()
		const streams = 1000
		var bodies []*bufio.Reader
		for range streams {
			res, err := c.Get(srv.URL + "/public")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b := bufio.NewReader(res.Body)
			line(t, b, "id: ")
			bodies = append(bodies, b)
		}
		before := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := srv.Config.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d streams held Shutdown up for %v", streams, time.Since(before))
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		for i, b := range bodies {
			if rest, err := io.ReadAll(b); err != nil || !strings.Contains(string(rest), "retry: ") {
				t.Fatalf("client %d was not told when to come back: %q, %v", i, rest, err)
			}
		}
	})
}

// A stream that begins while its server shuts down, as its request was on its way,
// ends at once and does not hold that up, if the server has had another request
// before.
//
// Proves L17.
func TestStreamsThatBeginInAShutdownEnd(t *testing.T) {
	for name, before := range map[string]string{"the first stream": "/renew", "a later stream": "/public"} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, srv *httptest.Server, start func()) {
				s := newLiveSite(t, nil)
				arrived, gate := make(chan struct{}), make(chan struct{})
				srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/live" {
						close(arrived)
						<-gate
					}
					s.h.ServeHTTP(w, r)
				})
				start()
				res, err := srv.Client().Get(srv.URL + before)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				type answer struct {
					text string
					err  error
				}
				answers := make(chan answer, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				go func() {
					r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/live", nil)
					if err != nil {
						answers <- answer{err: err}
						return
					}
					res, err := srv.Client().Do(r)
					if err != nil {
						answers <- answer{err: err}
						return
					}
					defer res.Body.Close()
					text, err := io.ReadAll(res.Body)
					answers <- answer{string(text), err}
				}()
				<-arrived
				begun, over := make(chan struct{}), make(chan error, 1)
				srv.Config.RegisterOnShutdown(func() { close(begun) })
				go func() { over <- srv.Config.Shutdown(ctx) }()
				<-begun
				from := time.Now()
				close(gate)
				// The server tells it in goroutines, so there may be a look.
				if a := <-answers; a.err != nil || !strings.Contains(a.text, "retry: ") {
					t.Errorf("the stream got %q, %v", a.text, a.err)
				}
				if took := time.Since(from); took > time.Second {
					t.Errorf("the stream ended after %v", took)
				}
				if err := <-over; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A pipes is a listener whose connections are in memory, for bubbles.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// dial begins a connection and sends a request.
func (p *pipes) dial(t *testing.T, path string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	p.conns <- theirs
	if _, err := fmt.Fprintf(ours, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return ours
}

// A connection of net/http whose client reads nothing ends after 30 s, and nothing
// that it holds up is left.
//
// Proves L13.
func TestConnectionsThatAreNotReadEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		ln := newPipes()
		over := make(chan struct{}, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.h.ServeHTTP(w, r)
			over <- struct{}{}
		})}
		served := make(chan error)
		go func() { served <- srv.Serve(ln) }()
		conn := ln.dial(t, "/public")
		b := bufio.NewReader(conn)
		line(t, b, "id: ")
		settle()
		s.publish(t, "1")
		line(t, b, "data: 1")
		settle()
		s.publish(t, "2") // nobody reads any more
		sleep(24 * time.Second)
		select {
		case <-over:
			t.Fatal("the stream has ended")
		default:
		}
		sleep(7 * time.Second)
		<-over
		conn.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// A client of Datastar, which takes a clean end for good, sees its connection break,
// with all that was sent before.
//
// Proves L16.
func TestEndsOfStreamsOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, &web.Options{Live: web.LiveOptions{MaxAge: time.Minute}})
		ln := newPipes()
		srv := &http.Server{Handler: s.h}
		served := make(chan error)
		go func() { served <- srv.Serve(ln) }()
		for _, d := range dialects {
			c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				ln.conns <- theirs
				return ours, nil
			}}}
			r, err := http.NewRequest("GET", "http://app.test/public", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = clientHeaders[d]
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if broken := errors.Is(err, io.ErrUnexpectedEOF); broken != d.Breaks() {
				t.Errorf("dialect %d: the end is %v", d, err)
			}
			if n := strings.Count(string(body), "retry: "); n != 2 {
				t.Errorf("dialect %d: told %d times when to come back: %q", d, n, body)
			}
			res.Body.Close()
			c.CloseIdleConnections()
			synctest.Wait()
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// A middleware that holds the response back gets a stream that ends, and the log
// says why.
//
// Proves L21.
func TestStreamsThatCannotFlushEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		p := newTab(t, http.TimeoutHandler(s.h, time.Minute, "late"), browser(s.h), "/public")
		p.open()
		if !p.over() || p.wire.status != 200 || !strings.Contains(s.log.String(), "http.TimeoutHandler cannot stand before a stream") {
			t.Errorf("%d, %q", p.wire.status, s.log)
		}
		p.ended(30*time.Second, 30*time.Second)
	})
}
