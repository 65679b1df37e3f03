// Package wrappers_test checks web.Sessions together with middleware that Go
// programs have around it and inside of it, and writes the table of
// docs/routers.md.
package wrappers_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A counter is the state that the tests serve.
type counter struct {
	Count int `json:"count"`
}

func increment(c *counter) error {
	c.Count++
	return nil
}

// padding makes answers long enough for every compressor.
var padding = strings.Repeat("a long answer. ", 300)

// A site is an App with handlers of each kind and its log.
type site struct {
	app   *stay.App
	state *stay.State[counter]
	log   *lines
	mux   *http.ServeMux
	next  chan struct{} // signals to the stream that an event has arrived
}

// lines is what an App logs at the default level.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{log: &lines{}, mux: http.NewServeMux(), next: make(chan struct{}, 3)}
	s.app = stay.New(memstore.New(), &stay.Options{Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	t.Cleanup(func() {
		if err := s.app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.state = stay.Register(s.app, stay.Module[counter]{Name: "counter", Persist: stay.PerSession})
	s.routes()
	return s
}

// routes serves each kind of handler with each way to end, below /{kind}/{end}.
func (s *site) routes() {
	finish := func(w http.ResponseWriter, r *http.Request, c *counter) error {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Etag", `"of the page"`)
		fmt.Fprintf(w, "%d %s", c.Count, padding)
		switch r.PathValue("end") {
		case "error":
			return &stay.Error{Code: stay.ErrDenied, Message: padding}
		case "panic":
			panic("boom")
		case "abort":
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	s.mux.Handle("GET /view/{end}", web.View(s.state, finish))
	s.mux.Handle("POST /update/{end}", web.Update(s.state, func(w http.ResponseWriter, r *http.Request, c *counter) error {
		c.Count++
		return finish(w, r, c)
	}))
	s.mux.HandleFunc("POST /plain/{end}", func(w http.ResponseWriter, r *http.Request) {
		c, err := s.state.Update(r.Context(), increment)
		end := r.PathValue("end")
		if err == nil && end == "ok" {
			err = finish(w, r, c)
		} else if err == nil {
			// The error, or the panic, comes before the header is sent.
			err = finish(nowhere{w.Header()}, r, c)
		}
		web.Error(w, r, err)
	})
	s.mux.HandleFunc("GET /stream", s.stream)
}

// nowhere is a ResponseWriter that has a header and sends nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// stream answers with three events, each when the last one has arrived.
func (s *site) stream(w http.ResponseWriter, r *http.Request) {
	if _, err := s.state.Update(r.Context(), increment); err != nil {
		web.Error(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", i)
		if err := http.NewResponseController(w).Flush(); err != nil {
			fmt.Fprintf(w, "data: cannot flush\n\n")
			return
		}
		select {
		case <-s.next:
		case <-time.After(5 * time.Second):
			fmt.Fprintf(w, "data: arrived late\n\n")
			return
		}
	}
}

// serve starts a server and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of panics
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// browser returns a client with its own cookies. It makes a new connection for
// each request, so it does not repeat a request that was cut off.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}
}

// An answer is a response that has been read, and decompressed if its header
// says so.
type answer struct {
	status int
	header http.Header
	body   string
}

// cookies is the number of session cookies that the answer sets.
func (a answer) cookies() int {
	n := 0
	for _, line := range a.header["Set-Cookie"] {
		if strings.HasPrefix(line, "stay=") {
			n++
		}
	}
	return n
}

// open sends a request and returns the response with a body that is
// decompressed as it is read.
func open(c *http.Client, method, url string) (*http.Response, error) {
	r, err := http.NewRequest(method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if encoding := res.Header.Get("Content-Encoding"); encoding == "gzip" {
		unzipped, err := gzip.NewReader(res.Body)
		if err != nil {
			return nil, errors.Join(err, res.Body.Close())
		}
		res.Body = struct {
			io.Reader
			io.Closer
		}{unzipped, res.Body}
	}
	return res, nil
}

// send sends a request and reads the response.
func send(c *http.Client, method, url string) (answer, error) {
	res, err := open(c, method, url)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body)}, err
}
