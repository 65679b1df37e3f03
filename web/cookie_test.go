package web_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// attributes splits a Set-Cookie line.
func attributes(line string) (name, value string, rest []string) {
	parts := strings.Split(line, "; ")
	name, value, _ = strings.Cut(parts[0], "=")
	return name, value, parts[1:]
}

// Proves B2, W1.
func TestCookieAttributes(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, tc := range []struct {
		name       string
		url        string
		options    web.Options
		header     []string
		wantName   string
		wantSecure bool
	}{
		{name: "http", url: "http://app.test/view", wantName: "stay"},
		{name: "https", url: "https://app.test/view", wantName: "__Host-stay", wantSecure: true},
		{name: "proxy not trusted", url: "http://app.test/view", header: []string{"X-Forwarded-Proto", "https"}, wantName: "stay"},
		{name: "proxy", url: "http://app.test/view", options: web.Options{TrustProxy: true}, header: []string{"X-Forwarded-Proto", "HTTPS, http"}, wantName: "__Host-stay", wantSecure: true},
		{name: "proxy that ends http", url: "https://app.test/view", options: web.Options{TrustProxy: true}, header: []string{"X-Forwarded-Proto", "http"}, wantName: "stay"},
		{name: "proxy that says nothing", url: "https://app.test/view", options: web.Options{TrustProxy: true}, wantName: "__Host-stay", wantSecure: true},
		{name: "always", url: "http://app.test/view", options: web.Options{Secure: web.SecureAlways}, wantName: "__Host-stay", wantSecure: true},
		{name: "never", url: "https://app.test/view", options: web.Options{Secure: web.SecureNever}, wantName: "stay"},
		{name: "own name", url: "https://app.test/view", options: web.Options{Cookie: "sid"}, wantName: "__Host-sid", wantSecure: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, func(o *stay.Options) { o.Clock = func() time.Time { return now } })
			a := send(t, browser(s.routes(&tc.options)), "GET", tc.url, "", tc.header...)
			a.want(t, 200, "0")
			if n := len(a.header["Set-Cookie"]); n != 1 {
				t.Fatalf("%d cookies, want 1", n)
			}
			name, value, rest := attributes(a.header.Get("Set-Cookie"))
			if name != tc.wantName || len(value) < 40 {
				t.Errorf("cookie %s=%s, want the name %s and a long value", name, value, tc.wantName)
			}
			for _, attr := range []string{"Path=/", "HttpOnly", "SameSite=Lax"} {
				if !slices.Contains(rest, attr) {
					t.Errorf("no %s in %q", attr, rest)
				}
			}
			if slices.Contains(rest, "Secure") != tc.wantSecure {
				t.Errorf("Secure is %v in %q", !tc.wantSecure, rest)
			}
			for _, attr := range rest {
				if strings.HasPrefix(attr, "Domain") {
					t.Errorf("the cookie has a %s", attr)
				}
			}
			c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
			if err != nil {
				t.Fatal(err)
			}
			if c.MaxAge <= 0 || !c.Expires.Equal(now.Add(time.Duration(c.MaxAge)*time.Second)) {
				t.Errorf("Max-Age %d and Expires %v do not agree at %v", c.MaxAge, c.Expires, now)
			}
		})
	}
}

// Only the name of the request's scheme is read: a cookie planted over http is
// nothing on https.
//
// Proves B2, W1.
func TestOnlyTheSchemesCookieIsRead(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	c := browser(h)
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	a := send(t, c, "POST", "/update", "")
	a.want(t, 200, "2")
	if a.cookie(t) != "" {
		t.Error("the cookie was set again")
	}
	_, value, _ := attributes(send(t, browser(h), "GET", "/view", "").cookie(t))
	planted := browser(h)
	a = send(t, planted, "GET", "https://app.test/view", "", "Cookie", "stay="+value)
	if a.cookie(t) == "" {
		t.Error("the cookie of http was taken on https")
	}
	a = send(t, planted, "GET", "http://app.test/view", "", "Cookie", "__Host-stay="+value)
	if a.cookie(t) == "" {
		t.Error("the cookie of https was taken on http")
	}
}

// What the server did not issue begins a new session, is no error and leaves
// nothing in the store.
//
// Proves B3, W1.
func TestCookiesNotOfOursStartAFreshSession(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	owner := browser(h)
	set := send(t, owner, "POST", "/add", "by=41", "Content-Type", "application/x-www-form-urlencoded").cookie(t)
	_, mine, _ := attributes(set)
	if mine == "" {
		t.Fatal("no cookie")
	}
	other := newSite(t)
	_, foreign, _ := attributes(send(t, browser(other.routes(nil)), "POST", "/update", "").cookie(t))

	writes := s.store.writes.Load()
	for name, cookie := range map[string]string{
		"empty":             "stay=",
		"unsigned":          "stay=1234",
		"forged":            "stay=" + flip(mine, len(mine)-2),
		"altered":           "stay=" + flip(mine, 3),
		"truncated":         "stay=" + mine[:len(mine)-1],
		"extended":          "stay=" + mine + "A",
		"another key":       "stay=" + foreign,
		"__proto__":         "stay=__proto__",
		"constructor":       "stay=constructor",
		"numeric":           "stay=0",
		"json":              `stay={"id":1}`,
		"quoted":            `stay="` + mine + `"`,
		"600 bytes of ours": "stay=" + strings.Repeat(mine, 600/len(mine)),
		"8 KB":              "stay=" + strings.Repeat("a", 8<<10),
		"8 KB of ours":      "stay=" + strings.Repeat(mine, 8<<10/len(mine)),
		"name in capitals":  "STAY=" + mine,
		"space in name":     "stay =" + mine,
		"unicode space":     "\u2000stay=" + mine,
		"no value":          "stay",
		"binary":            "stay=\x80\xff\x01",
	} {
		t.Run(name, func(t *testing.T) {
			stranger := browser(h)
			a := send(t, stranger, "GET", "/view", "", "Cookie", cookie)
			a.want(t, 200, "0")
			_, value, _ := attributes(a.cookie(t))
			if value == "" || value == mine || strings.Contains(cookie, value) {
				t.Errorf("cookie %q after %q, want a new one", value, cookie)
			}
		})
	}
	if got := s.store.writes.Load(); got != writes {
		t.Errorf("%d records were written", got-writes)
	}
	send(t, owner, "GET", "/view", "").want(t, 200, "41")
	if strings.Contains(s.log.String(), mine) {
		t.Error("a token was logged")
	}
}

func flip(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// A cookie among others is found however the header is cut into lines.
//
// Proves W1.
func TestCookieAmongOthers(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	_, mine, _ := attributes(send(t, browser(h), "POST", "/update", "").cookie(t))
	for _, lines := range [][]string{
		{"a=b; stay=" + mine + "; c=d"},
		{"a=b;stay=" + mine},
		{"a=b", "stay=" + mine, "c=d"},
		{"; ;= ;;\tstay=" + mine + "\t"},
	} {
		var header []string
		for _, line := range lines {
			header = append(header, "Cookie", line)
		}
		a := send(t, browser(h), "GET", "/view", "", header...)
		a.want(t, 200, "1")
		if a.cookie(t) != "" {
			t.Errorf("%q: the session was not found", lines)
		}
	}
}

// Proves B2, W1.
func TestKeysRotate(t *testing.T) {
	s := newSite(t)
	older, newer := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	c := browser(s.routes(&web.Options{Keys: [][]byte{older}}))
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	c.Transport = inProcess{s.routes(&web.Options{Keys: [][]byte{newer, older}})}
	send(t, c, "POST", "/update", "").want(t, 200, "2")
	c.Transport = inProcess{s.routes(&web.Options{Keys: [][]byte{newer}})}
	send(t, c, "POST", "/update", "").want(t, 200, "1")
}

func TestOptionsThatMakeNoSensePanic(t *testing.T) {
	s := newSite(t)
	for name, f := range map[string]func(){
		"no app":          func() { web.Sessions(nil, nil) },
		"cookie name":     func() { web.Sessions(s.app, &web.Options{Cookie: "a b"}) },
		"prefix":          func() { web.Sessions(s.app, &web.Options{Cookie: "__Secure-a"}) },
		"short key":       func() { web.Sessions(s.app, &web.Options{Keys: [][]byte{[]byte("short")}}) },
		"secure":          func() { web.Sessions(s.app, &web.Options{Secure: 9}) },
		"negative body":   func() { web.Sessions(s.app, &web.Options{MaxBody: -1}) },
		"no view":         func() { web.View(s.counter, nil) },
		"no state":        func() { web.Update[Counter](nil, nil) },
		"no handler":      func() { web.Handle(nil) },
		"nil in Actions":  func() { web.Actions(nil) },
		"twice in Action": func() { web.Actions(s.counter, s.counter) },
		"unknown action": func() {
			web.Do(s.counter, "decrement", func(http.ResponseWriter, *http.Request, *Counter) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				p := recover()
				if p == nil {
					t.Fatal("no panic")
				}
				if name == "unknown action" {
					for _, want := range []string{"counter", "decrement", "add, fail, increment"} {
						if text, _ := p.(string); !strings.Contains(text, want) {
							t.Errorf("%q does not name %s", text, want)
						}
					}
				}
			}()
			f()
		})
	}
}
