package main

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// A visitor is a browser, with the page that it shows.
type visitor struct {
	*exampletest.Visitor
	t    *testing.T
	page string
}

func newSite(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(newChat(staytest.App(t, nil)), &web.Options{Cookie: "chat"})
}

func visit(t *testing.T, site http.Handler, user string) *visitor {
	t.Helper()
	v := &visitor{Visitor: exampletest.Visit(t, site), t: t}
	if user != "" {
		v.post(http.StatusSeeOther, "/sign-in", "user", user)
	}
	v.load()
	return v
}

func (v *visitor) load() {
	v.t.Helper()
	res, page := v.Send("GET", "/", nil, exampletest.Form...)
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("GET /: %d %s", res.StatusCode, page)
	}
	v.page = page
}

// post sends a form and returns the answer.
func (v *visitor) post(status int, path string, fields ...string) string {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, body := v.Send("POST", path, form, exampletest.Form...)
	if res.StatusCode != status {
		v.t.Errorf("POST %s: %d %s, want %d", path, res.StatusCode, body, status)
	}
	return body
}

var hidden = regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)

// say sends the form of the page.
func (v *visitor) say(status int, text string) string {
	v.t.Helper()
	fields := []string{"text", text}
	for _, m := range hidden.FindAllStringSubmatch(v.page, -1) {
		if m[1] == "id" || m[1] == "_stay_page" {
			fields = append(fields, m[1], m[2])
		}
	}
	return v.post(status, "/say", fields...)
}

func (v *visitor) want(parts ...string) {
	v.t.Helper()
	v.load()
	for _, part := range parts {
		if !strings.Contains(v.page, part) {
			v.t.Errorf("the page lacks %q:\n%s", part, v.page)
		}
	}
}

// TestNobodyIsAGuestWhileTheStoreIsGone proves that a page stays in the browser
// while the store does not answer, with the form that may have to be sent again.
func TestNobodyIsAGuestWhileTheStoreIsGone(t *testing.T) {
	st := storefault.Wrap(memstore.Shared(1)[0], nil)
	app := stay.New(st, nil)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	site := newHandler(newChat(app), &web.Options{Cookie: "chat"})
	ann := visit(t, site, "ann")
	ann.say(http.StatusSeeOther, "hello")
	gone := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(store.ErrUnavailable)})
	for _, path := range []string{"/", "/live"} {
		if res, body := ann.Send("GET", path, nil, exampletest.Form...); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("GET %s: %d, %v, %s", path, res.StatusCode, res.Header, body)
		}
	}
	ann.post(http.StatusServiceUnavailable, "/read", "number", "1")
	ann.post(http.StatusServiceUnavailable, "/say", "id", "1", "text", "again")
	gone.Remove()
	ann.want("hello", "Signed in as")
}

func TestGuestsSeeAndSayNothing(t *testing.T) {
	site := newSite(t)
	visit(t, site, "ann").say(http.StatusSeeOther, "hello")
	guest := visit(t, site, "")
	guest.want("Come in")
	if strings.Contains(guest.page, "hello") {
		t.Error("a guest sees the room")
	}
	guest.post(http.StatusForbidden, "/say", "id", "x", "text", "hello")
	guest.post(http.StatusForbidden, "/read", "number", "1")
	if got := guest.Stream("/live").Message("messages"); !strings.Contains(got, "signed out") || strings.Contains(got, "hello") {
		t.Errorf("a guest with ann's page gets %q", got)
	}
	guest.post(http.StatusUnprocessableEntity, "/sign-in", "user", strings.Repeat("x", 21))
}

func TestUnreadBelongsToTheUser(t *testing.T) {
	site := newSite(t)
	ann := visit(t, site, "ann")
	ann.say(http.StatusSeeOther, "before ben comes")
	ben := visit(t, site, "ben")
	ben.want("before ben comes", `role="status"></output>`)
	ann.load()
	ann.say(http.StatusSeeOther, "one")
	ann.load()
	ann.say(http.StatusSeeOther, "<b>two</b>")
	ben.want("2 unread", "&lt;b&gt;two&lt;/b&gt;")
	visit(t, site, "Ben ").want("2 unread") // another device
	ben.post(http.StatusSeeOther, "/read", "number", "2")
	ben.want("1 unread")
	ben.post(http.StatusSeeOther, "/read", "number", "1000")
	ben.want(`role="status"></output>`)
	ann.load()
	ann.say(http.StatusSeeOther, "three")
	visit(t, site, "ben").want("1 unread")
	ann.want(`role="status"></output>`)
}

// A page is told what is said, and what was read on another device. It is over with
// the session.
func TestStreamsBringWhatIsNew(t *testing.T) {
	site := newSite(t)
	ann, ben := visit(t, site, "ann"), visit(t, site, "ben")
	stream := ben.Stream("/live")
	if got := stream.Message("seen"); got != "0" {
		t.Errorf("ben has read up to %q", got)
	}
	stream.Message("messages")
	ann.say(http.StatusSeeOther, "hello")
	if got := stream.Message("messages"); !strings.Contains(got, "hello") || strings.Contains(got, "<html") {
		t.Errorf("something new: %q", got)
	}
	visit(t, site, "ben").post(http.StatusSeeOther, "/read", "number", "1")
	if got := stream.Message("seen"); got != "1" {
		t.Errorf("read elsewhere: %q", got)
	}
	if res, body := ben.Send("POST", "/read", nil, exampletest.HTMX...); res.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("read, as htmx asks: %d %q", res.StatusCode, body)
	}
	ben.post(http.StatusSeeOther, "/sign-out")
	ann.load()
	ann.say(http.StatusSeeOther, "not for ben")
	stream.Ends()
}

// A message that is refused stays in its field, and a form that is sent again
// counts once.
func TestFormsOfMessages(t *testing.T) {
	site := newSite(t)
	ann := visit(t, site, "ann")
	long := strings.Repeat("x", maxText+1)
	if body := ann.say(http.StatusUnprocessableEntity, long); !strings.Contains(body, `value="`+long+`"`) || !strings.Contains(body, "At most 500 characters") {
		t.Errorf("refused: %s", body)
	}
	ann.say(http.StatusSeeOther, "hello")
	ann.say(http.StatusSeeOther, "hello")
	ann.load()
	if n := strings.Count(ann.page, "hello"); n != 1 {
		t.Errorf("a form that was sent twice is shown %d times", n)
	}
	ann.post(http.StatusSeeOther, "/sign-out")
	ann.post(http.StatusSeeOther, "/sign-in", "user", "ben")
	ann.say(http.StatusConflict, "from ann's page, with ben signed in")
}
