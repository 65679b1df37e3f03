package wrappers_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/stay-go/stay/web"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// A wrapper is a middleware of another project.
type wrapper struct {
	name string
	wrap func(t *testing.T, next http.Handler) http.Handler
	// outer says that it is used only in front of Sessions.
	outer bool
}

// of returns the middleware as a wrapper's function.
func of(wrap func(http.Handler) http.Handler) func(*testing.T, http.Handler) http.Handler {
	return func(_ *testing.T, next http.Handler) http.Handler { return wrap(next) }
}

var wrappers = []wrapper{
	{name: "none", wrap: of(func(next http.Handler) http.Handler { return next })},
	{name: "`http.TimeoutHandler`", wrap: of(func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "timeout") })},
	{name: "`http.MaxBytesHandler`", wrap: of(func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 1<<20) })},
	{name: "chi `middleware.Compress`", wrap: of(middleware.Compress(5))},
	{name: "`handlers.CompressHandler` of gorilla", wrap: of(handlers.CompressHandler)},
	{name: "`gzhttp.GzipHandler` of klauspost", wrap: of(func(next http.Handler) http.Handler { return gzhttp.GzipHandler(next) })},
	{name: "the usual few lines with `gzip.NewWriter`", wrap: of(snippet)},
	{name: "`otelhttp`", wrap: traced},
	{name: "`httpsnoop`", wrap: of(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpsnoop.CaptureMetrics(next, w, r) })
	})},
	{name: "chi `middleware.Logger`", wrap: of(middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log.New(io.Discard, "", 0)}))},
	{name: "chi `middleware.Recoverer`", wrap: of(middleware.Recoverer)},
	{name: "`handlers.RecoveryHandler` of gorilla", wrap: of(handlers.RecoveryHandler(handlers.RecoveryLogger(log.New(io.Discard, "", 0))))},
	{name: "`httputil.ReverseProxy`", wrap: proxied, outer: true},
}

// snippet is the compressor that many programs have a copy of.
func snippet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		gz := gzip.NewWriter(w)
		defer gz.Close()
		next.ServeHTTP(gzipWriter{Writer: gz, ResponseWriter: w}, r)
	})
}

type gzipWriter struct {
	io.Writer
	http.ResponseWriter
}

func (w gzipWriter) Write(b []byte) (int, error) { return w.Writer.Write(b) }

// traced checks that otelhttp names a span after the route.
func traced(t *testing.T, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var last string
		otelhttp.NewHandler(next, "site", otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			last = r.Pattern
			return r.Method + " " + r.Pattern
		})).ServeHTTP(w, r)
		if last == "" {
			t.Errorf("otelhttp has not seen the route of %s", r.URL.Path)
		}
	})
}

// quiet stops chi's Recoverer inside of it from printing what it recovers.
func quiet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, middleware.WithLogEntry(r, entry{}))
	})
}

type entry struct{}

func (entry) Write(int, int, http.Header, time.Duration, any) {}
func (entry) Panic(any, []byte)                               {}

// proxied serves next on another server, behind a proxy.
func proxied(t *testing.T, next http.Handler) http.Handler {
	target, err := url.Parse(serve(t, next))
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// A stand is the place of a wrapper.
type stand struct {
	name  string
	stack func(t *testing.T, sessions func(http.Handler) http.Handler, wrap func(*testing.T, http.Handler) http.Handler, h http.Handler) http.Handler
}

var stands = []stand{
	{"outside", func(t *testing.T, sessions func(http.Handler) http.Handler, wrap func(*testing.T, http.Handler) http.Handler, h http.Handler) http.Handler {
		return wrap(t, sessions(h))
	}},
	{"inside", func(t *testing.T, sessions func(http.Handler) http.Handler, wrap func(*testing.T, http.Handler) http.Handler, h http.Handler) http.Handler {
		return sessions(wrap(t, h))
	}},
}

// With the middleware that Go programs use, outside of it and inside,
// web.Sessions serves pages, changes and errors as it does alone, and the
// cookie comes with the first use. Other differences are in the table of
// docs/routers.md, which this test writes.
//
// Proves W2, W5, W6.
func TestWrappers(t *testing.T) {
	var rows [][]string
	for _, w := range wrappers {
		for _, st := range stands {
			if w.outer && st.name == "inside" {
				continue
			}
			t.Run(w.name+"/"+st.name, func(t *testing.T) {
				s := newSite(t)
				routes := make(chan string, 1)
				sessions := web.Sessions(s.app, nil)
				address := serve(t, quiet(st.stack(t, func(next http.Handler) http.Handler {
					h := sessions(next)
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						h.ServeHTTP(w, r)
						if r.URL.RawQuery == "route" {
							routes <- r.Pattern + ", " + r.PathValue("end")
						}
					})
				}, w.wrap, s.mux)))
				row := []string{w.name, st.name, s.answers(t, address), s.ended(t, address, "panic"), s.ended(t, address, "abort"), s.streamed(t, address)}
				if _, err := send(browser(t), "GET", address+"/view/ok?route"); err != nil {
					t.Error(err)
				}
				seen := "no"
				if <-routes == "GET /view/{end}, ok" {
					seen = "yes"
				}
				rows = append(rows, append(row, seen))
				for line := range strings.Lines(s.log.String()) {
					if !strings.Contains(line, "panic: boom") { // of web.Update
						t.Errorf("the log says %s", line)
					}
				}
			})
		}
	}
	compareTable(t, rows)
}

// answers checks pages, changes and errors, each as the first use of a session
// and as a later one.
func (s *site) answers(t *testing.T, address string) string {
	for _, kind := range []string{"GET /view", "POST /update", "POST /plain"} {
		method, path, _ := strings.Cut(kind, " ")
		count := map[string]int{"GET /view": 0, "POST /update": 1, "POST /plain": 1}[kind]
		for _, order := range [][]string{{"ok", "error", "ok"}, {"error", "ok", "error"}} {
			c := browser(t)
			want := 0
			for i, end := range order {
				a, err := send(c, method, address+path+"/"+end)
				if err != nil {
					t.Errorf("%s/%s: %v", kind, end, err)
					continue
				}
				if end == "ok" || kind == "POST /plain" { // a plain handler's change is not undone
					want += count
				}
				status, body, etag := 200, fmt.Sprintf("%d %s", want, padding), `"of the page"`
				if end == "error" {
					status, body, etag = 403, padding+"\n", ""
				}
				if a.status != status || a.body != body || strings.Trim(a.header.Get("Etag"), "W/") != etag {
					t.Errorf("%s/%s: %d %.40q, want %d %.40q; header %v", kind, end, a.status, a.body, status, body, a.header)
				}
				if first := i == 0; a.cookies() == 1 != first {
					t.Errorf("%s/%s, request %d: cookies %q", kind, end, i, a.header["Set-Cookie"])
				}
			}
		}
	}
	return "yes"
}

// ended returns what a client sees if a handler panics, or gives up its answer.
func (s *site) ended(t *testing.T, address, end string) string {
	seen := map[string]bool{}
	for _, kind := range []string{"GET /view", "POST /update", "POST /plain"} {
		method, path, _ := strings.Cut(kind, " ")
		c := browser(t)
		a, err := send(c, method, address+path+"/"+end)
		what := "cut off"
		if err == nil {
			what = fmt.Sprint(a.status)
		}
		seen[what] = true
		if a.status == 500 && a.cookies() != 1 {
			t.Errorf("%s/%s: %d without a cookie", kind, end, a.status)
		}
		b, err := send(c, "GET", address+"/view/ok")
		want := "0 "
		if a.status == 500 && kind == "POST /plain" {
			want = "1 "
		}
		if err != nil || !strings.HasPrefix(b.body, want) {
			t.Errorf("after %s/%s the state is %.5q, want %s; %v", kind, end, b.body, want, err)
		}
	}
	if len(seen) != 1 {
		t.Errorf("%s ends in different ways: %v", end, seen)
	}
	for what := range seen {
		return what
	}
	return ""
}

// streamed returns how the events of a stream arrive.
func (s *site) streamed(t *testing.T, address string) string {
	res, err := open(browser(t), "GET", address+"/stream")
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	if n := (answer{header: res.Header}).cookies(); n != 1 {
		t.Errorf("stream: %d cookies", n)
	}
	events := bufio.NewScanner(res.Body)
	for i := 0; events.Scan(); {
		switch line := events.Text(); line {
		case "":
		case fmt.Sprintf("data: %d", i):
			i++
			s.next <- struct{}{}
			if i == 3 {
				return "yes"
			}
		case "data: cannot flush":
			return "no"
		default:
			t.Errorf("stream: %q", line)
			return line
		}
	}
	t.Errorf("stream: %v", events.Err())
	return ""
}
