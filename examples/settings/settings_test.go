package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// A visitor is a browser with the page open.
type visitor struct{ *browsertest.Page }

// wantHeld waits until the page says that the server holds this, and looks as
// it says.
func (v visitor) wantHeld(want Settings) {
	v.WantAttribute("main", "data-theme", want.Theme)
	v.WantAttribute("main", "lang", want.Language)
	for id, value := range map[string]string{
		"theme": want.Theme, "language": want.Language, "filter": want.Filter, "open": want.Open, "draft": want.Draft,
	} {
		v.WantText("#held-"+id, value)
	}
	v.wantBound()
}

// wantBound waits until htmx has bound the parts that it brought. It does so
// some 20 ms after it shows them, and until then a click or a key is lost.
func (v visitor) wantBound() {
	v.WantValue("what htmx still does", `String(document.querySelectorAll(".htmx-request, .htmx-swapping, .htmx-settling").length)`, "0")
}

// wantFields checks what the fields show.
func (v visitor) wantFields(filter, draft, open string) {
	v.WantValue("the filter", `document.querySelector("#filter").value`, filter)
	v.WantValue("the draft", `document.querySelector("#draft").value`, draft)
	v.WantValue("the open question", `document.querySelector("[aria-expanded=true]")?.id ?? ""`, open)
}

// use makes everything other than it is after a page load.
func (v visitor) use() {
	v.Type("#filter", "to")
	v.WantText("#cities", "Quito\nTokyo\nToronto")
	v.wantBound()
	v.Type("#draft", "Dear")
	v.WantText("#held-draft", "Dear")
	v.wantBound()
	v.Click("#question-part")
	v.wantHeld(Settings{Theme: "dark", Language: "de", Filter: "to", Open: "part", Draft: "Dear"})
	v.wantFields("to", "Dear", "question-part")
}

// What a reload, a link, a redirect, Back and the parts of a page that htmx asks
// for do to the state of a page, as a browser sees it. STAY_SCREENSHOT=folder
// writes pictures of the page at the end.
//
// Proves B6, B7.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "settings")
	server.Start()
	browser := browsertest.Start(t)
	v, other := visitor{browser.NewPage(t)}, visitor{browser.NewPage(t)}
	v.Goto(server.URL)
	v.wantHeld(Settings{Theme: "auto", Language: "en"})
	v.Type("#draft", "before")
	v.WantText("#held-draft", "before")
	v.Click("#theme-dark") // loads no page: the draft stays
	v.wantHeld(Settings{Theme: "dark", Language: "en", Draft: "before"})
	v.Click("#language-de")
	v.wantHeld(Settings{Theme: "dark", Language: "de", Draft: "before"})
	preserved := Settings{Theme: "dark", Language: "de"}
	v.Reload()
	v.wantHeld(preserved)
	v.wantFields("", "", "")

	// A part for htmx has the state as it was left.
	v.use()
	v.Eval(`document.querySelector("#held-draft").innerText = "?"; ""`)
	v.Click("#ask")
	v.wantHeld(Settings{Theme: "dark", Language: "de", Filter: "to", Open: "part", Draft: "Dear"})

	v.Reload()
	v.wantHeld(preserved)
	v.wantFields("", "", "")

	v.use()
	v.Click("#again")
	v.wantHeld(preserved)
	v.wantFields("", "", "")

	// To another page and back: that page resets too, and Back shows it.
	v.use()
	v.Click("#away")
	v.WantAttribute("#home", "href", "/")
	v.wantHeld(preserved)
	v.Back()
	v.WantText("#question-load", texts["de"]["load"])
	v.wantHeld(preserved)
	v.wantFields("", "", "")

	// A restart is no page load, and neither is kill -9.
	v.use()
	server.Kill()
	server.Start()
	v.Click("#ask")
	v.wantHeld(Settings{Theme: "dark", Language: "de", Filter: "to", Open: "part", Draft: "Dear"})

	// The buttons: one keeps what is preserved, the other nothing.
	v.Click("#reset")
	v.wantHeld(preserved)
	v.wantFields("", "", "")
	v.use()
	v.Click("#reset-all")
	v.wantHeld(Settings{Theme: "auto", Language: "en"})
	v.wantFields("", "", "")

	// A closed question is closed; no other visitor sees anything.
	v.Click("#question-back")
	v.WantAttribute("#question-back", "aria-expanded", "true")
	v.wantBound()
	v.Click("#question-back")
	v.wantFields("", "", "")
	other.Goto(server.URL)
	other.wantHeld(Settings{Theme: "auto", Language: "en"})

	// A refused change shows an error, and so does one without the server; the
	// next change works.
	v.Eval(`htmx.ajax("POST", "/", {source: "#ask", values: {theme: "pink"}}); ""`)
	v.WantText("[data-failed] [role=alert]", texts["en"]["failed"])
	v.Click("#ask")
	v.WantText("body:not([data-failed]) #held-theme", "auto")
	server.Terminate()
	v.Click("#question-load")
	v.WantText("[data-failed] [role=alert]", texts["en"]["failed"])
	server.Start()
	v.Click("#question-load")
	v.WantAttribute("body:not([data-failed]) #question-load", "aria-expanded", "true")

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		pictures(t, v, folder)
	}
}

// Without JavaScript the answer to a form is the page, so that what the form
// has changed can be seen.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "settings")
	server.Start()
	v := visitor{browsertest.Start(t).NewPage(t)}
	v.DisableJavaScript()
	v.Goto(server.URL)
	v.Click("#theme-light")
	v.wantHeld(Settings{Theme: "light", Language: "en"})
	v.Type("#filter", "to\r")
	v.WantText("#cities", "Quito\nTokyo\nToronto")
	v.Click("#question-load")
	v.wantHeld(Settings{Theme: "light", Language: "en", Filter: "to", Open: "load"})
	v.wantFields("to", "", "question-load")
	v.Click("#again")
	v.wantHeld(Settings{Theme: "light", Language: "en"})
	v.Click("#reset-all")
	v.wantHeld(Settings{Theme: "auto", Language: "en"})
}

// pictures writes pictures of the page, to be looked at.
func pictures(t *testing.T, v visitor, folder string) {
	t.Helper()
	picture := func(name string, width, height int64, scheme string) {
		t.Helper()
		v.Look(width, height, scheme)
		if err := os.WriteFile(filepath.Join(folder, name), v.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v.Reload()
	v.Type("#filter", "to")
	v.WantText("#cities", "Quito\nTokyo\nToronto")
	v.Type("#draft", "Dear Ann, we are going to Lima.")
	v.WantText("#held-draft", "Dear Ann, we are going to Lima.")
	picture("settings.png", 1000, 1060, "light")
	v.Click("#question-load")
	v.WantText("#held-open", "load")
	picture("settings-dark.png", 1000, 1060, "dark")
	picture("settings-390.png", 390, 1900, "light")
	v.Click("#language-de")
	v.WantAttribute("main", "lang", "de")
	picture("settings-390-dark.png", 390, 1900, "dark")
	v.Click("#away")
	v.WantAttribute("#home", "href", "/")
	picture("settings-away.png", 1000, 500, "light")
}
