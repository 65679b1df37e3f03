package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// caller is a browser that talks to a server without net/http.
type caller struct {
	t      *testing.T
	begin  func(*http.Request) (*web.Visit, error)
	cookie string
}

// call makes one visit and returns the header of its response.
func (c *caller) call(f func(ctx context.Context, v *web.Visit)) http.Header {
	c.t.Helper()
	v, err := c.begin(&http.Request{Method: "POST", Host: "app.test", Header: http.Header{"Cookie": {"stay=" + c.cookie}}})
	if err != nil {
		c.t.Fatal(err)
	}
	f(v.Context(), v)
	header := v.End()
	for _, line := range header["Set-Cookie"] {
		if _, value, _ := attributes(line); value != c.cookie {
			c.cookie = value
		}
	}
	return header
}

func (s *site) count(ctx context.Context, t *testing.T) int {
	t.Helper()
	c, err := s.counter.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c.Count
}

func (s *site) increment(ctx context.Context) error {
	_, err := s.counter.Do(ctx, "increment", nil)
	return err
}

// A visit that uses the session returns the headers that a response behind
// Sessions has, and the next visit with its cookie finds the state. A visit
// that does not use it returns no headers.
//
// Proves W2.
func TestVisitsCarryTheSessionsCookie(t *testing.T) {
	s := newSite(t)
	c := &caller{t: t, begin: web.Visits(s.app, nil)}
	if header := c.call(func(context.Context, *web.Visit) {}); len(header) != 0 {
		t.Errorf("a visit that uses nothing carries %v", header)
	}
	header := c.call(func(ctx context.Context, _ *web.Visit) {
		if err := s.increment(ctx); err != nil {
			t.Fatal(err)
		}
	})
	behind := send(t, browser(s.routes(nil)), "POST", "/increment", "").header
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Vary"} {
		if n := len(header[name]); n != 1 || len(behind[name]) != 1 {
			t.Errorf("%s: %q, behind Sessions %q", name, header[name], behind[name])
		} else if name != "Set-Cookie" && header.Get(name) != behind.Get(name) {
			t.Errorf("%s: %q, behind Sessions %q", name, header.Get(name), behind.Get(name))
		}
	}
	name, _, rest := attributes(header.Get("Set-Cookie"))
	wantName, _, wantRest := attributes(behind.Get("Set-Cookie"))
	if name != wantName || len(rest) != len(wantRest) {
		t.Errorf("the cookie %s %q, behind Sessions %s %q", name, rest, wantName, wantRest)
	}
	header = c.call(func(ctx context.Context, _ *web.Visit) {
		if n := s.count(ctx, t); n != 1 {
			t.Errorf("the next visit finds %d", n)
		}
	})
	if len(header["Set-Cookie"]) != 0 || header.Get("Vary") != "Cookie" {
		t.Errorf("a visit of a known session carries %v", header)
	}
	before := c.cookie
	c.call(func(ctx context.Context, _ *web.Visit) {
		if err := stay.SessionFrom(ctx).Login(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
	})
	if c.cookie == before {
		t.Error("a login sets no new cookie")
	}
	c.call(func(ctx context.Context, _ *web.Visit) {
		if user := stay.SessionFrom(ctx).User(); user != "ann" {
			t.Errorf("after the login the user is %q", user)
		}
	})
}

// When a visit has ended, a session that its browser does not know yet cannot
// begin: nothing is stored. A known one goes on, but gets no new cookie. The
// header stays what it was.
//
// Proves W2.
func TestAnEndedVisitIssuesNoCookie(t *testing.T) {
	s := newSite(t)
	c := &caller{t: t, begin: web.Visits(s.app, nil)}
	c.call(func(ctx context.Context, v *web.Visit) {
		v.End()
		before := s.store.writes.Load()
		if err := s.increment(ctx); !errors.Is(err, stay.ErrInternal) {
			t.Errorf("a first use after the end: %v", err)
		}
		if n := s.store.writes.Load(); n != before {
			t.Errorf("a first use after the end writes %d records", n-before)
		}
	})
	c.call(func(ctx context.Context, _ *web.Visit) {
		if err := s.increment(ctx); err != nil {
			t.Fatal(err)
		}
	})
	known := c.cookie
	header := c.call(func(ctx context.Context, v *web.Visit) {
		v.End()
		if err := s.increment(ctx); err != nil {
			t.Errorf("a known session after the end: %v", err)
		}
		if err := stay.SessionFrom(ctx).Login(ctx, "ann"); !errors.Is(err, stay.ErrInternal) {
			t.Errorf("a login after the end: %v", err)
		}
	})
	if c.cookie != known || len(header["Set-Cookie"]) != 0 {
		t.Errorf("after the end a cookie is issued: %v", header)
	}
}

// The end of a visit does not race with a first use: either the cookie is in the
// header or the use has failed.
//
// Proves W2.
func TestTheEndOfAVisitMeetsItsFirstUse(t *testing.T) {
	s := newSite(t)
	begin := web.Visits(s.app, nil)
	for range 50 {
		v, err := begin(&http.Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var used error
		var headers [2]http.Header
		wg.Go(func() { used = s.increment(v.Context()) })
		for i := range headers {
			wg.Go(func() { headers[i] = v.End() })
		}
		wg.Wait()
		for _, h := range headers {
			if (len(h["Set-Cookie"]) == 1) != (used == nil) {
				t.Fatalf("the use ended with %v, the header is %v", used, h)
			}
		}
	}
}

// Requests from other origins that could change anything, or that switch to
// another protocol, begin no visit, however their header is written.
//
// Proves W7.
func TestVisitsFromOtherOriginsAreRefused(t *testing.T) {
	s := newSite(t)
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("/hook/")
	standard, open := web.Visits(s.app, nil), web.Visits(s.app, &web.Options{CrossOrigin: protection})
	for name, tc := range map[string]struct {
		begin   func(*http.Request) (*web.Visit, error)
		request http.Request
		refused bool
	}{
		"another site, as it says": {standard, http.Request{Method: "POST", Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, true},
		"names in lower case":      {standard, http.Request{Method: "POST", Header: http.Header{"sec-fetch-site": {"cross-site"}}}, true},
		"another origin":           {standard, http.Request{Method: "POST", Host: "app.test", Header: http.Header{"origin": {"https://evil.test"}}}, true},
		"no method":                {standard, http.Request{Host: "app.test", Header: http.Header{"Origin": {"https://evil.test"}}}, true},
		"a WebSocket":              {standard, http.Request{Method: "GET", Host: "app.test", Header: http.Header{"origin": {"https://evil.test"}, "upgrade": {"websocket"}}}, true},
		"a link of another site":   {standard, http.Request{Method: "GET", Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, false},
		"the same origin":          {standard, http.Request{Method: "POST", Host: "app.test", Header: http.Header{"Origin": {"https://app.test"}}}, false},
		"no browser":               {standard, http.Request{Method: "POST"}, false},
		"a pattern that passes":    {open, http.Request{Method: "POST", URL: &url.URL{Path: "/hook/x"}, Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, false},
		"no URL and patterns":      {open, http.Request{Method: "POST", Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, true},
	} {
		v, err := tc.begin(&tc.request)
		var e *stay.Error
		switch {
		case !tc.refused && (err != nil || v == nil):
			t.Errorf("%s: %v", name, err)
		case tc.refused && (v != nil || !errors.As(err, &e) || e.Code != stay.ErrDenied || e.Message == ""):
			t.Errorf("%s: visit %v, error %v", name, v, err)
		}
	}
}

// The options for the names and the reading of cookies are those of Sessions,
// and both serve one session.
//
// Proves W1.
func TestVisitsTakeTheOptionsOfSessions(t *testing.T) {
	s := newSite(t)
	o := &web.Options{Cookie: "shop", TrustProxy: true}
	jar := browser(s.routes(o))
	cookie := send(t, jar, "POST", "https://app.test/increment", "", "X-Forwarded-Proto", "https").header.Get("Set-Cookie")
	name, value, _ := attributes(cookie)
	begin := web.Visits(s.app, o)
	for proto, want := range map[string]int{"https": 1, "http": 0} {
		v, err := begin(&http.Request{Method: "POST", Header: http.Header{"cookie": {name + "=" + value}, "x-forwarded-proto": {proto}}})
		if err != nil {
			t.Fatal(err)
		}
		if n := s.count(v.Context(), t); n != want {
			t.Errorf("by %s a visit finds %d, want %d", proto, n, want)
		}
		if set := v.End().Get("Set-Cookie"); want == 0 && !strings.HasPrefix(set, "shop=") {
			t.Errorf("by %s the cookie is %q", proto, set)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no App makes visits")
		}
	}()
	web.Visits(nil, nil)
}

// A visit that loads a page resets what page loads reset, before its handler
// runs, and fails if that fails.
//
// Proves W4.
func TestVisitsThatLoadAPageReset(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	page := stay.Register(app, stay.Module[Counter]{Name: "page", Persist: stay.PerSession, ResetOnPageLoad: true})
	begin := web.Visits(app, nil)
	v, err := begin(&http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := page.Update(v.Context(), func(c *Counter) error { c.Count = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	_, value, _ := attributes(v.End().Get("Set-Cookie"))
	for i, want := range []struct{ mode, dest string }{{"cors", "empty"}, {"navigate", "document"}} {
		v, err := begin(&http.Request{Method: "GET", Header: http.Header{
			"Cookie": {"stay=" + value}, "sec-fetch-mode": {want.mode}, "sec-fetch-dest": {want.dest},
		}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := page.Get(v.Context())
		if err != nil || c.Count != 7*(1-i) {
			t.Errorf("after a request with mode %s: %v, %v", want.mode, c, err)
		}
	}
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err = begin(&http.Request{Method: "GET", Header: http.Header{
		"Cookie": {"stay=" + value}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	}})
	if v != nil || !errors.Is(err, stay.ErrClosed) {
		t.Errorf("a reset that fails: visit %v, error %v", v, err)
	}
}

// A visit keeps nothing of its request: a server may use the memory again.
//
// Proves W1.
func TestVisitsKeepNothingOfTheRequest(t *testing.T) {
	s := newSite(t)
	c := &caller{t: t, begin: web.Visits(s.app, nil)}
	c.call(func(ctx context.Context, _ *web.Visit) {
		if err := s.increment(ctx); err != nil {
			t.Fatal(err)
		}
	})
	memory := []byte("stay=" + c.cookie)
	v, err := c.begin(&http.Request{Method: "GET", Header: http.Header{"Cookie": {unsafe.String(&memory[0], len(memory))}}})
	if err != nil {
		t.Fatal(err)
	}
	clear(memory)
	if n := s.count(v.Context(), t); n != 1 {
		t.Errorf("when the server uses the memory again the visit finds %d", n)
	}
}

// If a request comes through Visits or Sessions twice, the outer one counts, and
// the handlers of package web work with the context of a visit.
//
// Proves W2.
func TestVisitsInsideOfOthers(t *testing.T) {
	s := newSite(t)
	begin := web.Visits(s.app, nil)
	outer, err := begin(&http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := begin((&http.Request{Method: "POST"}).WithContext(outer.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.increment(inner.Context()); err != nil {
		t.Fatal(err)
	}
	if header := inner.End(); header != nil {
		t.Errorf("the inner visit carries %v", header)
	}
	w := httptest.NewRecorder()
	s.routes(nil).ServeHTTP(w, httptest.NewRequestWithContext(inner.Context(), "POST", "/increment", nil))
	if w.Code != 200 || w.Body.String() != "2" || len(w.Header()["Set-Cookie"]) != 0 {
		t.Errorf("a handler in a visit: %d %q %v", w.Code, w.Body, w.Header())
	}
	if header := outer.End(); len(header["Set-Cookie"]) != 1 {
		t.Errorf("the outer visit carries %v", header)
	}
}

// A printed visit shows nothing of its cookie.
//
// Proves W1.
func TestPrintingAVisitShowsNoSecret(t *testing.T) {
	s := newSite(t)
	c := &caller{t: t, begin: web.Visits(s.app, nil)}
	for range 2 {
		c.call(func(ctx context.Context, v *web.Visit) {
			if err := s.increment(ctx); err != nil {
				t.Fatal(err)
			}
			if header := v.End(); len(header["Set-Cookie"]) == 1 {
				_, c.cookie, _ = attributes(header.Get("Set-Cookie"))
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
				for _, value := range []any{v, *v, []*web.Visit{v}, struct{ v *web.Visit }{v}, v.Context()} {
					if text := fmt.Sprintf(verb, value); strings.Contains(text, c.cookie) || strings.Contains(text, "Cookie") {
						t.Errorf("%s of a %T shows the cookie: %s", verb, value, text)
					}
				}
			}
		})
	}
}
