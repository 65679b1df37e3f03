package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/loglimit"
	"github.com/stay-go/stay/web"
)

// from makes a request of a page as it arrives at the program.
func from(h http.Handler, host string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/update", nil)
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A default port in Host, which some proxies add, is the same origin as none.
// Every other port is another origin.
//
// Proves W7.
func TestADefaultPortInHostIsTheSameOrigin(t *testing.T) {
	h := newSite(t).routes(nil)
	for _, tc := range []struct {
		host, origin string
		status       int
	}{
		{"shop.test:80", "http://shop.test", 200},
		{"shop.test:443", "https://shop.test", 200},
		{"[::1]:80", "http://[::1]", 200},
		{"shop.test:443", "http://shop.test", 403},
		{"shop.test:80", "https://shop.test", 403},
		{"shop.test:8080", "http://shop.test", 403},
		{"shop.test:80", "http://evil.test", 403},
		{"shop.test:80", "null", 403},
	} {
		if w := from(h, tc.host, "Origin", tc.origin); w.Code != tc.status {
			t.Errorf("%s from %s: %d, want %d", tc.host, tc.origin, w.Code, tc.status)
		}
		// Sec-Fetch-Site decides if the browser sends it.
		if w := from(h, tc.host, "Origin", tc.origin, "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
			t.Errorf("%s from %s, cross-site: %d", tc.host, tc.origin, w.Code)
		}
	}
}

// A refused request is logged with the reason and what to do. Naming the
// origin, or a proxy that passes Host on, fixes it.
//
// Proves W7.
func TestRefusedOriginsAreLoggedWithTheFix(t *testing.T) {
	for name, tc := range map[string]struct{ host, origin string }{
		"a proxy rewrites Host":  {"127.0.0.1:3000", "http://shop.lan"},
		"a proxy drops the port": {"192.0.2.5", "http://192.0.2.5:8080"},
		"a no-referrer page":     {"shop.lan", "null"},
	} {
		s := newSite(t)
		if w := from(s.routes(nil), tc.host, "Origin", tc.origin); w.Code != 403 {
			t.Errorf("%s: %d", name, w.Code)
		}
		for _, want := range []string{"level=WARN", "origin=" + tc.origin, "host=" + tc.host, "CrossOrigin", "Host", "Referrer-Policy"} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("%s: the log does not say %s: %s", name, want, s.log)
			}
		}
		cross := http.NewCrossOriginProtection()
		if err := cross.AddTrustedOrigin(tc.origin); err != nil {
			continue // null cannot be trusted
		}
		if w := from(s.routes(&web.Options{CrossOrigin: cross}), tc.host, "Origin", tc.origin); w.Code != 200 {
			t.Errorf("%s: %d after the origin was named", name, w.Code)
		}
	}

	s := newSite(t)
	program := httptest.NewServer(s.routes(nil))
	defer program.Close()
	target, err := url.Parse(program.URL)
	if err != nil {
		t.Fatal(err)
	}
	passing := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	rewriting := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	if w := from(passing, "shop.lan:8080", "Origin", "http://shop.lan:8080"); w.Code != 200 {
		t.Errorf("a proxy that passes Host on: %d", w.Code)
	}
	if w := from(rewriting, "shop.lan:8080", "Origin", "http://shop.lan:8080"); w.Code != 403 || !strings.Contains(s.log.String(), "host="+target.Host) {
		t.Errorf("a proxy that rewrites Host: %d, log %s", w.Code, s.log)
	}
}

// Neither many refused requests nor a long header fill the log.
//
// Proves W7.
func TestACrowdOfRefusedOriginsIsLoggedInPart(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	for range 100 * loglimit.PerSecond {
		from(h, "shop.test", "Origin", "http://"+strings.Repeat("x", 5000))
	}
	log := s.log.String()
	if lines := strings.Count(log, "was refused"); lines < loglimit.PerSecond || lines > 50*loglimit.PerSecond {
		t.Errorf("%d lines", lines)
	}
	for line := range strings.Lines(log) {
		if len(line) > 1000 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// A proxy that ends TLS and is not trusted is logged, once: its cookie is the
// one for plain http.
//
// Proves B2.
func TestAProxyThatIsNotTrustedIsLoggedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		o     web.Options
		proto string
		lines int
	}{
		"not trusted":         {web.Options{}, "https", 1},
		"first of a list":     {web.Options{}, "HTTPS, http", 1},
		"plain http":          {web.Options{}, "http", 0},
		"trusted":             {web.Options{TrustProxy: true}, "https", 0},
		"said otherwise":      {web.Options{Secure: web.SecureAlways}, "https", 0},
		"closed network":      {web.Options{Secure: web.SecureNever}, "https", 0},
		"a proxy for another": {web.Options{}, "http, https", 0},
	} {
		s := newSite(t)
		h := s.routes(&tc.o)
		for range 3 {
			from(h, "shop.test", "X-Forwarded-Proto", tc.proto)
		}
		if got := strings.Count(s.log.String(), "web.Options.TrustProxy"); got != tc.lines {
			t.Errorf("%s: %d lines, want %d: %s", name, got, tc.lines, s.log)
		}
	}
}

// Pages that are shown in frames of other sites need another cookie, and get it on
// https only.
//
// Proves B2.
func TestTheCookieOfEmbeddedPages(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(&web.Options{Embedded: true}))
	line := send(t, c, "POST", "https://app.test/update", "").cookie(t)
	for _, want := range []string{"__Host-embedded-stay=", "Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %q", want, line)
		}
	}
	line = send(t, c, "POST", "http://app.test/update", "").cookie(t)
	if !strings.Contains(line, "SameSite=Lax") || strings.Contains(line, "Partitioned") {
		t.Errorf("over http the cookie is %q", line)
	}
	// With any SameSite, other sites change nothing.
	if a := send(t, c, "POST", "https://app.test/update", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://frame.test"); a.status != 403 {
		t.Errorf("a form of the site around the frame: %d", a.status)
	}
	send(t, c, "POST", "https://app.test/update", "", "Sec-Fetch-Site", "same-origin", "Origin", "https://app.test").want(t, 200, "2")
}

// judged sends a request to Sessions, and checks that it is served exactly if
// net/http's own check serves it.
func judged(t testing.TB, c *http.CrossOriginProtection, h http.Handler, method, host string, header http.Header) {
	t.Helper()
	r := httptest.NewRequest("POST", "/plain", nil)
	r.Method, r.Host, r.Header = method, host, header
	want := c.Check(r) == nil
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Code != 403; got != want {
		t.Errorf("%s of %s with %q is served: %v, want %v", method, host, header, got, want)
	}
}

// trusting is a check with a trusted origin and a path that is open to all.
func trusting(t testing.TB) *http.CrossOriginProtection {
	t.Helper()
	c := http.NewCrossOriginProtection()
	if err := c.AddTrustedOrigin("https://partner.test"); err != nil {
		t.Fatal(err)
	}
	c.AddInsecureBypassPattern("PUT /plain")
	return c
}

// Which requests are served is what http.CrossOriginProtection says, whatever
// headers a request has, or has several times.
//
// Proves W7.
func TestOriginsAreJudgedAsByNetHTTP(t *testing.T) {
	s := newSite(t)
	sites := [][]string{
		nil,
		{},
		{""},
		{"none"},
		{"same-origin"},
		{"same-site"},
		{"cross-site"},
		{"None"},
		{"same-origin "},
		{"", "cross-site"},
		{"same-origin", "cross-site"},
		{"cross-site", "same-origin"},
	}
	origins := [][]string{
		nil,
		{},
		{""},
		{"null"},
		{"http://shop.test"},
		{"https://shop.test"},
		{"https://shop.test:8443"},
		{"https://partner.test"},
		{"https://evil.test"},
		{"shop.test"},
		{"https://%zz"},
		{"", "https://evil.test"},
		{"https://evil.test", "https://shop.test"},
	}
	for _, c := range []*http.CrossOriginProtection{http.NewCrossOriginProtection(), trusting(t)} {
		h := s.routes(&web.Options{CrossOrigin: c})
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "get", "TRACE"} {
			for _, host := range []string{"shop.test", "shop.test:8443", "evil.test", ""} {
				for _, site := range sites {
					for _, origin := range origins {
						judged(t, c, h, method, host, http.Header{"Sec-Fetch-Site": site, "Origin": origin})
					}
				}
				// Names that net/http makes canonical before a handler sees them.
				judged(t, c, h, method, host, http.Header{"sec-fetch-site": {"same-origin"}, "origin": {"https://evil.test"}})
				judged(t, c, h, method, host, http.Header{"sec-fetch-site": {"same-origin"}, "Origin": {"https://evil.test"}})
				judged(t, c, h, method, host, nil)
			}
		}
	}
}

// The same holds for every request that is not one for another protocol, and
// whose host has no default port.
//
// Proves W7.
func FuzzOrigins(f *testing.F) {
	for _, site := range []string{"", "none", "same-origin", "same-site", "cross-site", "x"} {
		for _, origin := range []string{"", "null", "https://shop.test", "https://partner.test", "https://evil.test:80", ":"} {
			f.Add("POST", "shop.test", "Sec-Fetch-Site", site, "Origin", origin)
		}
	}
	f.Add("PUT", "shop.test", "Origin", "https://evil.test", "Origin", "https://shop.test")
	c := trusting(f)
	h := newSite(f).routes(&web.Options{CrossOrigin: c})
	f.Fuzz(func(t *testing.T, method, host, name, value, other, second string) {
		if name == "Upgrade" || other == "Upgrade" || strings.HasSuffix(host, ":80") || strings.HasSuffix(host, ":443") {
			return // Stay's own rules hold
		}
		header := http.Header{name: {value}}
		header[other] = append(header[other], second)
		judged(t, c, h, method, host, header)
	})
}
