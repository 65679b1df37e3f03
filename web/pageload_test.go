package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// Draft is state of a page, but for the name.
type Draft struct {
	Text string `json:"text"`
	Name string `json:"name" stay:"preserve"`
}

// drafts serves a module that page loads reset. "/" shows the state, which
// POST fills first; "/shell" uses none.
func (s *site) drafts() (*stay.State[Draft], *http.ServeMux) {
	draft := stay.Register(s.app, stay.Module[Draft]{Name: "draft", Persist: stay.PerSession, ResetOnPageLoad: true})
	mux := http.NewServeMux()
	mux.HandleFunc("/", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		d, err := draft.Get(r.Context())
		if r.Method == "POST" {
			d, err = draft.Update(r.Context(), func(d *Draft) error { *d = Draft{"typed", "ann"}; return nil })
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%s/%s", d.Text, d.Name)
		}
		return err
	}))
	mux.HandleFunc("/shell", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "shell") })
	return draft, mux
}

const (
	pageAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	navigation = "Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: document; Sec-Fetch-Site: none; Accept: " + pageAccept
	partial    = "Sec-Fetch-Mode: cors; Sec-Fetch-Dest: empty; Sec-Fetch-Site: same-origin; HX-Request: true; "
)

// Which request is a page load.
//
// Proves B6, W4.
func TestPageLoadsByHeaders(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		method  string
		headers string // separated by "; "
		want    bool
	}{
		{"a navigation is one", "GET", navigation, true},
		{"so is a reload", "GET", navigation + "; Cache-Control: max-age=0", true},
		{"and a link from another site", "GET", "Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: document; Sec-Fetch-Site: cross-site", true},
		{"HEAD is no page load", "HEAD", navigation, false},
		{"OPTIONS is no page load", "OPTIONS", navigation, false},
		{"a form that is posted is no page load, its redirect is one", "POST", navigation, false},
		{"an iframe is no page load", "GET", "Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: iframe; Accept: " + pageAccept, false},
		{"an embedded object is no page load", "GET", "Sec-Fetch-Mode: navigate; Sec-Fetch-Dest: embed; Accept: " + pageAccept, false},
		{"a prefetched page is no page load", "GET", navigation + "; Sec-Purpose: prefetch", false},
		{"a prerendered page is no page load", "GET", navigation + "; Sec-Purpose: prefetch;prerender", false},
		{"a link that is prefetched is no page load", "GET", "Sec-Fetch-Mode: no-cors; Sec-Fetch-Dest: empty; Sec-Purpose: prefetch; Accept: " + pageAccept, false},
		{"a prefetch without Sec-Fetch headers is no page load", "GET", "Sec-Purpose: prefetch; Accept: " + pageAccept, false},
		{"a prefetch with the older name of the header is no page load", "GET", "Purpose: prefetch; Accept: " + pageAccept, false},
		{"a preview is no page load", "GET", "X-Purpose: preview; Accept: " + pageAccept, false},
		{"a prefetch by Firefox is no page load", "GET", "X-Moz: prefetch; Accept: " + pageAccept, false},
		{"fetch is no page load, with any Accept", "GET", "Sec-Fetch-Mode: cors; Sec-Fetch-Dest: empty; Accept: " + pageAccept, false},
		{"one Sec-Fetch header is enough to tell", "GET", "Sec-Fetch-Site: same-origin; Accept: " + pageAccept, false},
		{"an image is no page load", "GET", "Sec-Fetch-Mode: no-cors; Sec-Fetch-Dest: image", false},

		{"hx-get of htmx 2 is no page load", "GET", partial + "Accept: */*; HX-Target: n", false},
		{"hx-get of htmx 4 is no page load", "GET", "Sec-Fetch-Mode: same-origin; Sec-Fetch-Dest: empty; HX-Request: true; HX-Request-Type: partial; Accept: text/html, text/event-stream", false},
		{"hx-get into the body is no page load", "GET", partial + "HX-Request-Type: full; Accept: text/html", false},
		{"hx-get without Sec-Fetch headers is no page load", "GET", "HX-Request: true; Accept: text/html", false},
		{"any header of htmx is enough", "GET", navigation + "; HX-Current-URL: http://app.test/", false},
		{"a boosted link is one", "GET", partial + "HX-Boosted: true; Accept: */*", true},
		{"also without Sec-Fetch headers", "GET", "HX-Request: true; HX-Boosted: true; Accept: */*", true},
		{"a boosted form that is posted is no page load", "POST", partial + "HX-Boosted: true", false},
		{"HEAD of a boosted link is no page load", "HEAD", partial + "HX-Boosted: true", false},
		{"a boosted link that is preloaded is no page load", "GET", partial + "HX-Boosted: true; HX-Preloaded: true", false},
		{"a history restore of htmx 2 is one", "GET", partial + "HX-History-Restore-Request: true; Accept: */*", true},
		{"a history restore of htmx 4 is one", "GET", "Sec-Fetch-Mode: cors; Sec-Fetch-Dest: empty; HX-History-Restore-Request: true; HX-Request-Type: full; Accept: text/html, text/event-stream", true},
		{"Datastar is no page load", "GET", "Datastar-Request: true; Accept: text/event-stream", false},
		{"Datastar is no page load, with any other header", "GET", navigation + "; Datastar-Request: true", false},

		{"without Sec-Fetch headers HTML is a page", "GET", "Accept: " + pageAccept, true},
		{"in any case of letters", "GET", "Accept: Text/HTML", true},
		{"and in any of the lines", "GET", "Accept: image/png; Accept: text/html", true},
		{"an event stream is no page load", "GET", "Accept: text/event-stream", false},
		{"an event stream or HTML is no page load", "GET", "Accept: text/html, text/event-stream", false},
		{"a program that takes anything loads no page", "GET", "Accept: */*", false},
		{"a WebSocket is no page load", "GET", "Connection: Upgrade; Upgrade: websocket", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newSite(t)
			_, mux := s.drafts()
			client := browser(web.Sessions(s.app, nil)(mux))
			send(t, client, "POST", "/", "").want(t, 200, "typed/ann")
			var header []string
			for line := range strings.SplitSeq(tc.headers, "; ") {
				name, value, _ := strings.Cut(line, ": ")
				header = append(header, name, value)
			}
			// The page is a shell that uses no state itself.
			a := send(t, client, tc.method, "/shell", "", header...)
			if a.status != 200 {
				t.Fatalf("%s: %d %s", tc.method, a.status, a.body)
			}
			want, control := "typed/ann", ""
			if tc.want {
				want, control = "/ann", "private, no-store"
			}
			if got := a.header.Get("Cache-Control"); got != control {
				t.Errorf("Cache-Control is %q, want %q", got, control)
			}
			send(t, client, "GET", "/", "").want(t, 200, want)
		})
	}
}

func pageHeaders() []string {
	return []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", pageAccept}
}

// The handler of the page sees what the reset left.
//
// Proves W4.
func TestPageIsRenderedAfterTheReset(t *testing.T) {
	s := newSite(t)
	_, mux := s.drafts()
	c := browser(web.Sessions(s.app, nil)(mux))
	send(t, c, "POST", "/", "").want(t, 200, "typed/ann")
	send(t, c, "GET", "/", "", pageHeaders()...).want(t, 200, "/ann")
}

// Page loads without a cookie, or with an invalid one, begin no session and
// store nothing.
//
// Proves B1, W4.
func TestPageLoadGivesNoSession(t *testing.T) {
	s := newSite(t)
	_, mux := s.drafts()
	h := web.Sessions(s.app, nil)(mux)
	for _, cookie := range []string{"", "stay=forged", "stay=", "stay=a; stay=b"} {
		header := pageHeaders()
		if cookie != "" {
			header = append(header, "Cookie", cookie)
		}
		a := send(t, browser(h), "GET", "/shell", "", header...)
		a.want(t, 200, "shell")
		for _, name := range []string{"Set-Cookie", "Cache-Control", "Vary"} {
			if a.header.Get(name) != "" {
				t.Errorf("with %q the answer has %s: %q", cookie, name, a.header.Get(name))
			}
		}
	}
	if n := s.store.writes.Load(); n > 1 { // the signing key may be one
		t.Errorf("%d records were written", n)
	}
}

// Where Sessions stands twice, a page load resets once, before anything in
// between has used state.
//
// Proves W4.
func TestPageLoadResetsOnceUnderTwoSessions(t *testing.T) {
	s := newSite(t)
	draft, mux := s.drafts()
	inner := web.Sessions(s.app, nil)(mux)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := draft.Update(r.Context(), func(d *Draft) error { d.Text = "in between"; return nil }); err != nil {
			t.Error(err)
		}
		inner.ServeHTTP(w, r)
	}))
	c := browser(h)
	send(t, c, "POST", "/", "").want(t, 200, "typed/ann")
	send(t, c, "GET", "/", "", pageHeaders()...).want(t, 200, "in between/ann")
}

// A page load that slides the session gives the browser its new cookie, as
// every use of the session does.
//
// Proves W4.
func TestPageLoadSlidesTheSession(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSite(t, func(o *stay.Options) { o.Clock = func() time.Time { return now } })
	_, mux := s.drafts()
	h := web.Sessions(s.app, nil)(mux)
	_, cookie, _ := attributes(send(t, browser(h), "POST", "/", "").cookie(t))
	header := append(pageHeaders(), "Cookie", "stay="+cookie)
	if got := send(t, browser(h), "GET", "/shell", "", header...).cookie(t); got != "" {
		t.Errorf("a fresh session was given another cookie: %s", got)
	}
	now = now.Add(12 * time.Hour)
	if got := send(t, browser(h), "GET", "/shell", "", header...).cookie(t); got == "" {
		t.Error("the cookie did not slide")
	}
}

// The middleware judges the request that came in, not what the handlers behind
// it make of it; a request from another site is refused before it can reset
// anything.
//
// Proves W4, W7.
func TestRefusedRequestsResetNothing(t *testing.T) {
	s := newSite(t)
	_, mux := s.drafts()
	c := browser(web.Sessions(s.app, nil)(mux))
	send(t, c, "POST", "/", "").want(t, 200, "typed/ann")
	a := send(t, c, "POST", "/shell", "", append(pageHeaders(), "Sec-Fetch-Site", "cross-site")...)
	if a.status != http.StatusForbidden {
		t.Fatalf("a form of another site: %d", a.status)
	}
	send(t, c, "GET", "/", "").want(t, 200, "typed/ann")
}

// failing is a store whose writes are rejected while it is switched on.
type failing struct {
	store.Store
	fail bool
}

func (f *failing) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if !f.fail {
		return f.Store.Commit(ctx, groups)
	}
	out := make([]store.Result, len(groups))
	for i := range out {
		out[i] = store.Result{Outcome: store.Rejected, Err: errors.New("disk full")}
	}
	return out
}

// A page whose state cannot be reset is not shown as if it had been: it is
// answered with the error, in the form that the client can read. Partial
// requests go on.
//
// Proves W4, W6.
func TestPageLoadFailureIsAnswered(t *testing.T) {
	s := newSite(t)
	f := &failing{Store: s.store.Store}
	s.store.Store = f
	_, mux := s.drafts()
	h := web.Sessions(s.app, nil)(mux)
	c := browser(h)
	send(t, c, "POST", "/", "").want(t, 200, "typed/ann")
	f.fail = true
	a := send(t, c, "GET", "/", "", pageHeaders()...)
	a.want(t, http.StatusServiceUnavailable, "the store is not available\n")
	if a.header.Get("Retry-After") == "" || a.header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("the error may be cached, or does not say when to try again: %v", a.header)
	}
	boosted := send(t, c, "GET", "/", "", "HX-Request", "true", "HX-Boosted", "true")
	if boosted.status != http.StatusServiceUnavailable || !strings.Contains(boosted.body, `role="alert"`) {
		t.Errorf("htmx got %d %q", boosted.status, boosted.body)
	}
	send(t, c, "GET", "/", "").want(t, 200, "typed/ann")
	f.fail = false
	send(t, c, "GET", "/", "", pageHeaders()...).want(t, 200, "/ann")
	if !strings.Contains(s.log.String(), "disk full") {
		t.Errorf("the cause is not logged: %s", s.log)
	}
}
