package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/web"
)

// Proves W2.
func TestCookieComesWithFirstUseOnly(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	c := browser(h)
	a := send(t, c, "GET", "/plain", "")
	a.want(t, 200, "plain")
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Vary"} {
		if a.header.Get(name) != "" {
			t.Errorf("a handler that uses no state answers with %s: %q", name, a.header.Get(name))
		}
	}
	if send(t, c, "GET", "/view", "").cookie(t) == "" {
		t.Error("no cookie at first use")
	}
	if got := send(t, c, "GET", "/view", "").cookie(t); got != "" {
		t.Errorf("the cookie was set again: %q", got)
	}
}

// Proves W2.
func TestNoCookieForGlobalState(t *testing.T) {
	s := newSite(t)
	type Hits struct {
		N int `json:"n"`
	}
	hits := stay.Register(s.app, stay.Module[Hits]{Name: "hits", Persist: stay.Global})
	h := web.Sessions(s.app, nil)(web.Update(hits, func(w http.ResponseWriter, _ *http.Request, v *Hits) error {
		v.N++
		_, err := fmt.Fprint(w, v.N)
		return err
	}))
	send(t, browser(h), "POST", "/", "").want(t, 200, "1")
	a := send(t, browser(h), "POST", "/", "")
	a.want(t, 200, "2")
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Vary"} {
		if a.header.Get(name) != "" {
			t.Errorf("global state answers with %s: %q", name, a.header.Get(name))
		}
	}
}

// Global state needs no session, so its handlers work without the middleware;
// state of a session does not.
//
// Proves W2.
func TestHandlersOutsideSessions(t *testing.T) {
	s := newSite(t)
	type Hits struct {
		N int `json:"n"`
	}
	hits := stay.Register(s.app, stay.Module[Hits]{Name: "hits", Persist: stay.Global})
	h := web.View(hits, func(w http.ResponseWriter, _ *http.Request, v *Hits) error {
		_, err := fmt.Fprint(w, v.N)
		return err
	})
	send(t, browser(h), "GET", "/", "").want(t, 200, "0")
	bare := web.View(s.counter, func(http.ResponseWriter, *http.Request, *Counter) error { return nil })
	send(t, browser(bare), "GET", "/", "").want(t, 500, "Internal Server Error\n")
}

// Proves W2.
func TestPrivateUnlessTheHandlerSaysOtherwise(t *testing.T) {
	s := newSite(t)
	for _, tc := range []struct {
		name                  string
		set                   func(http.Header)
		wantControl, wantVary string
	}{
		{"default", func(http.Header) {}, "private, no-store", "[Cookie]"},
		{"own control", func(h http.Header) { h.Set("Cache-Control", "max-age=60") }, "max-age=60", "[Cookie]"},
		{"own vary", func(h http.Header) { h.Set("Vary", "Accept") }, "private, no-store", "[Accept Cookie]"},
		{"vary cookie", func(h http.Header) { h.Set("Vary", "Accept, cookie") }, "private, no-store", "[Accept, cookie]"},
		{"vary all", func(h http.Header) { h.Set("Vary", "*") }, "private, no-store", "[*]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := web.Sessions(s.app, nil)(web.View(s.counter, func(w http.ResponseWriter, _ *http.Request, _ *Counter) error {
				tc.set(w.Header())
				return nil
			}))
			c := browser(h)
			send(t, c, "GET", "/", "") // gets the cookie
			for range 2 {
				a := send(t, c, "GET", "/", "")
				if got := a.header.Get("Cache-Control"); got != tc.wantControl {
					t.Errorf("Cache-Control %q, want %q", got, tc.wantControl)
				}
				if got := fmt.Sprint(a.header["Vary"]); got != tc.wantVary {
					t.Errorf("Vary %s, want %s", got, tc.wantVary)
				}
			}
		})
	}
}

// Proves W2.
func TestFirstUseAfterTheHeaderIsAnErrorAndStoresNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent func(http.ResponseWriter)
	}{
		{"WriteHeader", func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }},
		{"Write", func(w http.ResponseWriter) { fmt.Fprint(w, "x") }},
		{"WriteString", func(w http.ResponseWriter) { io.WriteString(w, "x") }},
		{"Flush", func(w http.ResponseWriter) { w.(http.Flusher).Flush() }},
		{"ReadFrom", func(w http.ResponseWriter) { _, _ = io.Copy(w, io.LimitReader(zeros{}, 3)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			var getErr, updateErr error
			h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tc.sent(w)
				_, getErr = s.counter.Get(r.Context())
				_, updateErr = s.counter.Update(r.Context(), func(c *Counter) error { c.Count++; return nil })
			}))
			c := browser(h)
			a := send(t, c, "POST", "/", "")
			if getErr == nil || stay.CodeOf(updateErr) != stay.ErrInternal {
				t.Errorf("Get: %v, Update: %v, want errors", getErr, updateErr)
			}
			if a.status != 200 || a.cookie(t) != "" {
				t.Errorf("got %d with the cookie %q", a.status, a.cookie(t))
			}
			if n := s.store.writes.Load(); n != 0 {
				t.Errorf("%d records were written", n)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A session that exists can be used at any time.
//
// Proves W2.
func TestLaterUseAfterTheHeaderWorks(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", s.routes(nil))
	mux.Handle("/late", web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		c, err := s.counter.Get(r.Context())
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		fmt.Fprint(w, c.Count)
	})))
	c := browser(mux)
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	send(t, c, "GET", "/late", "").want(t, 202, "1")
}

// If the middleware is used twice, there is still one session.
//
// Proves W2.
func TestSessionsTwiceIsOneSession(t *testing.T) {
	s := newSite(t)
	sessions := web.Sessions(s.app, nil)
	inner := sessions(web.Update(s.counter, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count++
		_, err := fmt.Fprint(w, c.Count)
		return err
	}))
	h := sessions(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.counter.Update(r.Context(), func(c *Counter) error { c.Count++; return nil }); err != nil {
			t.Error(err)
		}
		inner.ServeHTTP(w, r)
	}))
	c := browser(h)
	a := send(t, c, "POST", "/", "")
	a.want(t, 200, "2")
	if a.cookie(t) == "" {
		t.Error("no cookie")
	}
	send(t, c, "POST", "/", "").want(t, 200, "4")
}

// The session's cookie is sent together with the cookies of the handler.
//
// Proves W2.
func TestHandlersCookiesAreLeftAlone(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		if _, err := s.counter.Get(r.Context()); err != nil {
			web.Error(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "lang", Value: "de"})
	}))
	a := send(t, browser(h), "GET", "/", "")
	if n := len(a.header["Set-Cookie"]); n != 3 || a.cookie(t) == "" {
		t.Errorf("cookies %q, want theme, lang and one of the session", a.header["Set-Cookie"])
	}
}

// If a handler panics after a change, the answer that is sent instead still has
// the cookie, so the browser does not lose what was stored.
//
// Proves W2.
func TestCookieSurvivesARecoveredPanic(t *testing.T) {
	s := newSite(t)
	inner := web.Sessions(s.app, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := s.counter.Update(r.Context(), func(c *Counter) error { c.Count++; return nil }); err != nil {
			t.Error(err)
		}
		panic(errors.New("later"))
	}))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
			http.Error(w, "recovered", http.StatusInternalServerError)
		}()
		inner.ServeHTTP(w, r)
	})
	c := browser(h)
	a := send(t, c, "POST", "/", "")
	a.want(t, 500, "recovered\n")
	if a.cookie(t) == "" {
		t.Error("no cookie")
	}
	c.Transport = inProcess{s.routes(nil)}
	send(t, c, "GET", "/view", "").want(t, 200, "1")
}

// Requests without a cookie that change nothing leave nothing behind, however
// many there are.
//
// Proves B1.
func TestCookielessHitsKeepNothing(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	n := 100_000
	if raceEnabled {
		n = 2_000
	}
	c := &http.Client{Transport: inProcess{h}}
	hit := func(n int) {
		for range n {
			res, err := c.Get("http://app.test/view")
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 200 || len(res.Header["Set-Cookie"]) != 1 {
				t.Fatalf("status %d, cookies %q", res.StatusCode, res.Header["Set-Cookie"])
			}
		}
	}
	hit(500)
	before := heap()
	hit(n)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("the heap grew by %d bytes in %d requests", grown, n)
	}
	if got := s.store.writes.Load(); got > 1 { // the signing key, once
		t.Errorf("%d records were written", got)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Two browsers see their own numbers; a reset starts afresh.
//
// Proves B4, B7.
func TestEachBrowserHasItsOwnState(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	a, b := browser(h), browser(h)
	for i := 1; i <= 3; i++ {
		send(t, a, "POST", "/update", "").want(t, 200, fmt.Sprint(i))
	}
	send(t, b, "GET", "/view", "").want(t, 200, "0")
	send(t, b, "POST", "/increment", "").want(t, 200, "1")
	send(t, a, "POST", "/reset", "").want(t, 200, "0")
	send(t, a, "GET", "/view", "").want(t, 200, "0")
	send(t, b, "GET", "/view", "").want(t, 200, "1")
}

// The last token before the header goes out is the one sent, an empty one
// clears the browser's, and none is taken afterwards.
//
// Proves W1.
func TestLastTokenBeforeTheHeaderIsSent(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s := newSite(t, func(o *stay.Options) { o.Clock = func() time.Time { return now } })
	for _, tc := range []struct {
		name   string
		tokens []string
		want   string
	}{
		{"last of two", []string{"first", "second"}, "__Host-stay=second; Path=/; Expires=Wed, 04 Mar 2026 05:07:07 GMT; Max-Age=60; HttpOnly; Secure; SameSite=Lax"},
		{"cleared", []string{"first", ""}, "__Host-stay=; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; HttpOnly; Secure; SameSite=Lax"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c := w.(access.Carrier)
				for _, token := range tc.tokens {
					if !c.Open() || !c.Issue(token, now.Add(time.Minute)) {
						t.Error("refused before the header")
					}
				}
				w.WriteHeader(http.StatusOK)
				if c.Open() || c.Issue("late", now.Add(time.Minute)) {
					t.Error("taken after the header")
				}
			}))
			a := send(t, browser(h), "GET", "https://app.test/", "")
			if got := a.cookie(t); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
