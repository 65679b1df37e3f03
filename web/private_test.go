package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay/web"
)

// No shared cache may keep a cookie, even if the handler allows it. It may keep
// a response for a session that the browser has already.
//
// Proves W2.
func TestAResponseWithACookieIsNotForSharedCaches(t *testing.T) {
	for _, tc := range []struct {
		name, control string
		other         []string // further headers, pairs of name and value
		first, second string   // Cache-Control with the cookie, and without
		logged        bool
	}{
		{"nothing", "", nil, "private, no-store", "private, no-store", false},
		{"private", "Private, max-age=60", nil, "Private, max-age=60", "Private, max-age=60", false},
		{"no-store", "max-age=0,no-store", nil, "max-age=0,no-store", "max-age=0,no-store", false},
		{"a stream", "no-cache, no-transform", nil, "private, no-cache, no-transform", "no-cache, no-transform", false},
		{"public", "public, max-age=60", nil, "private, no-store", "public, max-age=60", true},
		{"a lifetime", "max-age=60", nil, "private, no-store", "max-age=60", true},
		{"a shared lifetime", "s-maxage=60", nil, "private, no-store", "s-maxage=60", true},
		{"revalidated", "public, no-cache", nil, "private, no-store", "public, no-cache", true},
		{"some headers", `private="a, no-store, b"`, nil, "private, no-store", `private="a, no-store, b"`, true},
		{"for CDNs", "private", []string{"CDN-Cache-Control", "max-age=60", "Surrogate-Control", "max-age=60", "Some-CDN-Cache-Control", "max-age=60", "X-Accel-Expires", "60"}, "private", "private", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			mux := http.NewServeMux()
			mux.Handle("GET /page", web.View(s.counter, func(w http.ResponseWriter, _ *http.Request, _ *Counter) error {
				if tc.control != "" {
					w.Header().Set("Cache-Control", tc.control)
				}
				for i := 0; i < len(tc.other); i += 2 {
					w.Header().Set(tc.other[i], tc.other[i+1])
				}
				return nil
			}))
			h := web.Sessions(s.app, nil)(mux)
			for range 2 {
				c := browser(h)
				for i, want := range []string{tc.first, tc.second} {
					a := send(t, c, "GET", "/page", "")
					if a.cookie(t) == "" != (i == 1) || strings.Join(a.header["Cache-Control"], "|") != want {
						t.Errorf("answer %d: header %v, want Cache-Control %s", i, a.header, want)
					}
					for j := 0; j < len(tc.other); j += 2 {
						if a.header.Get(tc.other[j]) == "" != (i == 0) {
							t.Errorf("answer %d: %s is %q", i, tc.other[j], a.header.Get(tc.other[j]))
						}
					}
				}
			}
			lines := strings.Count(s.log.String(), "shared caches")
			if want := map[bool]int{true: 1}[tc.logged]; lines != want || tc.logged && !strings.Contains(s.log.String(), "route=\"GET /page\"") {
				t.Errorf("%d lines of log, want %d: %s", lines, want, s.log)
			}
		})
	}
}
