package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

func flashing(s *site) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /save", web.Update(s.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		if err := web.SetFlash(w, r, r.FormValue("say")); err != nil {
			return err
		}
		if r.FormValue("fail") != "" {
			return stay.ErrDenied
		}
		web.Redirect(w, r, "/")
		return nil
	}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "[%s]", web.TakeFlash(w, r)) })
	return web.Sessions(s.app, nil)(mux)
}

// A message is shown on one page, the next one that is loaded.
func TestFlashIsShownOnce(t *testing.T) {
	c := browser(flashing(newSite(t)))
	get := func(want string) answer {
		t.Helper()
		a := send(t, c, "GET", "http://shop.test/", "")
		a.want(t, 200, want)
		return a
	}
	if a := get("[]"); len(a.header["Set-Cookie"]) > 0 || a.header.Get("Cache-Control") != "" {
		t.Errorf("a page without a message: %v", a.header)
	}
	send(t, guestOf(c), "POST", "http://shop.test/save", "say=Saved%3B+%3Cb%3Eäö", "Content-Type", form)
	if a := get("[Saved; <b>äö]"); a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page with a message: %v", a.header)
	}
	get("[]")
}

// guestOf returns the same browser, which follows no redirects.
func guestOf(c *http.Client) *http.Client {
	same := *c
	same.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &same
}

// A change that fails leaves no message.
func TestFlashOfAFailedChangeIsNotShown(t *testing.T) {
	c := browser(flashing(newSite(t)))
	send(t, c, "POST", "http://shop.test/save", "say=Saved&fail=1", "Content-Type", form).want(t, http.StatusForbidden, "Forbidden\n")
	send(t, c, "GET", "http://shop.test/", "").want(t, 200, "[]")
}

// No visitor can write a message for another browser: a text that the program
// did not sign is not shown, and neither is one with another label.
func TestFlashIsSigned(t *testing.T) {
	s := newSite(t)
	h := flashing(s)
	c := browser(h)
	a := send(t, guestOf(c), "POST", "http://shop.test/save", "say=Saved", "Content-Type", form)
	var value string
	for _, line := range a.header["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, "stay-flash="); ok {
			value, _, _ = strings.Cut(rest, ";")
		}
	}
	label, _, _ := strings.Cut(value, ".")
	if label == "" {
		t.Fatalf("no message in %v", a.header)
	}
	for _, forged := range []string{label + ".RXZpbA", ".RXZpbA", "RXZpbA", "x.y.z", "%", strings.Repeat("x", 5000)} {
		send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", "stay-flash="+forged).want(t, 200, "[]")
	}
	send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", "stay-flash="+value).want(t, 200, "[Saved]")
}

func TestFlashThatIsTooLongIsAnError(t *testing.T) {
	c := browser(flashing(newSite(t)))
	a := send(t, c, "POST", "http://shop.test/save", "say="+strings.Repeat("x", 2049), "Content-Type", form)
	if a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestFlashOutsideOfSessions(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := web.SetFlash(w, r, "hello"); stay.CodeOf(err) != stay.ErrNoSession {
			t.Errorf("SetFlash: %v", err)
		}
		io.WriteString(w, web.TakeFlash(w, r))
	})
	send(t, browser(h), "GET", "http://shop.test/", "").want(t, 200, "")
}
