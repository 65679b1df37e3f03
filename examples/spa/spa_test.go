package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// list waits until the page shows these items.
func list(p *browsertest.Page, items ...string) {
	p.WantValue("the list", `[...document.querySelectorAll("#list span")].map(e => e.textContent).join("|")`, strings.Join(items, "|"))
}

// The program in a real browser, in two tabs: each shows what the other does, what
// is done without a server is sent when there is one, and a mistake is said.
// STAY_SCREENSHOT=folder writes a picture of the page.
//
// Proves B8, L16, L17.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "spa")
	server.Start()
	browser := browsertest.Start(t)
	page, other := browser.NewPage(t), browser.NewPage(t)
	page.Goto(server.URL)
	tab := page.NewTab()
	tab.Goto(server.URL)
	other.Goto(server.URL)

	const strange = `<b>jam</b> & "tea"`
	page.Type("#item", "Scones\r")
	page.Type("#item", strange+"\r")
	for _, p := range []*browsertest.Page{page, tab} {
		list(p, "Scones", strange)
	}
	tab.Type("#item", "Scones\r")
	list(page, "2 × Scones", strange)
	list(other)

	page.Click("#add")
	page.WantText("#wrong", "Please write 1 to 40 characters.")
	list(page, "2 × Scones", strange)

	// Actions are sent until they are answered, in their order.
	server.Kill()
	page.Type("#item", "Butter\r")
	page.Type("#item", "Butter\r")
	page.Click("#list li:first-child button")
	page.WantText("#sending", "3 to send")
	server.Start()
	for _, p := range []*browsertest.Page{page, tab} {
		list(p, strange, "2 × Butter")
	}
	page.WantText("#sending", "")
	page.WantText("#wrong", "")
	page.Reload()
	list(page, strange, "2 × Butter")

	server.Terminate()
	server.Start()
	tab.Click("#list li:first-child button")
	list(tab, "2 × Butter")
	list(page, "2 × Butter")

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		page.Type("#item", "Scones\r")
		page.Look(700, 420, "light")
		list(page, "2 × Butter", "Scones")
		if err := os.WriteFile(filepath.Join(folder, "spa.png"), page.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
