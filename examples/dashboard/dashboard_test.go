package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// The program in a real browser: two visitors, one of them in two tabs. What
// belongs to whom is live, through a login and a logout without a page load, a
// restart and kill -9. STAY_SCREENSHOT=folder writes pictures of the page.
//
// Proves B8, L14, L16, L17.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "dashboard")
	server.Start()
	browser := browsertest.Start(t)
	ann, ben := browser.NewPage(t), browser.NewPage(t)
	ann.Goto(server.URL)
	ben.Goto(server.URL)
	tab := ann.NewTab()
	tab.Goto(server.URL)
	all := []*browsertest.Page{ann, tab, ben}
	for _, p := range all {
		p.Eval(`window.first = "yes"`)
	}

	// The counter is everybody's, the note of one browser. Each click has an id.
	ann.Eval(`window.ids = [], window.send = fetch, window.fetch = (url, o) => { ids.push(new Headers(o.headers).get("Idempotency-Key")); return send(url, o) }, ""`)
	ann.Click("#order")
	ann.WantValue("the ids", `new Set(ids.filter(Boolean)).size + " of " + ids.length`, "1 of 1")
	ben.Click("#order")
	for _, p := range all {
		p.WantText("#waiting", "2")
	}
	tab.Click("#serve")
	for _, p := range all {
		p.WantText("#waiting", "1")
		p.WantText("#served", "1")
	}
	const strange = `<b>4 o'clock</b> & "${cake}"`
	ann.Type("#write", strange+"\r")
	tab.WantText("#note", strange)
	ann.WantValue("the field", `document.querySelector("#write").value`, "")
	ben.WantText("#note", "Nothing yet.")

	// A mistake is said where it was made.
	ann.Click("#add")
	ann.WantText("#problem", "Please write 1 to 80 characters.")
	tab.WantText("#problem", "")
	ann.Type("#task", "Scones\r")
	ann.WantText("#problem", "")

	// A login takes the tasks along, in all tabs and on all devices, and a logout
	// leaves nothing on the screen.
	for _, p := range []*browsertest.Page{ann, tab} {
		p.WantText("#tasks li span", "Scones")
	}
	ann.Type("#user", "ann\r")
	for _, p := range []*browsertest.Page{ann, tab} {
		p.WantText("#owner", "Signed in as ann")
		p.WantText("#tasks li span", "Scones")
	}
	ben.Type("#user", "ann\r")
	ben.WantText("#tasks li span", "Scones")
	ben.Type("#task", "Jam\r")
	for _, p := range all {
		p.WantText("#tasks li:nth-child(2) span", "Jam")
	}
	tab.Click("#tasks button")
	for _, p := range all {
		p.WantText("#tasks li span", "Jam")
	}
	ben.Click("#sign-out")
	ben.WantText("#owner", "A guest")
	ben.WantText("#tasks", "Nothing to do.")
	ann.WantText("#tasks li span", "Jam")

	// Pages that stay open outlive the server.
	server.Terminate()
	server.Start()
	ben.Click("#order")
	for _, p := range all {
		p.WantText("#waiting", "2")
	}
	server.Kill()
	server.Start()
	ann.Click("#serve")
	for _, p := range all {
		p.WantText("#served", "2")
		if p.Eval(`window.first ?? ""`) != "yes" {
			t.Error("the page was loaded again")
		}
	}

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		for name, scheme := range map[string]string{"dashboard.png": "light", "dashboard-dark.png": "dark"} {
			ann.Look(1000, 560, scheme)
			if err := os.WriteFile(filepath.Join(folder, name), ann.Screenshot(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A page without JavaScript works too: its buttons are forms.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "dashboard")
	server.Start()
	page := browsertest.Start(t).NewPage(t)
	page.DisableJavaScript()
	page.Goto(server.URL)
	page.Click("#order")
	page.WantText("#waiting", "1")
	page.Click("#serve")
	page.WantText("#served", "1")
	page.Type("#task", "Scones\r")
	page.WantText("#tasks li span", "Scones")
	page.Type("#user", "ann\r")
	page.WantText("#owner", "Signed in as ann")
	page.Click("#tasks button")
	page.WantText("#tasks", "Nothing to do.")
	page.Click("#sign-out")
	page.WantText("#owner", "A guest")
}
