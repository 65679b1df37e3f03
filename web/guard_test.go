package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

func guarded(t *testing.T) http.Handler {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/account", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", stay.SessionFrom(r.Context()).User())
	})
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Login(r.Context(), "ann"); err != nil {
			return err
		}
		web.Redirect(w, r, web.NextPath(r, "/"))
		return nil
	}))
	return web.Sessions(s.app, nil)(web.RequireUser("/login")(mux))
}

// guest returns a browser that follows no redirects.
func guest(h http.Handler) *http.Client {
	c := browser(h)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// A visitor who is not logged in is sent to the login page if they load a page, and
// comes back to that page.
func TestRequireUserSendsPagesToTheLogin(t *testing.T) {
	c := guest(guarded(t))
	page := []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	a := send(t, c, "GET", "http://shop.test/account?tab=2", "", page...)
	location := a.header.Get("Location")
	if location != "/login?next=%2Faccount%3Ftab%3D2" {
		t.Fatalf("sent to %q", location)
	}
	if got := a.header.Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("the answer depends on the session and is %q", got)
	}
	a = send(t, c, "POST", "http://shop.test"+location, "")
	if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != "/account?tab=2" {
		t.Errorf("after the login: %d %q", a.status, got)
	}
	send(t, c, "GET", "http://shop.test/account", "", page...).want(t, http.StatusOK, "hello ann")
}

// htmx goes to the login page as a whole, not into a part of the page; boosted
// links follow a redirect.
func TestRequireUserRedirectsHTMX(t *testing.T) {
	c := guest(guarded(t))
	a := send(t, c, "POST", "http://shop.test/account", "", "HX-Request", "true", "HX-Current-URL", "http://shop.test/cart?x=1")
	if got := a.header.Get("HX-Redirect"); a.status != http.StatusNoContent || got != "/login?next=%2Fcart%3Fx%3D1" {
		t.Errorf("%d, HX-Redirect %q", a.status, got)
	}
	a = send(t, c, "GET", "http://shop.test/account", "", "HX-Request", "true", "HX-Boosted", "true", "HX-Current-URL", "http://shop.test/cart")
	if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != "/login?next=%2Faccount" {
		t.Errorf("a boosted link: %d, Location %q", a.status, got)
	}
	a = send(t, c, "POST", "http://shop.test/account", "", "HX-Request", "true", "HX-Current-URL", "http://evil.test/cart")
	if got := a.header.Get("HX-Redirect"); got != "/login" {
		t.Errorf("a page of another site: HX-Redirect %q", got)
	}
}

// A form of the browser leads to the login page, and from there back to the page
// that it is on.
func TestRequireUserSendsFormsToTheLogin(t *testing.T) {
	c := guest(guarded(t))
	for referer, want := range map[string]string{
		"http://shop.test/checkout?step=2": "/login?next=%2Fcheckout%3Fstep%3D2",
		"http://evil.test/checkout":        "/login",
		"":                                 "/login",
	} {
		a := send(t, c, "POST", "http://shop.test/account", "tins=2",
			"Content-Type", form, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin", "Referer", referer)
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != want {
			t.Errorf("a form on %q: %d, Location %q", referer, a.status, got)
		}
	}
}

// A request that loads no page is answered with 401, in the format that the
// client reads.
func TestRequireUserRefusesTheRest(t *testing.T) {
	c := guest(guarded(t))
	send(t, c, "POST", "http://shop.test/account", "").want(t, http.StatusUnauthorized, "log in first\n")
	a := send(t, c, "GET", "http://shop.test/account", "", "Accept", "application/json")
	if a.status != http.StatusUnauthorized {
		t.Errorf("JSON: %d %s", a.status, a.body)
	}
}

func TestRequireUserOutsideOfSessionsSaysSo(t *testing.T) {
	h := web.RequireUser("/login")(http.NotFoundHandler())
	if a := send(t, browser(h), "GET", "http://shop.test/", ""); a.status != http.StatusInternalServerError {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, login := range []string{"", "login", "//evil.test", "https://evil.test/login", `/\evil.test`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("RequireUser took %q for a path", login)
				}
			}()
			web.RequireUser(login)
		}()
	}
}

// NextPath never leads to another site.
func TestNextPathStaysOnTheSite(t *testing.T) {
	for next, want := range map[string]string{
		"/cart":               "/cart",
		"/cart?a=b&c=%2F#top": "/cart?a=b&c=%2F#top",
		"":                    "/home",
		"cart":                "/home",
		"//evil.test":         "/home",
		"///evil.test":        "/home",
		`/\evil.test`:         "/home",
		"/\t/evil.test":       "/home",
		"/\n/evil.test":       "/home",
		"https://evil.test":   "/home",
		"javascript:alert(1)": "/home",
		"/%zz":                "/home",
	} {
		r, err := http.NewRequest("GET", "/login?next="+url.QueryEscape(next), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := web.NextPath(r, "/home"); got != want {
			t.Errorf("NextPath of %q is %q, want %q", next, got, want)
		}
	}
}

func TestIsPartial(t *testing.T) {
	for _, test := range []struct {
		want   bool
		header []string
	}{
		{false, nil},
		{true, []string{"HX-Request", "true"}},
		{false, []string{"HX-Request", "true", "HX-Boosted", "true"}},
		{false, []string{"HX-Request", "true", "HX-History-Restore-Request", "true"}},
		{true, []string{"HX-Request", "true", "HX-Request-Type", "partial"}},
		{false, []string{"HX-Request", "true", "HX-Request-Type", "full"}},
		{true, []string{"Datastar-Request", "true"}},
	} {
		r, err := http.NewRequest("GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(test.header); i += 2 {
			r.Header.Set(test.header[i], test.header[i+1])
		}
		if got := web.IsPartial(r); got != test.want {
			t.Errorf("IsPartial of %v is %t", test.header, got)
		}
	}
}

// RequireUser goes by the address that the browser sent, not by what a middleware
// has left of it: the page after the login is the whole one, and a path that is
// the login page's once it was cut off is not open.
//
// Proves W7.
func TestRequireUserBehindStripPrefix(t *testing.T) {
	s := newSite(t)
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "inside ", r.URL.Path) })
	mux := http.NewServeMux()
	mux.Handle("/account/", http.StripPrefix("/account", web.RequireUser("/login")(inner)))
	mux.Handle("/user/", http.StripPrefix("/user", web.RequireUser("/user/login")(inner)))
	h := web.Sessions(s.app, nil)(mux)
	c := guest(h)
	for path, next := range map[string]string{
		"/account/orders?x=1": "/login?next=%2Faccount%2Forders%3Fx%3D1",
		"/account/login":      "/login?next=%2Faccount%2Flogin",
		"/user/a%2Fb":         "/user/login?next=%2Fuser%2Fa%252Fb",
	} {
		a := send(t, c, "GET", path, "", "Accept", "text/html")
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != next {
			t.Errorf("%s: %d %q, want %q", path, a.status, got, next)
		}
	}
	send(t, c, "POST", "/account/login", "").want(t, http.StatusUnauthorized, "log in first\n")
	send(t, c, "GET", "/user/login", "", "Accept", "text/html").want(t, 200, "inside /login")
	send(t, c, "POST", "/user/login?next=%2Fuser%2Fx", "").want(t, 200, "inside /login")
	a := send(t, guest(web.Sessions(s.app, nil)(web.RequireUser("/user/login")(inner))), "GET", "/user%2Flogin", "", "Accept", "text/html")
	if a.status != http.StatusSeeOther {
		t.Errorf("an encoded slash: %d %s", a.status, a.body)
	}
	r := httptest.NewRequest("GET", "/account/orders", nil) // as servers that are not net/http leave it
	r.RequestURI = ""
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	web.Sessions(s.app, nil)(web.RequireUser("/login")(inner)).ServeHTTP(w, r)
	if got := w.Header().Get("Location"); got != "/login?next=%2Faccount%2Forders" {
		t.Errorf("without a RequestURI: %d %q", w.Code, got)
	}
}

// A login page is open whatever its path has to be written with.
func TestRequireUserOpensEachLoginPage(t *testing.T) {
	s := newSite(t)
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "log in here") })
	for _, login := range []string{"/log%20in", "/log in", "/anmelden/für", "/anmelden/f%c3%bcr", "/a%2Fb", "/login?theme=dark", "/~login'(1)"} {
		h := web.Sessions(s.app, nil)(web.RequireUser(login)(inner))
		c := browser(h)
		c.Jar = nil
		a := send(t, c, "GET", "/orders", "", "Accept", "text/html") // follows the redirect
		a.want(t, 200, "log in here")
	}
}
