package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Proves W6.
func TestStatusOfEveryCode(t *testing.T) {
	for code, status := range map[stay.Code]int{
		stay.ErrUnknown:     503,
		stay.ErrNested:      500,
		stay.ErrMalformed:   400,
		stay.ErrInvalid:     422,
		stay.ErrNotFound:    404,
		stay.ErrDenied:      403,
		stay.ErrNoSession:   500,
		stay.ErrEnded:       401,
		stay.ErrConflict:    409,
		stay.ErrBusy:        503,
		stay.ErrUnavailable: 503,
		stay.ErrTooLarge:    413,
		stay.ErrCorrupt:     500,
		stay.ErrClosed:      503,
		stay.ErrInternal:    500,
		"one of tomorrow's": 500,
	} {
		s := newSite(t)
		secret := errors.New("hunter2")
		for name, err := range map[string]error{
			"bare":    code,
			"wrapped": fmt.Errorf("%w: %w", code, secret),
			"full":    &stay.Error{Code: code, Module: "counter", Action: "add", Phase: "run", KeyHash: "c0ffee", Err: secret},
		} {
			handle := web.Handle(func(http.ResponseWriter, *http.Request) error { return err })
			plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, err) })
			for how, h := range map[string]http.Handler{"Handle": handle, "Error": plain} {
				a := send(t, browser(web.Sessions(s.app, nil)(h)), "GET", "/", "")
				a.want(t, status, http.StatusText(status)+"\n")
				if got := a.header.Get("Retry-After"); (got == "1") != (status == 503 && code != stay.ErrUnknown) {
					t.Errorf("%s %s %s: Retry-After %q", code, name, how, got)
				}
			}
		}
		logged := strings.Contains(s.log.String(), "hunter2")
		if want := status >= 500; logged != want {
			t.Errorf("%s: cause logged: %v, want %v", code, logged, want)
		}
		if status == 500 {
			for _, want := range []string{"module=counter", "action=add", "phase=run", "key_hash=c0ffee", "level=ERROR"} {
				if !strings.Contains(s.log.String(), want) {
					t.Errorf("%s: the log lacks %s:\n%s", code, want, s.log)
				}
			}
		}
	}
}

// An unknown error is a 500 without its text, and nothing changes.
//
// Proves B2, W6.
func TestUnknownErrorsAreNotShown(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(nil))
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	send(t, c, "POST", "/fail", "").want(t, 500, "Internal Server Error\n")
	send(t, c, "GET", "/view", "").want(t, 200, "1")
	if log := s.log.String(); !strings.Contains(log, "hunter2") || !strings.Contains(log, "fail") {
		t.Errorf("the log lacks the cause or the action:\n%s", log)
	}
}

// Proves W6.
func TestErrorBodyFitsTheClient(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(http.ResponseWriter, *http.Request) error {
		return stay.Invalid("name", "<b> & co")
	}))
	const (
		text     = "name: <b> & co\n"
		fragment = `<div role="alert">name: &lt;b&gt; &amp; co</div>` + "\n"
		asJSON   = `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"name: \u003cb\u003e \u0026 co","error":{"code":"invalid","message":"name: \u003cb\u003e \u0026 co","fields":{"name":"\u003cb\u003e \u0026 co"}}}` + "\n"
	)
	for _, tc := range []struct {
		name   string
		header []string
		body   string
	}{
		{"anything", []string{"Accept", "*/*"}, text},
		{"nothing said", nil, text},
		{"browser", []string{"Accept", "text/html,application/xhtml+xml,application/json;q=0.9"}, text},
		{"json", []string{"Accept", "application/json"}, asJSON},
		{"a problem", []string{"Accept", "application/problem+json"}, asJSON},
		{"json in a list", []string{"Accept", "application/json, text/plain, */*"}, asJSON},
		{"sends json", []string{"Content-Type", "application/json; charset=utf-8"}, asJSON},
		{"sends a kind of json", []string{"Content-Type", "application/merge-patch+json"}, asJSON},
		{"senseless type", []string{"Content-Type", "a/b/c"}, text},
		{"sends json, shows html", []string{"Content-Type", "application/json", "Accept", "text/html"}, text},
		{"htmx", []string{"Hx-Request", "true", "Accept", "*/*"}, fragment},
		{"htmx 4", []string{"Hx-Request", "true", "Accept", "text/html, text/event-stream"}, fragment},
		{"htmx that sends json", []string{"Hx-Request", "true", "Content-Type", "application/json"}, fragment},
		{"htmx that asks for json", []string{"Hx-Request", "true", "Accept", "application/json"}, asJSON},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := send(t, browser(h), "POST", "/", "", tc.header...)
			a.want(t, 422, tc.body)
			want := map[string]string{text: "text/plain; charset=utf-8", fragment: "text/html; charset=utf-8", asJSON: "application/problem+json"}[tc.body]
			if got := a.header.Get("Content-Type"); got != want {
				t.Errorf("Content-Type %q", got)
			}
			if a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff")
			}
		})
	}
}

// Proves W6.
func TestMessagesOfErrors(t *testing.T) {
	s := newSite(t)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"message":             {&stay.Error{Code: stay.ErrDenied, Message: "members only", Err: errors.New("hunter2")}, "members only\n"},
		"cause with one":      {&stay.Error{Code: stay.ErrDenied, Message: "outer", Err: stay.Invalid("", "inner")}, "outer\n"},
		"none, but its cause": {&stay.Error{Code: stay.ErrInvalid, Err: stay.Invalid("", "inner")}, "inner\n"},
		"fields alone":        {&stay.Error{Code: stay.ErrInvalid, Fields: map[string]string{"b": "2", "a": "1"}}, "a: 1\nb: 2\n"},
		"joined":              {errors.Join(stay.Invalid("a", "1"), stay.Invalid("", "whole")), "a: 1\nwhole\n"},
		"wrapped":             {fmt.Errorf("saving hunter2: %w", stay.Invalid("a", "1")), "a: 1\n"},
	} {
		h := web.Sessions(s.app, nil)(web.Handle(func(http.ResponseWriter, *http.Request) error { return tc.err }))
		if a := send(t, browser(h), "POST", "/", ""); a.body != tc.want {
			t.Errorf("%s: %q, want %q", name, a.body, tc.want)
		}
	}
}

func TestOptionsError(t *testing.T) {
	s := newSite(t)
	o := &web.Options{Error: func(w http.ResponseWriter, r *http.Request, status int, err error) {
		switch r.URL.Path {
		case "/silent":
			return
		case "/other":
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Content-Type", "text/x-own")
		fmt.Fprintf(w, "own %d %s", status, stay.CodeOf(err))
	}}
	h := web.Sessions(s.app, o)(web.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		fmt.Fprint(w, "half")
		return stay.ErrBusy
	}))
	a := send(t, browser(h), "GET", "/", "")
	a.want(t, 503, "own 503 busy")
	if a.header.Get("Retry-After") != "1" || a.header.Get("Content-Type") != "text/x-own" {
		t.Errorf("header %v", a.header)
	}
	send(t, browser(h), "GET", "/silent", "").want(t, 503, "")
	send(t, browser(h), "GET", "/other", "").want(t, 418, "own 503 busy")
	// Everything that is refused before a handler goes the same way.
	send(t, browser(h), "POST", "/", "", "Sec-Fetch-Site", "cross-site").want(t, 403, "own 403 denied")

	// What is cut off is no answer: the built-in one comes in its place.
	o.MaxResponse = 10
	h = web.Sessions(s.app, o)(web.Handle(func(http.ResponseWriter, *http.Request) error { return stay.ErrBusy }))
	a = send(t, browser(h), "GET", "/", "")
	a.want(t, 503, "Service Unavailable\n")
	if a.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(s.log.String(), "wrote more than Options.MaxResponse") {
		t.Errorf("header %v, log %s", a.header, s.log)
	}
}

// A response that could not be flushed or taken over has sent nothing, so the
// client gets the error.
//
// Proves W6.
func TestErrorAfterAFailedHijack(t *testing.T) {
	s := newSite(t)
	for name, try := range map[string]func(*http.ResponseController) error{
		"Hijack": func(c *http.ResponseController) error { _, _, err := c.Hijack(); return err },
		"Flush":  func(c *http.ResponseController) error { return c.Flush() },
	} {
		h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := try(http.NewResponseController(w)); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%s: %v", name, err)
			}
			web.Error(w, r, stay.ErrNotFound)
		}))
		rec := httptest.NewRecorder()
		h.ServeHTTP(struct{ http.ResponseWriter }{rec}, httptest.NewRequest("GET", "/", nil))
		if rec.Code != 404 || rec.Body.String() != "Not Found\n" {
			t.Errorf("%s: %d %q", name, rec.Code, rec.Body)
		}
	}
}

// What a plain handler had said of the body it did not write is taken back.
//
// Proves W6.
func TestErrorClearsWhatDescribedTheBody(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("X-Other", "stays")
		web.Error(w, r, stay.ErrNotFound)
	}))
	a := send(t, browser(h), "GET", "/", "")
	a.want(t, 404, "Not Found\n")
	if a.header.Get("Content-Length") != "" || a.header.Get("Cache-Control") != "" || a.header.Get("Etag") != "" || a.header.Get("X-Other") != "stays" {
		t.Errorf("header %v", a.header)
	}
}

// After the first byte there is nothing to answer any more: it is logged.
//
// Proves W6.
func TestErrorAfterTheHeaderIsOnlyLogged(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Etag")
		fmt.Fprint(w, "page")
		w.Header().Set("Etag", `"1"`)
		web.Error(w, r, errors.New("too late"))
		web.Error(w, r, nil)
	}))
	srv := httptest.NewServer(h)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "page" || res.StatusCode != 200 || res.Trailer.Get("Etag") != `"1"` {
		t.Errorf("%d %q, %v, trailers %v", res.StatusCode, b, err, res.Trailer)
	}
	if !strings.Contains(s.log.String(), "too late") {
		t.Error("not logged")
	}
}

// Error in a buffered handler replaces what it wrote so far.
//
// Proves W6.
func TestErrorInsideHandle(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("X-Half", "yes")
		fmt.Fprint(w, "half")
		web.Error(w, r, stay.ErrNotFound)
		return nil
	}))
	a := send(t, browser(h), "GET", "/", "")
	a.want(t, 404, "Not Found\n")
	if a.header.Get("X-Half") != "" {
		t.Error("the header of the failed response is there")
	}
	web.Error(nil, nil, nil) // does nothing
}

// A client that leaves is no failure.
//
// Proves W6.
func TestCancelledRequestIsNotLoggedAsAnError(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("query: %w", r.Context().Err())
	}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://app.test/", nil)
	if _, err := (inProcess{h}).RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	if s.log.String() != "" {
		t.Errorf("logged:\n%s", s.log)
	}
}

// A browser's request from another site that could change something is refused
// before the handler runs.
//
// Proves W7.
func TestCrossOriginRequestsAreRefused(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	victim := browser(h)
	send(t, victim, "POST", "/update", "").want(t, 200, "1")
	for _, tc := range []struct {
		name   string
		method string
		header []string
		status int
	}{
		{"cross-site post", "POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same-site post", "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"old browser", "POST", []string{"Origin", "http://evil.test"}, 403},
		{"null origin", "POST", []string{"Origin", "null"}, 403},
		{"same origin", "POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed by the user", "POST", []string{"Sec-Fetch-Site", "none"}, 200},
		{"old browser, same origin", "POST", []string{"Origin", "http://app.test"}, 200},
		{"no browser", "POST", nil, 200},
		{"link", "GET", []string{"Sec-Fetch-Site", "cross-site"}, 200},
	} {
		path := "/update"
		if tc.method == "GET" {
			path = "/view"
		}
		if a := send(t, victim, tc.method, path, "", tc.header...); a.status != tc.status {
			t.Errorf("%s: %d %q, want %d", tc.name, a.status, a.body, tc.status)
		}
	}
	send(t, victim, "GET", "/view", "").want(t, 200, "5") // 1 and the four that passed
	send(t, victim, "POST", "/update", "", "Sec-Fetch-Site", "cross-site", "Accept", "application/json").
		want(t, 403, `{"type":"about:blank","title":"Forbidden","status":403,"detail":"this request came from another site","error":{"code":"denied","message":"this request came from another site"}}`+"\n")
}

// Proves W7.
func TestCrossOriginOption(t *testing.T) {
	s := newSite(t)
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin("https://shop.test"); err != nil {
		t.Fatal(err)
	}
	protection.AddInsecureBypassPattern("POST /increment")
	h := s.routes(&web.Options{CrossOrigin: protection})
	foreign := []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}
	if a := send(t, browser(h), "POST", "/update", "", foreign...); a.status != 403 {
		t.Errorf("a foreign origin: %d", a.status)
	}
	send(t, browser(h), "POST", "/increment", "", foreign...).want(t, 200, "1")
	send(t, browser(h), "POST", "/update", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://shop.test").want(t, 200, "1")
}
