package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// signIn is a shop whose visitors sign in by a form of another site.
func (s *site) signIn(t *testing.T) http.Handler {
	t.Helper()
	basket := stay.Register(s.app, stay.Module[Counter]{Name: "basket", Persist: stay.PerUser})
	mux := http.NewServeMux()
	mux.Handle("POST /add", web.Update(basket, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error { c.Count++; return nil }))
	mux.Handle("GET /basket", web.View(basket, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		_, err := fmt.Fprintf(w, "%s has %d", stay.SessionFrom(r.Context()).User(), c.Count)
		return err
	}))
	mux.Handle("POST /callback", web.FormPost(web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user")); err != nil {
			return err
		}
		http.Redirect(w, r, "/basket", http.StatusSeeOther)
		return nil
	})))
	cross := http.NewCrossOriginProtection()
	cross.AddInsecureBypassPattern("POST /callback")
	return web.Sessions(s.app, &web.Options{CrossOrigin: cross})(mux)
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// fields returns what a page would post.
func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

// A sign-in that ends with a form of another site keeps what the visitor did as a
// guest: the browser sends no cookie with that form, so it is posted once more
// from here.
//
// Proves K2, W7.
func TestASignInByAFormOfAnotherSiteKeepsTheGuest(t *testing.T) {
	for name, foreign := range map[string][]string{
		"a browser of today":           {"Sec-Fetch-Site", "cross-site", "Origin", "https://idp.test"},
		"one without Sec-Fetch":        {"Origin", "https://idp.test"},
		"a provider that hides itself": {"Origin", "null"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSite(t).signIn(t)
			c, stranger := browser(h), browser(h) // Lax: the other site's form comes without the cookie
			send(t, c, "POST", "/add", "").want(t, 200, "")
			sent := url.Values{"user": {"ann"}, "state": {`"><script>alert(1)</script>`, "ü&b"}}
			a := send(t, stranger, "POST", "/callback", sent.Encode(), append([]string{"Content-Type", formType}, foreign...)...)
			if a.status != 200 || a.cookie(t) != "" || strings.Contains(a.body, "alert(1)</script>") || !strings.Contains(a.body, "<button>") {
				t.Fatalf("%d %s", a.status, a.body)
			}
			policy := a.header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'sha256-") || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "same-origin" {
				t.Errorf("the page has the headers %v", a.header)
			}
			again := fields(a.body)
			if again.Get("user") != "ann" || strings.Join(again["state"], ";") != strings.Join(sent["state"], ";") || len(again) != 3 {
				t.Errorf("the page would post %v", again)
			}
			send(t, c, "POST", "/callback", again.Encode(), "Content-Type", formType, "Sec-Fetch-Site", "same-origin", "Origin", "http://app.test").
				want(t, 200, "ann has 1")
		})
	}
}

// In development mode the log says what a form of another site does without
// FormPost.
//
// Proves W7.
func TestASessionThatAFormOfAnotherSiteBeginsIsLogged(t *testing.T) {
	for _, development := range []bool{true, false} {
		s := newSite(t, func(o *stay.Options) { o.Development = development })
		cross := http.NewCrossOriginProtection()
		cross.AddInsecureBypassPattern("POST /")
		h := s.routes(&web.Options{CrossOrigin: cross})
		send(t, browser(h), "POST", "/plain", "", "Origin", "https://idp.test").want(t, 200, "plain")
		send(t, browser(h), "POST", "/update", "", "Origin", "http://app.test").want(t, 200, "1")
		if log := s.log.String(); strings.Contains(log, "FormPost") {
			t.Errorf("the log says %s", log)
		}
		for range 3 {
			send(t, browser(h), "POST", "/update", "", "Origin", "https://idp.test").want(t, 200, "1")
		}
		want := 0
		if development {
			want = 1
		}
		if log := s.log.String(); strings.Count(log, "web.FormPost") != want {
			t.Errorf("development %v: the log says %s", development, log)
		}
	}
}

// Requests that need no second form go to the handler at once, and no form is
// posted for ever.
//
// Proves W7.
func TestFormPostPassesOnAllElse(t *testing.T) {
	h := newSite(t).signIn(t)
	known := browser(h)
	send(t, known, "POST", "/add", "").want(t, 200, "")
	foreign := []string{"Content-Type", formType, "Origin", "https://idp.test"}
	send(t, known, "POST", "/callback", "user=ann", foreign...).want(t, 200, "ann has 1") // SameSite=None
	send(t, browser(h), "POST", "/callback", "user=ann", "Content-Type", formType).want(t, 200, "ann has 1")
	send(t, browser(h), "POST", "/callback", "user=ann", "Content-Type", formType, "Origin", "http://app.test").want(t, 200, "ann has 1")
	send(t, browser(h), "POST", "/callback", "user=ann&_stay_again=1", foreign...).want(t, 200, "ann has 1")
	if a := send(t, browser(h), "POST", "/callback", strings.Repeat("x", 2<<20), foreign...); a.status != 413 {
		t.Errorf("a long form: %d", a.status)
	}
	if a := send(t, browser(h), "POST", "/callback", "{}", "Content-Type", "application/json", "Origin", "https://idp.test"); a.status != 422 {
		t.Errorf("what is no form: %d %s", a.status, a.body)
	}
}
