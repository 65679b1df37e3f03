package main

import (
	"bytes"
	"image"
	"image/draw"
	"image/png"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// The program in a real browser: two visitors, one of them in two tabs, a reload, a
// restart and kill -9, the cookie as the browser stored it, and a reset that keeps
// the theme.
// STAY_SCREENSHOT=file.png writes a picture of two browsers at the end.
//
// Proves A2, A3, B2, B4, B7, B8.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "counter")
	server.Start()
	browser := browsertest.Start(t)
	a, b := browser.NewPage(t), browser.NewPage(t)
	a.Goto(server.URL)
	b.Goto(server.URL)

	// Clicks: each visitor has their own number, and no click is lost, however
	// fast they come.
	a.Eval(`for (let i = 0; i < 3; i++) document.querySelector("#increment").click(); ""`)
	a.WantText("#count", "3")
	b.WantText("#count", "0")

	// Each click has an id of its own.
	b.Eval(`window.ids = [], addEventListener("htmx:beforeSend", e => ids.push(e.detail.requestConfig.headers["Idempotency-Key"])), ""`)
	b.Eval(`for (const id of ["increment", "increment", "decrement", "decrement"]) document.getElementById(id).click(); ""`)
	b.WantValue("the ids", `new Set(ids.filter(Boolean)).size + " of " + ids.length`, "4 of 4")
	b.WantText("#count", "0")

	// Another tab of the first visitor is in step with it.
	tab := a.NewTab()
	tab.Goto(server.URL)
	tab.Click("#increment") // and the first tab shows it
	a.WantText("#count", "4")
	tab.Click("#decrement")
	a.WantText("#count", "3")

	b.Click("#increment")
	b.WantText("#count", "1")
	a.WantText("#count", "3")

	// The total belongs to all visitors, and arrives without a click.
	a.Click("#total-increment")
	a.WantText("#total", "1")
	b.WantText("#total", "1")
	b.Click("#total-increment")
	b.WantText("#total", "2")
	a.WantText("#total", "2")

	wantSafeCookie(t, a.Cookies(server.URL))

	a.Reload()
	a.WantText("#count", "3")
	a.WantText("#total", "2")

	// A restart between two clicks, without a reload of the page.
	server.Terminate()
	server.Start()
	a.Click("#increment")
	a.WantText("#count", "4")
	b.Reload()
	b.WantText("#count", "1")

	// kill -9 right after a number was shown: what was shown is there.
	for _, n := range []string{"5", "6", "7"} {
		a.Click("#increment")
		a.WantText("#count", n)
		server.Kill()
		server.Start()
		a.Reload()
		a.WantText("#count", n)
		tab.WantText("#count", n) // without a reload
	}
	b.Reload()
	b.WantText("#count", "1")
	b.WantText("#total", "2")

	// Without the server a click says so; with it the next one goes on.
	server.Terminate()
	a.Click("#increment")
	a.WantText("[data-offline] [role=alert]", "The server does not answer. Start it again and go on: your number is safe.")
	server.Start()
	a.Click("#increment")
	a.WantText("body:not([data-offline]) #count", "8")

	// The theme outlives a reset, and not a full one.
	a.WantAttribute("html", "data-theme", "auto")
	a.Click("button[value=dark]")
	a.WantAttribute("html", "data-theme", "dark")
	a.WantText("#count", "8")
	a.Click("#reset")
	a.WantText("#count", "0")
	a.WantAttribute("html", "data-theme", "dark")
	a.Click("#increment")
	a.WantText("#count", "1")
	a.Click("#reset-all")
	a.WantText("#count", "0")
	a.WantAttribute("html", "data-theme", "auto")

	// After logging out the browser begins again.
	a.Click("#increment")
	a.WantText("#count", "1")
	before := a.Cookies(server.URL)
	a.Eval(`document.body.dataset.before = ""`) // the stream may show it before the page is loaded again
	a.Click("#logout")
	a.WantText("body:not([data-before]) #count", "0")
	a.Click("#increment")
	a.WantText("#count", "1")
	after := a.Cookies(server.URL)
	if len(before) != 1 || len(after) != 1 || before[0].Value == after[0].Value {
		t.Errorf("cookies before and after logging out: %d and %d, or the same one", len(before), len(after))
	}
	b.WantText("#count", "1")

	if file := os.Getenv("STAY_SCREENSHOT"); file != "" {
		picture(t, a, b, file)
	}
}

// The cookie is out of reach for scripts and other sites, and expires.
func wantSafeCookie(t *testing.T, cookies []*http.Cookie) {
	t.Helper()
	if len(cookies) != 1 {
		t.Fatalf("the browser has %d cookies, want 1", len(cookies))
	}
	c := cookies[0]
	if c.Name != "counter" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure {
		t.Errorf("cookie %s: HttpOnly %t, SameSite %d, Path %s, Secure %t", c.Name, c.HttpOnly, c.SameSite, c.Path, c.Secure)
	}
	if left := time.Until(c.Expires); left < time.Hour || left > 31*24*time.Hour {
		t.Errorf("the cookie expires at %v", c.Expires)
	}
}

// A page without JavaScript works too: its buttons are forms.
//
// Proves B8.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "counter")
	server.Start()
	page := browsertest.Start(t).NewPage(t)
	page.DisableJavaScript()
	page.Goto(server.URL)
	for _, n := range []string{"1", "2"} {
		page.Click("#increment")
		page.WantText("#count", n)
	}
	page.Click("#total-increment")
	page.WantText("#total", "1")
	page.Click("button[value=dark]")
	page.WantAttribute("html", "data-theme", "dark")
	page.Click("#reset")
	page.WantText("#count", "0")
	page.WantAttribute("html", "data-theme", "dark")
	page.Click("#logout")
	page.WantAttribute("html", "data-theme", "auto")
}

// What is taken already is named, and the program ends with an exit code.
func TestRefusesWhatIsTaken(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "counter")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	server.Refused(listener.Addr().String(), "-addr", listener.Addr().String(), "-db", server.DB)

	server.Start()
	server.Refused(filepath.Base(server.DB), "-addr", "127.0.0.1:0", "-db", server.DB)
	server.Refused("unexpected argument", "serve")
	server.Terminate()
}

// picture writes what the README shows: two browsers, each with its own number, and
// both with the one for all.
func picture(t *testing.T, a, b *browsertest.Page, file string) {
	t.Helper()
	use := func(page *browsertest.Page, theme, count string) {
		page.Look(820, 600, theme)
		page.Click("button[value=" + theme + "]")
		page.WantAttribute("html", "data-theme", theme)
		page.Click("#reset")
		page.WantText("#count", "0")
		page.Eval(`for (let i = 0; i < ` + count + `; i++) document.querySelector("#increment").click(); ""`)
		page.WantText("#count", count)
	}
	use(a, "light", "7")
	use(b, "dark", "3")
	a.Eval(`for (let i = document.querySelector("#total").textContent; i < 42; i++) document.querySelector("#total-increment").click(); ""`)
	const gap = 20
	var both *image.RGBA
	for i, page := range []*browsertest.Page{a, b} {
		page.WantText("#total", "42") // which a has clicked, and b is told
		page.Reload()                 // takes the focus from the button
		page.WantText("#total", "42")
		shot, err := png.Decode(bytes.NewReader(page.Screenshot()))
		if err != nil {
			t.Fatal(err)
		}
		size := shot.Bounds().Size()
		if both == nil {
			both = image.NewRGBA(image.Rect(0, 0, 2*size.X+gap, size.Y))
		}
		draw.Draw(both, image.Rect(i*(size.X+gap), 0, i*(size.X+gap)+size.X, size.Y), shot, image.Point{}, draw.Src)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, both); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
