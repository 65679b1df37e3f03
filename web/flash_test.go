package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

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
	if a := get("[]"); len(a.header["Set-Cookie"]) > 0 || a.header.Get("Cache-Control") != "private, no-store" || a.header.Get("Vary") != "Cookie" {
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
	value := strings.TrimPrefix(flashOf(t, a), "stay-flash=")
	label, rest, _ := strings.Cut(value, ".")
	until, _, _ := strings.Cut(rest, ".")
	for _, forged := range []string{label + ".RXZpbA", label + "." + until + ".RXZpbA", ".RXZpbA", "RXZpbA", "x.y.z", "%", strings.Repeat("x", 5000)} {
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

// The value of a page is no signature of a message, whatever the user is called.
func TestTheValueOfAPageSignsNoFlash(t *testing.T) {
	until := strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10)
	for _, text := range []string{"Evil", "RXZpbA", until + ".RXZpbA"} {
		for _, before := range []string{"", "flash", "flash\x00", "\x00flash\x00", "page\x00flash\x00"} {
			s := newSite(t)
			mux := http.NewServeMux()
			mux.Handle("/", flashing(s))
			mux.HandleFunc("GET /value", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, web.PageValue(r)) })
			mux.Handle("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
				return stay.SessionFrom(r.Context()).Login(r.Context(), before+text)
			}))
			h := web.Sessions(s.app, nil)(mux)
			c := browser(h)
			send(t, c, "POST", "http://shop.test/login", "").want(t, 200, "")
			label := send(t, c, "GET", "http://shop.test/value", "").body
			for _, forged := range []string{label + ".RXZpbA", label + "." + until + ".RXZpbA"} {
				send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", "stay-flash="+forged).want(t, 200, "[]")
			}
		}
	}
}

// A cookie that somebody has kept shows its message for five minutes only.
func TestFlashWaitsFiveMinutes(t *testing.T) {
	now := time.Now()
	s := newSite(t, func(o *stay.Options) { o.Clock = func() time.Time { return now } })
	h := flashing(s)
	a := send(t, guestOf(browser(h)), "POST", "http://shop.test/save", "say=Saved", "Content-Type", form)
	kept := flashOf(t, a)
	now = now.Add(5*time.Minute - time.Second)
	send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", kept).want(t, 200, "[Saved]")
	now = now.Add(time.Second)
	send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", kept).want(t, 200, "[]")
	label, rest, _ := strings.Cut(kept, ".")
	until, message, _ := strings.Cut(rest, ".")
	seconds, _ := strconv.Atoi(until)
	later := fmt.Sprintf("%s.%d.%s", label, seconds+60, message)
	send(t, browser(h), "GET", "http://shop.test/", "", "Cookie", later).want(t, 200, "[]")
}

// flashOf returns the cookie of the message that a response sets, as the browser
// sends it.
func flashOf(t *testing.T, a answer) string {
	t.Helper()
	found := ""
	for _, line := range a.header["Set-Cookie"] {
		if cookie, _, _ := strings.Cut(line, ";"); strings.HasPrefix(cookie, "stay-flash=") && cookie != "stay-flash=" {
			if found != "" {
				t.Errorf("two messages: %q", a.header["Set-Cookie"])
			}
			found = cookie
		}
	}
	if found == "" {
		t.Fatalf("no message in %q", a.header["Set-Cookie"])
	}
	return found
}

func TestFlashAfterTheHeaderIsAnError(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		if err := web.SetFlash(w, r, "Saved"); stay.CodeOf(err) != stay.ErrInternal {
			t.Errorf("SetFlash after the header: %v", err)
		}
	}))
	send(t, browser(h), "GET", "http://shop.test/", "").want(t, http.StatusOK, "")
}
