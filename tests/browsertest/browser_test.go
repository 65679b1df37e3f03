package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay/tests/browsertest"
)

// Two pages are two visitors: neither sees the other's cookies.
func TestPagesAreIsolated(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := "nobody"
		if c, err := r.Cookie("name"); err == nil {
			known = c.Value
		}
		if name := r.FormValue("name"); name != "" {
			http.SetCookie(w, &http.Cookie{Name: "name", Value: name, HttpOnly: true})
			known = name
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p data-known=%q>%s</p><a href="/?name=bob">say</a>`, known, known)
	}))
	defer server.Close()
	browser := browsertest.Start(t)
	a, b := browser.NewPage(t), browser.NewPage(t)

	a.Goto(server.URL + "/?name=ann")
	b.Goto(server.URL)
	a.Reload()
	a.WantText("p", "ann")
	b.WantText("p", "nobody")

	b.Click("a")
	b.WantAttribute("p", "data-known", "bob")
	if got := a.Text("p") + a.Eval("document.title + '!'"); got != "ann!" {
		t.Errorf("text of the first page: %q", got)
	}
	if cookies := a.Cookies(server.URL); len(cookies) != 1 || cookies[0].Value != "ann" || !cookies[0].HttpOnly {
		t.Errorf("cookies of the first page: %+v", cookies)
	}
	if png := a.Screenshot(); http.DetectContentType(png) != "image/png" {
		t.Errorf("a screenshot of %d bytes is no PNG", len(png))
	}
}

// Tabs are of one visitor.
func TestTabsShareTheirCookies(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("name"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "name", Value: "ann"})
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p>%s</p>`, r.Header.Get("Cookie"))
	}))
	defer server.Close()
	a := browsertest.Start(t).NewPage(t)
	a.Goto(server.URL)
	b := a.NewTab()
	b.Goto(server.URL)
	b.WantText("p", "name=ann")
	a.WantText("p", "")
}
