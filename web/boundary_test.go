package web_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// An exchange is one request of a test, and what is to come of it.
type exchange struct {
	name    string
	body    func() io.Reader // nil: the form a=1
	trailer http.Header      // of the request
	cut     bool             // the server cuts the connection; plain handlers only
	// handle is the handler. buffered tells whether it is one of Handle, View,
	// Update and Do.
	handle func(t *testing.T, w http.ResponseWriter, r *http.Request, buffered bool)
	// outside is called by what stands around Sessions when the handler is
	// through; read is false for Update and Do, which have read the body.
	outside func(t *testing.T, r *http.Request, read bool)
	// answered is called with the response, whose body has been read.
	answered func(t *testing.T, res *http.Response, hints int, buffered bool)
}

// unsupported checks the errors that a buffered handler gets from methods that
// need the connection.
func unsupported(t *testing.T, what string, err error, buffered bool) {
	t.Helper()
	if buffered != errors.Is(err, http.ErrNotSupported) || !buffered && err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

var exchanges = []exchange{
	{
		name: "declared trailers",
		handle: func(_ *testing.T, w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Trailer", "X-Sum, x-rest")
			_, _ = io.WriteString(w, "ok")
			w.Header().Set("X-Sum", "1")
			w.Header().Set("X-Rest", "2")
		},
		answered: wantTrailers("1", "2"),
	},
	{
		name: "declared trailers without a body",
		handle: func(_ *testing.T, w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Sum", "1")
		},
		answered: wantTrailers("1", ""),
	},
	{
		name: "trailers nobody declared",
		handle: func(_ *testing.T, w http.ResponseWriter, _ *http.Request, _ bool) {
			_, _ = io.WriteString(w, "ok")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
			if f, ok := w.(http.Flusher); ok {
				f.Flush() // so that HTTP/1.1 does not count the bytes
			}
		},
		answered: wantTrailers("1", ""),
	},
	{
		name: "early hints",
		handle: func(_ *testing.T, w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "ok")
		},
		answered: func(t *testing.T, res *http.Response, hints int, buffered bool) {
			want := 1
			if buffered {
				want = 0 // a run may be repeated, a hint cannot be taken back
			}
			if hints != want || res.StatusCode != 200 || res.Header.Get("Link") == "" {
				t.Errorf("%d hints, status %d, header %v", hints, res.StatusCode, res.Header)
			}
		},
	},
	{
		name: "flush and deadlines",
		handle: func(t *testing.T, w http.ResponseWriter, r *http.Request, buffered bool) {
			rc := http.NewResponseController(w)
			unsupported(t, "SetWriteDeadline", rc.SetWriteDeadline(time.Now().Add(time.Minute)), buffered)
			unsupported(t, "SetReadDeadline", rc.SetReadDeadline(time.Now().Add(time.Minute)), buffered)
			unsupported(t, "EnableFullDuplex", rc.EnableFullDuplex(), buffered)
			_, _ = io.WriteString(w, "ok")
			if err := rc.Flush(); err != nil { // a buffered handler keeps back what was written
				t.Errorf("Flush: %v", err)
			}
			if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 {
				t.Errorf("the body, read after an answer has begun: %q, %v", b, err)
			}
		},
	},
	{
		name: "a read deadline that is over",
		body: func() io.Reader { return unfinished{} },
		cut:  true,
		handle: func(t *testing.T, w http.ResponseWriter, r *http.Request, _ bool) {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read beyond the deadline: %v", err)
			}
		},
	},
	{
		name: "hijack",
		handle: func(t *testing.T, w http.ResponseWriter, r *http.Request, buffered bool) {
			conn, _, err := http.NewResponseController(w).Hijack()
			unsupported(t, "Hijack", err, buffered || r.ProtoMajor == 2)
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				_ = conn.Close()
			}
		},
	},
	{
		name:   "the route",
		handle: func(*testing.T, http.ResponseWriter, *http.Request, bool) {},
		outside: func(t *testing.T, r *http.Request, _ bool) {
			if r.Pattern != "POST /{kind}/{rest...}" || r.PathValue("kind") == "" || r.PathValue("rest") != "a/b" {
				t.Errorf("outside the route is %q, with %q and %q", r.Pattern, r.PathValue("kind"), r.PathValue("rest"))
			}
		},
	},
	{
		name: "a parsed form",
		handle: func(t *testing.T, _ http.ResponseWriter, r *http.Request, _ bool) {
			if r.FormValue("a") != "1" {
				t.Errorf("inside the form is %v", r.Form)
			}
		},
		outside: func(t *testing.T, r *http.Request, _ bool) {
			if r.Form.Get("a") != "1" || r.PostForm.Get("a") != "1" {
				t.Errorf("outside the form is %v, %v", r.Form, r.PostForm)
			}
		},
	},
	{
		name:   "a body that nobody has read",
		handle: func(*testing.T, http.ResponseWriter, *http.Request, bool) {},
		outside: func(t *testing.T, r *http.Request, read bool) {
			want := "a=1"
			if read {
				want = ""
			}
			if b, err := io.ReadAll(r.Body); string(b) != want || err != nil {
				t.Errorf("outside the body is %q, %v", b, err)
			}
		},
	},
	{
		name: "a body that was replaced",
		handle: func(t *testing.T, w http.ResponseWriter, r *http.Request, _ bool) {
			r.Body = http.MaxBytesReader(w, r.Body, 2)
			if _, err := io.ReadAll(r.Body); !errors.As(err, new(*http.MaxBytesError)) {
				t.Errorf("inside: %v", err)
			}
		},
		outside: func(t *testing.T, r *http.Request, _ bool) {
			if b, err := io.ReadAll(r.Body); string(b) != "" || err != nil {
				t.Errorf("outside the rest is %q, %v", b, err)
			}
		},
	},
	{
		name:    "trailers of the request",
		body:    func() io.Reader { return io.MultiReader(strings.NewReader("a=1")) }, // in chunks
		trailer: http.Header{"X-Sum": {"sent"}},
		handle: func(t *testing.T, _ http.ResponseWriter, r *http.Request, _ bool) {
			if _, err := io.ReadAll(r.Body); err != nil || r.Trailer.Get("X-Sum") != "sent" {
				t.Errorf("inside the trailers are %v, %v", r.Trailer, err)
			}
		},
		outside: func(t *testing.T, r *http.Request, _ bool) {
			if r.Trailer.Get("X-Sum") != "sent" {
				t.Errorf("outside the trailers are %v", r.Trailer)
			}
		},
	},
}

func wantTrailers(sum, rest string) func(*testing.T, *http.Response, int, bool) {
	return func(t *testing.T, res *http.Response, _ int, _ bool) {
		if res.Trailer.Get("X-Sum") != sum || res.Trailer.Get("X-Rest") != rest {
			t.Errorf("trailers %v, want %q and %q", res.Trailer, sum, rest)
		}
		if res.Header.Get("X-Sum") != "" || res.Header.Get("X-Rest") != "" {
			t.Errorf("trailers in the header, too: %v", res.Header)
		}
	}
}

// unfinished is a body whose end the client never sends.
type unfinished struct{}

func (unfinished) Read(p []byte) (int, error) { return copy(p, "x"), nil }

// What a handler does to its request and its response has the same effect as
// without Sessions, also seen from outside. What buffering rules out is an
// error.
//
// Proves W2, W5.
func TestTheBoundaryWithNetHTTP(t *testing.T) {
	s := newSite(t)
	var current exchange
	var test *testing.T
	mux := http.NewServeMux()
	fn := func(buffered bool) func(w http.ResponseWriter, r *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			current.handle(test, w, r, buffered)
			return nil
		}
	}
	plain := s.bothKinds(func(http.ResponseWriter, *http.Request, error) {}, fn(false))["plain"]
	handlers := s.bothKinds(nil, fn(true))
	handlers["plain"] = plain
	mux.HandleFunc("POST /{kind}/{rest...}", func(w http.ResponseWriter, r *http.Request) { handlers[r.PathValue("kind")].ServeHTTP(w, r) })
	sessions := web.Sessions(s.app, nil)(mux)
	over := make(chan struct{}, 1)
	outermost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { over <- struct{}{} }()
		sessions.ServeHTTP(w, r)
		if current.outside != nil {
			kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			current.outside(test, r, kind == "Update" || kind == "Do")
		}
	})
	overBoth(t, outermost, func(t *testing.T, srv *httptest.Server) {
		for kind := range handlers {
			for _, x := range exchanges {
				t.Run(kind+"/"+x.name, func(t *testing.T) {
					if x.cut && kind != "plain" {
						return
					}
					current, test = x, t
					var body io.Reader = strings.NewReader("a=1")
					if x.body != nil {
						body = x.body()
					}
					hints := 0
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
						if code == http.StatusEarlyHints {
							hints++
						}
						return nil
					}})
					r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/"+kind+"/a/b", body)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Content-Type", formType)
					r.Trailer = x.trailer
					res, err := srv.Client().Do(r)
					<-over
					if x.cut {
						if err == nil {
							_ = res.Body.Close()
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					b, err := io.ReadAll(res.Body)
					if err != nil || res.StatusCode != 200 {
						t.Errorf("status %d, body %q, %v", res.StatusCode, b, err)
					}
					if x.answered != nil {
						x.answered(t, res, hints, kind != "plain")
					}
				})
			}
		}
	})
}

// A function that gives up its answer has not failed: the panic goes on as it
// is, nothing is changed, and nothing is logged.
func TestAnAbortedAnswerIsNoFailure(t *testing.T) {
	var told []string
	s := newSite(t, func(o *stay.Options) {
		o.OnError = func(_ *stay.Call, e *stay.Error) { told = append(told, e.Error()) }
	})
	mux := http.NewServeMux()
	mux.Handle("/", s.routes(nil))
	mux.Handle("/Count", web.Update(s.counter, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count = 1000
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}))
	for kind, h := range s.bothKinds(nil, func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }) {
		mux.Handle("/"+kind, h)
	}
	c := browser(web.Sessions(s.app, nil)(mux))
	send(t, c, "GET", "/view", "")
	for _, kind := range []string{"Count", "Update", "View", "Handle", "Do", "plain"} {
		func() {
			defer func() {
				p := recover()
				if err, _ := p.(error); !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s: the panic is %v", kind, p)
				}
			}()
			a := send(t, c, "POST", "/"+kind, "")
			t.Errorf("%s: an answer: %d %q", kind, a.status, a.body)
		}()
	}
	if len(told) > 0 || s.log.String() != "" {
		t.Errorf("OnError gets %q, the log says %q", told, s.log)
	}
	send(t, c, "GET", "/view", "").want(t, 200, "1") // that of Do
}

// A handler goes on after http.TimeoutHandler has answered for it, and what it
// does then has no effect, inside or outside of Sessions.
//
// Proves W2.
func TestALateHandlerReachesNobody(t *testing.T) {
	s := newSite(t)
	sessions := web.Sessions(s.app, nil)
	timed := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Millisecond, "timeout") }
	for kind, h := range s.bothKinds(web.Error, func(w http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		_, _ = io.WriteString(w, "late")
		return errors.New("too late")
	}) {
		late := make(chan struct{}, 1)
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { late <- struct{}{} }()
			h.ServeHTTP(w, r)
		})
		for where, stack := range map[string]http.Handler{"inside": sessions(timed(slow)), "outside": timed(sessions(slow))} {
			t.Run(kind+"/TimeoutHandler "+where, func(t *testing.T) {
				srv := httptest.NewServer(stack)
				defer srv.Close()
				send(t, srv.Client(), "POST", srv.URL, "").want(t, http.StatusServiceUnavailable, "timeout")
				<-late
			})
		}
	}
}
