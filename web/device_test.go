package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A session keeps the browser's description of itself as a short text, even if
// the browser sends a long or odd one.
//
// Proves S7.
func TestASessionKnowsItsDevice(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("POST /update", web.Update(s.counter, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error { c.Count++; return nil }))
	mux.HandleFunc("GET /device", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, stay.SessionFrom(r.Context()).Device())
	})
	h := web.Sessions(s.app, nil)(mux)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux) Firefox/1": "Mozilla/5.0 (X11; Linux) Firefox/1",
		strings.Repeat("x", 5000):            strings.Repeat("x", 200),
		strings.Repeat("ü", 5000):            strings.Repeat("ü", 100),
		"x" + strings.Repeat("ü", 5000):      "x" + strings.Repeat("ü", 99),
		"a\xffb":                             "ab",
	} {
		c := browser(h)
		send(t, c, "GET", "/device", "", "User-Agent", agent).want(t, 200, "") // nothing is stored
		send(t, c, "POST", "/update", "", "User-Agent", agent).want(t, 200, "")
		a := send(t, c, "GET", "/device", "", "User-Agent", "another")
		if a.body != want || !utf8.ValidString(a.body) {
			t.Errorf("%.20q... is kept as %q", agent, a.body)
		}
	}
}
