package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay/web"
)

// A page of another site must not open a WebSocket, or go over to any other
// protocol, with the cookies of its visitor, although that begins with a GET.
//
// Proves W7.
func TestUpgradesOfOtherOriginsAreRefused(t *testing.T) {
	s := newSite(t)
	ran := false
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		ran = true
		_, _ = io.WriteString(w, "ok")
	})
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin("https://trusted.test"); err != nil {
		t.Fatal(err)
	}
	protection.AddInsecureBypassPattern("/open/")
	protection.AddInsecureBypassPattern("POST /hook")
	standard := web.Sessions(s.app, nil)(mux)
	trusting := web.Sessions(s.app, &web.Options{CrossOrigin: protection})(mux)
	upgrade := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13"}
	with := func(header ...string) []string { return append(header, upgrade...) }
	for name, tc := range map[string]struct {
		h            http.Handler
		method, path string
		header       []string
		status       int
	}{
		"another origin":               {standard, "GET", "/", with("Origin", "https://evil.test"), 403},
		"another origin, by HEAD":      {standard, "HEAD", "/", with("Origin", "https://evil.test"), 403},
		"another origin, by OPTIONS":   {standard, "OPTIONS", "/", with("Origin", "https://evil.test"), 403},
		"another origin, over HTTP/2":  {standard, "CONNECT", "/", []string{":protocol", "websocket", "Origin", "https://evil.test"}, 403},
		"another port":                 {standard, "GET", "/", with("Origin", "http://app.test:8080"), 403},
		"a sandboxed page":             {standard, "GET", "/", with("Origin", "null"), 403},
		"another site, as it says":     {standard, "GET", "/", with("Sec-Fetch-Site", "cross-site"), 403},
		"a sibling of the host":        {standard, "GET", "/", with("Sec-Fetch-Site", "same-site", "Origin", "http://x.app.test"), 403},
		"to another protocol":          {standard, "GET", "/", []string{"Origin", "https://evil.test", "Connection", "Upgrade", "Upgrade", "chat"}, 403},
		"nothing but the header":       {standard, "GET", "/", []string{"Origin", "https://evil.test", "Upgrade", "websocket"}, 403},
		"the same origin":              {standard, "GET", "/", with("Origin", "http://app.test"), 200},
		"the same origin, as it says":  {standard, "GET", "/", with("Sec-Fetch-Site", "same-origin", "Origin", "https://app.test"), 200},
		"the same origin, over HTTP/2": {standard, "CONNECT", "/", []string{":protocol", "websocket", "Origin", "http://app.test"}, 200},
		"no browser":                   {standard, "GET", "/", with(), 200},
		"curl that offers HTTP/2":      {standard, "GET", "/", []string{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c"}, 200},
		"a link of another site":       {standard, "GET", "/", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"a trusted origin":             {trusting, "GET", "/", with("Sec-Fetch-Site", "cross-site", "Origin", "https://trusted.test"), 200},
		"an origin that is not":        {trusting, "GET", "/", with("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"), 403},
		"a pattern that passes":        {trusting, "GET", "/open/x", with("Origin", "https://evil.test"), 200},
		"a pattern of posts":           {trusting, "GET", "/hook", with("Origin", "https://evil.test"), 403},
		"a post with a pattern":        {trusting, "POST", "/hook", with("Origin", "https://evil.test"), 200},
	} {
		ran = false
		r := httptest.NewRequest(tc.method, "http://app.test"+tc.path, nil)
		if tc.method == "CONNECT" {
			r.Host, r.URL.Path = "app.test", tc.path
		}
		for i := 0; i < len(tc.header); i += 2 {
			r.Header[http.CanonicalHeaderKey(tc.header[i])] = []string{tc.header[i+1]}
		}
		w := httptest.NewRecorder()
		tc.h.ServeHTTP(w, r)
		if w.Code != tc.status || ran != (tc.status == 200) {
			t.Errorf("%s: %d, the handler ran: %t", name, w.Code, ran)
		}
	}
}
