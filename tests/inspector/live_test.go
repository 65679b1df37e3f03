package inspector_test

import (
	"testing"

	"github.com/stay-go/stay/tests/browsertest"
)

// The pages in a browser with JavaScript: they change without being loaded again,
// around what somebody types, selects and has scrolled to. In the background they
// rest. Who may not look any more sees nothing any more.
func TestLiveInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t)
	browser := browsertest.Start(t)
	ann := browser.NewPage(t)
	ann.Goto(s.URL + "/work/ann@example.com")
	ann.WantText("#done", "done")
	letter := func(title string) {
		t.Helper()
		if _, err := s.docs.At("letters/ann@example.com").Update(t.Context(), func(d *document) error { d.Title = title; return nil }); err != nil {
			t.Fatal(err)
		}
	}

	page := browser.NewPage(t)
	page.Look(390, 900, "light")
	page.Goto(s.URL + "/debug/stay/module?name=document")
	page.Click("#states tbody a")
	page.WantText("#live", "live")
	const title = `JSON.parse(document.querySelector("pre").innerText).title`
	page.WantValue("the title", title, "A letter of ann@example.com")
	page.Eval(`(window.marked = "marked", document.querySelector("nav a:nth-child(3)").focus(), getSelection().selectAllChildren(document.querySelector("h1")), "")`)
	letter("Changed")
	page.WantValue("the title", title, "Changed")
	letter("<script>alert(1)</script>")
	page.WantValue("the title", title, "<script>alert(1)</script>")
	page.WantValue("the page, its focus and its selection", `marked + document.activeElement.innerText + getSelection()`, "markedUsersdocument, letters/ann@example.com")

	// Somebody types while the list grows.
	page.Goto(s.URL + "/debug/stay/module?name=document")
	page.WantText("#live", "live")
	page.Type("#q", "let")
	page.Eval(`(document.querySelector(".scroll").scrollLeft = 40, "")`)
	if _, err := s.docs.At("minutes").Update(t.Context(), func(d *document) error { d.ID = "minutes"; return nil }); err != nil {
		t.Fatal(err)
	}
	page.WantText("#states tbody tr:nth-child(2) th", "minutes")
	page.WantValue("what is typed", `document.querySelector("#q").value + document.activeElement.id + document.querySelector(".scroll").scrollLeft`, "letq40")

	// Streams of other pages.
	page.Goto(s.URL + "/debug/stay/streams")
	page.WantText("#streams h2 + p", "Nobody watches a state.")
	ann.Goto(s.URL + "/hits")
	ann.WantText("#hits", "1")
	page.WantText("#streams .card:first-child b", "1")
	page.WantText("#streams tbody tr:nth-child(1) th", "cart")
	page.WantText("#streams tbody tr:nth-child(2) th", "hits")
	page.Click("#streams tbody tr:nth-child(1) a")
	page.WantText("#state dd a[href^=user]", "ann@example.com")

	// In the background nothing is asked for.
	page.Goto(s.URL + "/debug/stay/module?name=hits")
	page.Click("#states tbody a")
	page.WantText("#live", "live")
	hide := func(hidden string) {
		page.Eval(`(Object.defineProperty(document, "hidden", {value: ` + hidden + `, configurable: true}), dispatchEvent(new Event("visibilitychange")), "")`)
	}
	const n = `String(JSON.parse(document.querySelector("pre").innerText).n)`
	hide("true")
	other := browser.NewPage(t)
	other.Goto(page.Eval("location.href"))
	for _, want := range []string{"2", "3"} { // at the last, the one before has come to all who listen
		ann.Goto(s.URL + "/work/ann@example.com")
		ann.WantText("#done", "done")
		other.WantValue("the counter", n, want)
	}
	if got := page.Eval(n); got != "1" {
		t.Errorf("in the background the page shows %s", got)
	}
	hide("false")
	page.WantValue("the counter", n, "3")

	s.closed.Store(true)
	page.WantValue("the page", `document.body.innerText.trim()`, "404 page not found")
	s.closed.Store(false)
	page.Reload()
	page.WantText("#live", "live")
	s.CloseClientConnections()
	s.Listener.Close()
	page.WantText("#live", "waiting for the server")
	page.WantValue("the counter", n, "3")
}
