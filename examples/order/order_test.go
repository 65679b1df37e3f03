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

// enter sets a field to a value like a visitor's choice. Fields for dates and
// lists take no text from the keyboard.
func (v visitor) enter(id, value string) {
	v.Eval(`(field => {
		field.value = "` + value + `"
		field.dispatchEvent(new Event("input", {bubbles: true}))
		return ""
	})(document.querySelector("#` + id + `"))`)
}

// wantAt waits until the page shows a step at its address, and until htmx has
// taken over its links and forms: an earlier click would load a page.
func (v visitor) wantAt(path, title string) {
	v.WantText("h1", title)
	v.WantValue("the address", "location.pathname", path)
	v.WantValue("what htmx still does", `String(document.querySelectorAll(".htmx-request, .htmx-swapping, .htmx-settling").length)`, "0")
}

// The program in a real browser: the three steps, invalid forms, the way back,
// a restart and kill -9. STAY_SCREENSHOT=folder writes pictures of the pages.
//
// Proves B8.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "order")
	server.Start()
	browser := browsertest.Start(t)
	v, other := visitor{browser.NewPage(t)}, visitor{browser.NewPage(t)}
	picture := func(name string) {
		if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
			if err := os.WriteFile(filepath.Join(folder, name), v.Screenshot(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	v.Look(900, 700, "light")
	v.Goto(server.URL)
	v.wantAt("/tea", "Which tea?")
	v.Eval(`window.same = "yes"`)

	// The error is beside the field, and what was entered stays.
	v.enter("tins", "30")
	v.Click("#gift")
	v.Click("#next")
	v.WantText("#kind-wrong", "Please choose a tea.")
	v.WantText("#tins-wrong", "1 to 20 tins, please.")
	v.WantValue("the fields", `document.querySelector("#tins").value + " " + document.querySelector("#gift").checked`, "30 true")
	v.WantText("#price", "–")
	picture("order-wrong.png")
	v.Look(390, 780, "dark")
	picture("order-wrong-390-dark.png")
	v.Look(900, 700, "light")

	// The price follows the form, and a corrected field has no error any more.
	v.enter("kind", "Darjeeling")
	v.enter("tins", "2")
	v.WantText("#price", "€ 31.50")
	v.WantValue("the number of messages", `String(document.querySelectorAll(".wrong, [aria-invalid]").length)`, "0")
	picture("order-tea.png")
	v.Click("#next")
	v.wantAt("/delivery", "Where does it go?")

	// The step that is done is there after kill -9, on the page that was open.
	server.Kill()
	v.Click("#next")
	v.WantText("[data-failed] [role=alert]", "That did not work. What you have entered before is safe: try again in a moment.")
	server.Start()
	v.Click("#next")
	v.WantText("#name-wrong", "Please fill this in.")
	v.WantText("body:not([data-failed]) #day-wrong", "Please choose a day.")
	v.Type("#name", "Ann")
	v.Type("#address", "1 Garden Row")
	v.enter("day", soon())
	picture("order-delivery.png")
	v.Click("#next")
	v.wantAt("/check", "Is everything right?")
	v.WantText("#summary div:first-child dd", "2 × Darjeeling, as a gift")
	picture("order-check.png")

	// Back and forth, by a link and by the browser's own button.
	v.Click("#back")
	v.wantAt("/delivery", "Where does it go?")
	v.WantValue("the name", `document.querySelector("#name").value`, "Ann")
	v.Click(".steps a")
	v.wantAt("/tea", "Which tea?")
	v.WantValue("the tea", `document.querySelector("#kind").value`, "Darjeeling")
	v.enter("kind", "Assam")
	v.Click("#gift")
	v.Click("#next")
	v.wantAt("/check", "Is everything right?")
	v.WantText("#summary div:first-child dd", "2 × Assam")
	v.Back()
	v.wantAt("/tea", "Which tea?")
	v.WantValue("the tea", `document.querySelector("#kind").value`, "Assam")
	v.WantValue("whether it was one page all the time", "window.same", "yes")

	other.Goto(server.URL + "/check")
	other.wantAt("/tea", "Which tea?")

	// A double click orders once. The browser no longer has what the page
	// stored.
	v.Goto(server.URL)
	v.wantAt("/check", "Is everything right?")
	v.DoubleClick("#place")
	v.wantAt("/placed", "Thank you!")
	number := v.Text("#number")
	picture("order-placed.png")
	server.Terminate()
	server.Start()
	v.Reload()
	v.WantText("#number", number)
	v.WantValue("whether the browser has stored a page", `String(JSON.stringify([localStorage, sessionStorage]).includes("Ann"))`, "false")
	if cookies := v.Cookies(server.URL); len(cookies) != 1 || cookies[0].Name != "order" || !cookies[0].HttpOnly {
		t.Errorf("cookies: %v", cookies)
	}
	v.Click("#again")
	v.wantAt("/tea", "Which tea?")
	v.WantValue("the tea", `document.querySelector("#kind").value`, "")
}

// Without JavaScript the forms and links do the same.
//
// Proves B8.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "order")
	server.Start()
	v := visitor{browsertest.Start(t).NewPage(t)}
	v.DisableJavaScript()
	v.Goto(server.URL)
	v.Click("#next")
	v.WantText("#kind-wrong", "Please choose a tea.")
	v.enter("kind", "Earl Grey")
	v.enter("tins", "12")
	v.Click("#next")
	v.wantAt("/delivery", "Where does it go?")
	v.Type("#name", "Ann")
	v.Click("#next")
	v.WantText("#day-wrong", "Please choose a day.")
	v.WantAttribute("#name", "value", "Ann")
	v.Type("#address", "1 Garden Row")
	v.enter("day", soon())
	v.Click("#next")
	v.wantAt("/check", "Is everything right?")
	v.WantText("#summary div:first-child dd", "12 × Earl Grey")
	v.Click("#place")
	v.wantAt("/placed", "Thank you!")
	v.Click("#again")
	v.wantAt("/tea", "Which tea?")
}
