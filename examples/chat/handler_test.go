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

// A visitor is a browser, with the page that it shows, of one room.
type visitor struct {
	*exampletest.Visitor
	t    *testing.T
	room string // its address
	page string
}

func newSite(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(newChat(staytest.App(t, nil)), &web.Options{Cookie: "chat"})
}

func visit(t *testing.T, site http.Handler, user string) *visitor {
	t.Helper()
	v := &visitor{Visitor: exampletest.Visit(t, site), t: t, room: "/room/kitchen"}
	if user != "" {
		v.post(http.StatusSeeOther, "/sign-in", "user", user)
	}
	v.load()
	return v
}

func (v *visitor) load() {
	v.t.Helper()
	res, page := v.Send("GET", v.room, nil, exampletest.Form...)
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("GET %s: %d %s", v.room, res.StatusCode, page)
	}
	v.page = page
}

// post sends a form of the room and returns the answer.
func (v *visitor) post(status int, path string, fields ...string) string {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, body := v.Send("POST", v.room+path, form, exampletest.Form...)
	if res.StatusCode != status {
		v.t.Errorf("POST %s: %d %s, want %d", path, res.StatusCode, body, status)
	}
	return body
}

var (
	pageField = regexp.MustCompile(`name="_stay_page" value="([^"]*)"`)
	sayAction = regexp.MustCompile(`action="/room/[a-z]+(/say[^"]*)"`)
)

// say sends the form of the page.
func (v *visitor) say(status int, text string) string {
	v.t.Helper()
	field, action := pageField.FindStringSubmatch(v.page), sayAction.FindStringSubmatch(v.page)
	if field == nil || action == nil {
		v.t.Fatalf("the page has no form:\n%s", v.page)
	}
	return v.post(status, action[1], "text", text, "_stay_page", field[1])
}

// unread is the number in the page, "" without one.
func (v *visitor) unread() string {
	v.load()
	if m := regexp.MustCompile(`<b>(\d+\+?) unread</b>`).FindStringSubmatch(v.page); m != nil {
		return m[1]
	}
	return ""
}

func (v *visitor) wantUnread(want string) {
	v.t.Helper()
	if got := v.unread(); got != want {
		v.t.Errorf("%q unread in %s, want %q", got, v.room, want)
	}
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
	if res, body := ann.Send("GET", ann.room, nil, exampletest.Form...); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the page: %d, %v, %s", res.StatusCode, res.Header, body)
	}
	if _, body := ann.Send("GET", ann.room+"/live", nil, exampletest.Form...); !strings.Contains(body, "retry:") || strings.Contains(body, "event:") {
		t.Errorf("the stream has %q, want it to be tried again", body)
	}
	ann.post(http.StatusServiceUnavailable, "/read", "number", "1")
	ann.post(http.StatusServiceUnavailable, "/say", "text", "again")
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
	guest.post(http.StatusForbidden, "/say", "text", "hello")
	guest.post(http.StatusForbidden, "/read", "number", "1")
	if got := guest.Stream("/room/kitchen/live").Message("messages"); !strings.Contains(got, "signed out") || strings.Contains(got, "hello") {
		t.Errorf("a guest with ann's page gets %q", got)
	}
	guest.post(http.StatusUnprocessableEntity, "/sign-in", "user", strings.Repeat("x", 21))
}

func TestUnreadBelongsToTheUser(t *testing.T) {
	site := newSite(t)
	ann := visit(t, site, "ann")
	ann.say(http.StatusSeeOther, "before ben comes")
	ben := visit(t, site, "ben")
	ben.want("before ben comes")
	ben.wantUnread("")
	ann.load()
	ann.say(http.StatusSeeOther, "one")
	ann.load()
	ann.say(http.StatusSeeOther, "<b>two</b>")
	ben.want("2 unread", "&lt;b&gt;two&lt;/b&gt;", "<title>(2) kitchen · Stay chat</title>")
	visit(t, site, "Ben ").wantUnread("2") // another device
	ben.post(http.StatusSeeOther, "/read", "number", "2")
	ben.wantUnread("1")
	ben.post(http.StatusSeeOther, "/read", "number", "1000")
	ben.wantUnread("")
	ann.load()
	ann.say(http.StatusSeeOther, "three")
	visit(t, site, "ben").wantUnread("1")
	ann.wantUnread("")
}

func TestRoomsAreApart(t *testing.T) {
	site := newSite(t)
	ann, ben := visit(t, site, "ann"), visit(t, site, "ben")
	ann.room = "/room/garden"
	ann.load()
	ann.say(http.StatusSeeOther, "in the garden")
	ben.wantUnread("")
	ben.want(`sse-swap="count-garden"><b>1<`)
	if strings.Contains(ben.page, "in the garden") {
		t.Error("the kitchen shows what was said in the garden")
	}
	ben.post(http.StatusSeeOther, "/read", "number", "1") // of the kitchen
	ben.room = "/room/garden"
	ben.wantUnread("1")
	ben.post(http.StatusSeeOther, "/read", "number", "1")
	ben.wantUnread("")
	for _, path := range []string{"/room/cellar", "/room/cellar/live"} {
		if res, _ := ben.Send("GET", path, nil, exampletest.Form...); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
	ben.room = "/room/cellar"
	ben.post(http.StatusNotFound, "/say", "text", "hello")
	ben.post(http.StatusNotFound, "/read", "number", "1")
}

// A page is told what is said, here and in other rooms, and what was read on another
// device. It is over with the session.
func TestStreamsBringWhatIsNew(t *testing.T) {
	site := newSite(t)
	ann, ben := visit(t, site, "ann"), visit(t, site, "ben")
	stream := ben.Stream("/room/kitchen/live")
	stream.Message("messages")
	stream.Message("here")
	ann.say(http.StatusSeeOther, "hello")
	if got := stream.Message("unread"); !strings.Contains(got, "<b>1 unread</b>") {
		t.Errorf("something new: %q", got)
	}
	if got := stream.Message("messages"); !strings.Contains(got, "hello") || strings.Contains(got, "<html") {
		t.Errorf("something new: %q", got)
	}
	visit(t, site, "ben").post(http.StatusSeeOther, "/read", "number", "1")
	if got := stream.Message("unread"); strings.Contains(got, "<b>") {
		t.Errorf("read elsewhere: %q", got)
	}
	ann.room = "/room/garden"
	ann.load()
	ann.say(http.StatusSeeOther, "over here")
	if got := stream.Message("count-garden"); !strings.HasPrefix(got, "<b>1<") {
		t.Errorf("something new in another room: %q", got)
	}
	if res, body := ben.Send("POST", "/room/kitchen/read", nil, exampletest.HTMX...); res.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("read, as htmx asks: %d %q", res.StatusCode, body)
	}
	ben.post(http.StatusSeeOther, "/sign-out")
	ann.load()
	ann.say(http.StatusSeeOther, "not for ben")
	stream.Ends()
}

// A page shows who else has the room open, and not who has another one.
func TestPresenceIsOfTheRoom(t *testing.T) {
	site := newSite(t)
	ann, ben := visit(t, site, "ann"), visit(t, site, "ben")
	stream := ann.Stream("/room/kitchen/live")
	if got := stream.Message("here"); !strings.Contains(got, "Nobody else is here.") {
		t.Errorf("before anybody comes: %q", got)
	}
	ben.Stream("/room/garden/live").Message("here")
	visit(t, site, "").Stream("/room/kitchen/live").Message("messages") // a guest
	ben.Stream("/room/kitchen/live").Message("here")
	if got := stream.Message("here"); !strings.Contains(got, "Here: <b>ben</b> and you.") {
		t.Errorf("ben has come: %q", got)
	}
	ann.want("Here: <b>ben</b> and you.")
	ann.room = "/room/workshop"
	ann.want("Nobody else is here.")
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
	if body := ann.say(http.StatusUnprocessableEntity, "hello, and good night"); !strings.Contains(body, "as it was before you changed it") ||
		!strings.Contains(body, `value="hello, and good night"`) || strings.Contains(body, sayAction.FindString(ann.page)) {
		t.Errorf("a message that was changed after it had arrived: %s", body)
	}
	ann.load()
	if n := strings.Count(ann.page, ">hello<"); n != 1 {
		t.Errorf("a form that was sent twice is shown %d times", n)
	}
	ann.say(http.StatusSeeOther, "hello") // another form
	ann.load()
	if n := strings.Count(ann.page, ">hello<"); n != 2 {
		t.Errorf("two forms with one text are shown %d times", n)
	}
	ann.post(http.StatusSeeOther, "/sign-out")
	ann.post(http.StatusSeeOther, "/sign-in", "user", "ben")
	ann.say(http.StatusConflict, "from ann's page, with ben signed in")
}
