package web_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A jar keeps cookies by name, and those with Partitioned beside those without.
type jar map[string]string

func (j jar) take(lines []string) {
	for _, line := range lines {
		name, value, rest := attributes(line)
		key := name
		if slices.Contains(rest, "Partitioned") {
			key += " partitioned"
		}
		if value == "" {
			delete(j, key)
		} else {
			j[key] = value
		}
	}
}

// header returns the header Cookie for a page of the site itself.
func (j jar) header() string {
	var parts []string
	for key, value := range j {
		parts = append(parts, strings.TrimSuffix(key, " partitioned")+"="+value)
	}
	return strings.Join(parts, "; ")
}

// Where Embedded is switched on or off, a browser's session goes on with its user,
// and the browser keeps one cookie, by Sessions and by Visits.
//
// Proves B2, W1.
func TestSessionsGoOnWhenEmbeddedIsSwitched(t *testing.T) {
	for name, embedded := range map[string]bool{"on": false, "off": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			before, after := &web.Options{Embedded: embedded}, &web.Options{Embedded: !embedded}
			site := func(o *web.Options) http.Handler {
				mux := http.NewServeMux()
				mux.Handle("POST /update", web.Update(s.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
					c.Count++
					fmt.Fprint(w, c.Count)
					return nil
				}))
				mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, stay.SessionFrom(r.Context()).User()) })
				mux.HandleFunc("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
					return stay.SessionFrom(r.Context()).Login(r.Context(), "ann")
				}))
				mux.HandleFunc("POST /destroy", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
					return stay.SessionFrom(r.Context()).Destroy(r.Context())
				}))
				return web.Sessions(s.app, o)(mux)
			}
			j := jar{}
			visit := func(o *web.Options, method, path, want string) {
				t.Helper()
				a := send(t, browser(site(o)), method, "https://app.test"+path, "", "Cookie", j.header())
				a.want(t, 200, want)
				j.take(a.header["Set-Cookie"])
			}
			only := func(n int) {
				t.Helper()
				if len(j) != n {
					t.Errorf("the browser has %d cookies, want %d: %v", len(j), n, j)
				}
			}
			visit(before, "POST", "/update", "1")
			visit(before, "POST", "/login", "")
			only(1)
			visit(after, "GET", "/who", "ann")
			visit(after, "POST", "/update", "2")
			visit(after, "POST", "/login", "")
			only(1)
			visit(after, "GET", "/who", "ann")
			visit(after, "POST", "/update", "3")
			visit(before, "GET", "/who", "ann") // back again
			visit(before, "POST", "/destroy", "")
			only(0)
			visit(before, "POST", "/update", "1")
			only(1)

			r, err := http.NewRequest("POST", "https://app.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host, r.Header["Cookie"] = "app.test", []string{j.header()}
			after.Secure = web.SecureAlways
			v, err := web.Visits(s.app, after)(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := stay.SessionFrom(v.Context()).Login(v.Context(), "bob"); err != nil {
				t.Fatal(err)
			}
			j.take(v.End()["Set-Cookie"])
			only(1)
			visit(after, "GET", "/who", "bob")
		})
	}
}

// A browser that has cookies of both names, of two sessions, is locked out of
// neither: that of the present name counts.
//
// Proves W1.
func TestOfTheCookiesOfBothNamesThePresentOneCounts(t *testing.T) {
	s := newSite(t)
	plain, embedded := s.visitor(t, nil), s.visitor(t, &web.Options{Embedded: true})
	both := "__Host-stay=" + plain + "; __Host-embedded-stay=" + embedded
	for _, o := range []*web.Options{nil, {Embedded: true}} {
		h := s.routes(o)
		a := send(t, browser(h), "POST", "https://app.test/update", "", "Cookie", both)
		a.want(t, 200, "2")
		if lines := a.header["Set-Cookie"]; len(lines) > 0 {
			t.Errorf("cookies are set: %q", lines)
		}
	}
	// Over http neither name counts.
	send(t, browser(s.routes(nil)), "GET", "http://app.test/view", "", "Cookie", both).want(t, 200, "0")
}
