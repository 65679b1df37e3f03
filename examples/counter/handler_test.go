package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// A visitor is a client with its own cookies.
type visitor struct {
	t *testing.T
	*exampletest.Visitor
}

// newSite makes the handler with its own store and returns a function that
// makes a new visitor.
func newSite(t *testing.T) func() *visitor {
	t.Helper()
	handler := newHandler(staytest.App(t, nil))
	return func() *visitor { return &visitor{t, exampletest.Visit(t, handler)} }
}

// click sends a form as htmx does. What it changes, a stream brings.
func (v *visitor) click(path string) {
	v.t.Helper()
	if resp, body := v.Send("POST", path, nil, exampletest.HTMX...); resp.StatusCode != http.StatusNoContent || body != "" {
		v.t.Errorf("POST %s: %d %q, want 204 and nothing", path, resp.StatusCode, body)
	}
}

// wantShown checks a number of the visitor's page, by its element.
func (v *visitor) wantShown(id, number string) {
	v.t.Helper()
	want := `<span id="` + id + `" sse-swap="` + id + `">` + number + `</span>`
	if _, page := v.Send("GET", "/", nil); !strings.Contains(page, want) {
		_, got, _ := strings.Cut(page, `<span id="`+id)
		v.t.Errorf("the page lacks %s, it has %.40q", want, got)
	}
}

// wantCount checks what the visitor's counter shows.
func (v *visitor) wantCount(number string) {
	v.t.Helper()
	v.wantShown("count", number)
}

// wantTheme checks the theme of the visitor's page.
func (v *visitor) wantTheme(theme string) {
	v.t.Helper()
	if _, page := v.Send(http.MethodGet, "/", nil); !strings.Contains(page, ` data-theme="`+theme+`"`) {
		start, _, _ := strings.Cut(page, "<head>")
		v.t.Errorf("page begins with %q, want theme %s", start, theme)
	}
}

// A increments three times and sees 3, B sees 0, increments and sees 1.
//
// Proves B4.
func TestEachVisitorCountsAlone(t *testing.T) {
	visit := newSite(t)
	a, b := visit(), visit()
	for _, n := range []string{"1", "2", "3"} {
		a.click("/increment")
		a.wantCount(n)
	}
	b.wantCount("0")
	b.click("/increment")
	b.wantCount("1")
	a.wantCount("3")
	a.click("/decrement")
	a.wantCount("2")
	b.wantCount("1")
}

// The total is one number for all.
//
// Proves A5.
func TestTotalIsShared(t *testing.T) {
	visit := newSite(t)
	a, b := visit(), visit()
	a.click("/total/increment")
	b.click("/total/increment")
	a.wantShown("total", "2")
	b.wantShown("total", "2")
	a.wantCount("0")
}

// A reset sets all but the preserved theme back, a full one the theme too;
// other visitors keep what they have.
//
// Proves B7.
func TestResetKeepsTheThemeAndResetAllDoesNot(t *testing.T) {
	visit := newSite(t)
	a, b := visit(), visit()
	b.click("/increment")
	b.wantCount("1")
	b.Send("POST", "/theme", url.Values{"theme": {"light"}}, exampletest.HTMX...)

	a.wantTheme("auto")
	a.click("/decrement")
	a.wantCount("-1")
	a.Send("POST", "/theme", url.Values{"theme": {"dark"}}, exampletest.HTMX...)
	a.wantTheme("dark")
	a.wantCount("-1")

	a.Send("POST", "/reset", nil, exampletest.HTMX...)
	a.wantCount("0")
	a.wantTheme("dark")

	a.click("/increment")
	a.wantCount("1")
	a.Send("POST", "/reset?all=1", nil, exampletest.HTMX...)
	a.wantCount("0")
	a.wantTheme("auto")

	b.wantCount("1")
	b.wantTheme("light")
}

// A theme that does not exist is refused, and nothing changes.
func TestUnknownThemeIsRefused(t *testing.T) {
	v := newSite(t)()
	v.Send("POST", "/theme", url.Values{"theme": {"dark"}}, exampletest.HTMX...)
	for _, form := range []url.Values{{"theme": {"pink"}}, {"theme": {""}}, {}} {
		if resp, body := v.Send("POST", "/theme", form, exampletest.HTMX...); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("theme %q: %d %q, want 422", form, resp.StatusCode, body)
		}
	}
	v.wantTheme("dark")
}

// Logging out ends the session: the number is gone, and the next click begins a
// new session.
//
// Proves S5.
func TestLogoutEndsTheSession(t *testing.T) {
	visit := newSite(t)
	v, other := visit(), visit()
	other.click("/increment")
	other.wantCount("1")
	v.click("/increment")
	v.wantCount("1")
	if resp, body := v.Send("POST", "/logout", nil, exampletest.Form...); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("logout: %d %q, want 303", resp.StatusCode, body)
	}
	v.wantCount("0")
	v.click("/increment")
	v.wantCount("1")
	other.wantCount("1")
}

// The buttons work without JavaScript: a form is sent back to the page. htmx
// gets nothing to show, or an instruction to load the page again.
//
// Proves B8.
func TestFormsAndHTMXGetWhatTheyCanShow(t *testing.T) {
	tests := []struct {
		path, form   string
		header, want string // of the answer to htmx
	}{
		{path: "/increment"},
		{path: "/decrement"},
		{path: "/total/increment"},
		{path: "/theme", form: "theme=dark", header: "HX-Refresh", want: "true"},
		{path: "/reset"},
		{path: "/reset?all=1", header: "HX-Refresh", want: "true"},
		{path: "/logout", header: "HX-Redirect", want: "/"},
	}
	for _, test := range tests {
		t.Run(strings.TrimPrefix(test.path, "/"), func(t *testing.T) {
			visit := newSite(t)
			form, err := url.ParseQuery(test.form)
			if err != nil {
				t.Fatal(err)
			}
			v := visit()
			v.t = t
			resp, body := v.Send("POST", test.path, form, exampletest.Form...)
			if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" || body != "" {
				t.Errorf("as a form: %d, Location %q, body %q", resp.StatusCode, resp.Header.Get("Location"), body)
			}
			resp, body = v.Send("POST", test.path, form, exampletest.HTMX...)
			status := http.StatusNoContent // the stream brings it
			if test.header != "" {
				status = http.StatusOK
			}
			if resp.StatusCode != status || body != "" {
				t.Errorf("as htmx: %d %q, want %d", resp.StatusCode, body, status)
			}
			if test.header != "" && resp.Header.Get(test.header) != test.want {
				t.Errorf("as htmx: %s is %q, want %q", test.header, resp.Header.Get(test.header), test.want)
			}
		})
	}
}

// Pages of other origins cannot click for a visitor.
//
// Proves W7.
func TestOtherOriginsAreRefused(t *testing.T) {
	v := newSite(t)()
	v.click("/increment")
	v.wantCount("1")
	if resp, _ := v.Send("POST", "/increment", nil, "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a click from elsewhere: %d, want 403", resp.StatusCode)
	}
	v.wantCount("1")
}

// The page brings what it needs from the program itself: htmx, which browsers
// may keep, and its licence beside it. It is not part of anybody's session.
func TestStaticFilesAreServedFromTheProgram(t *testing.T) {
	v := newSite(t)()
	_, page := v.Send("GET", "/", nil)
	if strings.Contains(page, "src=\"http") || !strings.Contains(page, `src="/static/htmx-2.0.11.min.js"`) || !strings.Contains(page, `src="/static/htmx-ext-sse-2.2.4.min.js"`) {
		t.Error("the page does not load htmx from the program")
	}
	fresh := newSite(t)()
	for path, want := range map[string]string{
		"/static/htmx-2.0.11.min.js":             "htmx",
		"/static/htmx-2.0.11.LICENSE.txt":        "Zero-Clause BSD",
		"/static/htmx-ext-sse-2.2.4.min.js":      "sse",
		"/static/htmx-ext-sse-2.2.4.LICENSE.txt": "BSD Zero Clause",
	} {
		resp, body := fresh.Send("GET", path, nil)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %d bytes", path, resp.StatusCode, len(body))
		}
		if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		if got := resp.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("%s set a cookie: %s", path, got)
		}
	}
	if resp, _ := fresh.Send("GET", "/nowhere", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/nowhere: %d", resp.StatusCode)
	}
}

// A form without JavaScript that is sent twice counts once, and so does a request of
// htmx that is sent again. The next page counts again.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := newSite(t)()
	v.Twice("/", "/increment", nil)
	v.wantCount("1")
	v.Twice("/", "/increment", nil)
	v.wantCount("2")
	v.Twice("/", "/decrement", nil)
	v.wantCount("1")
	v.Twice("/", "/total/increment", nil)
	v.wantShown("total", "1")
	v.TwiceByScript("/increment", "", exampletest.HTMX...)
	v.wantCount("2")
	v.Twice("/", "/theme", url.Values{"theme": {"dark"}})
	v.wantTheme("dark")
	v.Twice("/", "/reset", nil)
	v.wantCount("0")
	v.wantTheme("dark")
	v.Twice("/", "/reset?all=1", nil)
	v.wantTheme("auto")
}
