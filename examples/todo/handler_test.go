package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// newSite returns a function that brings a new visitor to one site.
func newSite(t *testing.T) func() *exampletest.Visitor {
	t.Helper()
	handler := newHandler(staytest.App(t, nil))
	return func() *exampletest.Visitor { return exampletest.Visit(t, handler) }
}

func title(s string) url.Values { return url.Values{"title": {s}} }

func user(s string) url.Values { return url.Values{"user": {s}} }

// wantJSON checks the list as scripts get it.
func wantJSON(t *testing.T, v *exampletest.Visitor, want string) {
	t.Helper()
	if resp, body := v.Send("GET", "/todos.json", nil); resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != want {
		t.Errorf("GET /todos.json: %d %s, want %s", resp.StatusCode, body, want)
	}
}

var togglePath = regexp.MustCompile(`/todos/\w+/toggle`)

// toggles returns where the items of the page are toggled, in their order.
func toggles(v *exampletest.Visitor) []string {
	_, page := v.Send("GET", "/", nil)
	var paths []string
	for _, form := range regexp.MustCompile(` action="/todos/\w+/toggle[?"]`).FindAllString(page, -1) {
		paths = append(paths, togglePath.FindString(form))
	}
	return paths
}

// Guest, login, logout and another user, as a script does it.
//
// Proves A7, A8.
func TestListsOfUsers(t *testing.T) {
	visit := newSite(t)
	v := visit()
	wantJSON(t, v, `[]`)
	v.Send("POST", "/todos", title("buy milk"))
	wantJSON(t, v, `[{"title":"buy milk","done":false}]`)
	if resp, _ := v.Send("POST", "/login", user("ann")); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Set-Cookie") == "" {
		t.Errorf("login: %d, Set-Cookie %q", resp.StatusCode, resp.Header.Get("Set-Cookie"))
	}
	wantJSON(t, v, `[{"title":"buy milk","done":false}]`)
	v.Send("POST", "/logout", nil)
	wantJSON(t, v, `[]`)

	other := visit()
	other.Send("POST", "/login", user("ben"))
	wantJSON(t, other, `[]`)
	other.Send("POST", "/login", user("ann"))
	wantJSON(t, other, `[{"title":"buy milk","done":false}]`)
}

// An old page on one device changes the item that it shows, whatever another
// device has done to the list; a deleted item is 404 and changes nothing.
func TestToggleHitsTheItemThatIsShown(t *testing.T) {
	visit := newSite(t)
	laptop, phone := visit(), visit()
	laptop.Send("POST", "/login", user("ann"))
	laptop.Send("POST", "/todos", title("first"))
	laptop.Send("POST", "/todos", title("second"))
	phone.Send("POST", "/login", user("ann"))

	old := toggles(phone)
	laptop.Send("POST", old[0], nil)
	laptop.Send("POST", "/todos/clear", nil)
	wantJSON(t, laptop, `[{"title":"second","done":false}]`)
	phone.Send("POST", old[1], nil)
	wantJSON(t, laptop, `[{"title":"second","done":true}]`)
	if resp, body := phone.Send("POST", old[0], nil, exampletest.HTMX...); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an item that is gone: %d %q", resp.StatusCode, body)
	}
	wantJSON(t, laptop, `[{"title":"second","done":true}]`)
}

// The buttons work without JavaScript: a form is sent back to the page. htmx
// gets the part that has changed, and what to change elsewhere.
func TestFormsAndHTMXGetWhatTheyCanShow(t *testing.T) {
	v := newSite(t)()
	_, added := v.Send("POST", "/todos", title("<b>milk</b>"), exampletest.HTMX...)
	item := toggles(v)[0]
	for _, test := range []struct {
		path     string
		form     url.Values
		fragment []string // is part of the answer to htmx
		redirect string   // the header in the answer to htmx
	}{
		{path: "/todos", form: title("bread"), fragment: []string{`<form id="new"`, `hx-swap-oob="beforeend:#items"`, "bread", "3 of 3 to do"}},
		{path: item, fragment: []string{`<li id="item-`, "&lt;b&gt;milk", " to do"}},
		{path: "/todos/clear", fragment: []string{`<ul id="items"`, " to do"}},
		{path: "/login", form: user("ann"), redirect: "/"},
		{path: "/logout", redirect: "/"},
	} {
		if resp, _ := v.Send("POST", test.path, test.form, exampletest.Form...); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
			t.Errorf("%s as a form: %d, Location %q", test.path, resp.StatusCode, resp.Header.Get("Location"))
		}
		resp, body := v.Send("POST", test.path, test.form, exampletest.HTMX...)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("HX-Redirect") != test.redirect || strings.Contains(body, "<html") {
			t.Errorf("%s as htmx: %d, HX-Redirect %q, %q", test.path, resp.StatusCode, resp.Header.Get("HX-Redirect"), body)
		}
		for _, want := range test.fragment {
			if !strings.Contains(body, want) {
				t.Errorf("%s as htmx: %q has no %q", test.path, body, want)
			}
		}
	}
	if strings.Contains(added, "<b>") || !strings.Contains(added, "1 of 1 to do") {
		t.Errorf("the first item: %q", added)
	}
}

// What is refused comes back with 422, what was written and why: htmx gets the
// form, a browser without it the whole page.
func TestRefusedFormsComeBack(t *testing.T) {
	v := newSite(t)()
	v.Send("POST", "/todos", title("buy milk"))
	long := strings.Repeat("x", maxTitle+1)
	for _, test := range []struct {
		path string
		form url.Values
		want []string
	}{
		{"/todos", title(" "), []string{`<form id="new"`, `aria-invalid="true"`, "Please write what there is to do."}},
		{"/todos", title(long), []string{`value="` + long + `"`, "at most 200 characters"}},
		{"/login", user(""), []string{`<form id="login"`, `aria-invalid="true"`, "Please say who you are."}},
	} {
		for _, headers := range [][]string{exampletest.Form, exampletest.HTMX} {
			resp, body := v.Send("POST", test.path, test.form, headers...)
			whole := headers[1] == exampletest.Form[1]
			if resp.StatusCode != http.StatusUnprocessableEntity || strings.Contains(body, "buy milk") != whole {
				t.Errorf("%s %q: %d %q", test.path, headers, resp.StatusCode, body)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("%s %q: %q has no %q", test.path, headers, body, want)
				}
			}
		}
	}
	wantJSON(t, v, `[{"title":"buy milk","done":false}]`)
}

// A login, and a logout, that is sent twice happens once. The second finds its
// cookie refused and is sent to the page as the first.
//
// Proves K2.
func TestLoginAndLogoutSentTwice(t *testing.T) {
	visit := newSite(t)
	v := visit()
	resp, _ := v.Send("POST", "/todos", title("buy milk"))
	for _, path := range []string{"/login", "/logout"} {
		cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		resp, _ = v.Send("POST", path, user("ann"))
		again, body := visit().Send("POST", path, user("ann"), "Cookie", cookie)
		if again.StatusCode != http.StatusSeeOther || again.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s again: %d %q, Set-Cookie %q", path, again.StatusCode, body, again.Header.Get("Set-Cookie"))
		}
	}
	wantJSON(t, v, `[]`)
	v.Send("POST", "/login", user("ann"))
	wantJSON(t, v, `[{"title":"buy milk","done":false}]`)
}

// No guest becomes a user by sending the key field with another form, which has
// no such field and leaves it out.
//
// Proves K6.
func TestKeyFieldIsNotForClients(t *testing.T) {
	v := newSite(t)()
	v.Send("POST", "/login", user("ann"))
	v.Send("POST", "/todos", url.Values{"title": {"mine"}, "user": {"ben"}})
	wantJSON(t, v, `[{"title":"mine","done":false}]`)
	if _, page := v.Send("GET", "/", nil); !strings.Contains(page, `<strong id="user">ann</strong>`) {
		t.Error("the page is not ann's any more")
	}
}

// Pages of other origins cannot log a visitor in.
func TestOtherOriginsAreRefused(t *testing.T) {
	v := newSite(t)()
	if resp, _ := v.Send("POST", "/login", user("mallory"), "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a login from elsewhere: %d, want 403", resp.StatusCode)
	}
}

// A form that is sent twice counts once, with htmx too.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := newSite(t)()
	v.Twice("/", "/todos", title("milk"))
	v.Twice("/", "/todos", title("milk"))
	wantJSON(t, v, `[{"title":"milk","done":false},{"title":"milk","done":false}]`)
	v.Twice("/", toggles(v)[1], nil)
	wantJSON(t, v, `[{"title":"milk","done":false},{"title":"milk","done":true}]`)
	v.Twice("/", "/todos/clear", nil)
	wantJSON(t, v, `[{"title":"milk","done":false}]`)

	headers := append([]string{"Idempotency-Key", "tea"}, exampletest.HTMX...)
	for _, want := range []string{"", "/"} { // the second gets the whole page
		resp, body := v.Send("POST", "/todos", title("tea"), headers...)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("HX-Redirect") != want {
			t.Errorf("htmx: %d to %q %s, want to %q", resp.StatusCode, resp.Header.Get("HX-Redirect"), body, want)
		}
	}
	wantJSON(t, v, `[{"title":"milk","done":false},{"title":"tea","done":false}]`)
}
