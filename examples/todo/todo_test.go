package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// A device is a browser with the page open. What its methods do is what a
// person does: look, type and click.
type device struct{ *browsertest.Page }

// wantList waits until the page shows these things, done ones with an x before
// them.
func (d device) wantList(items ...string) {
	d.WantValue("the list", `[...document.querySelectorAll("#items li")].map(li =>
		(li.querySelector("[aria-checked=true]") ? "x " : "") + li.innerText.trim()).join("\n")`, strings.Join(items, "\n"))
}

func (d device) add(title string) { d.Type("#title", title+"\r") }

// toggle clicks on the n-th item, counted from 1.
func (d device) toggle(n int) { d.Click(fmt.Sprintf("#items li:nth-child(%d) button", n)) }

func (d device) login(user string) {
	d.Type("#name", user+"\r")
	d.WantText("#user", user)
}

func (d device) logout() {
	d.Click("#logout")
	d.WantText("#user", "guest")
}

// The program in a real browser, with two users and two devices of one:
// restarts, logins, logouts and switches as somebody sees them.
//
// STAY_SCREENSHOT=folder writes pictures of the page at the end.
//
// Proves A2, A3, A7, A8, A9, K2, K3, K4.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "todo")
	server.Start()
	browser := browsertest.Start(t)
	open := func() device {
		d := device{browser.NewPage(t)}
		d.Goto(server.URL)
		return d
	}
	laptop, phone, other := open(), open(), open()

	// A guest's list is private, and outlives a reload and kill -9.
	laptop.WantText("#user", "guest")
	laptop.add("buy milk")
	laptop.wantList("buy milk")
	laptop.add("water the plants")
	laptop.wantList("buy milk", "water the plants")
	laptop.WantText("#summary", "2 of 2 to do")
	laptop.toggle(1)
	laptop.wantList("x buy milk", "water the plants")
	laptop.WantText("#summary", "1 of 2 to do")
	server.Kill()
	server.Start()
	laptop.Reload()
	laptop.wantList("x buy milk", "water the plants")
	phone.Reload()
	phone.wantList()

	// A new user gets the guest's list.
	guests := laptop.Cookies(server.URL)[0].Value
	laptop.login("ann")
	laptop.wantList("x buy milk", "water the plants")
	if now := laptop.Cookies(server.URL)[0].Value; now == guests {
		t.Error("the login has kept the cookie")
	}

	// A second device of a user who has a list: what it had goes below, once.
	phone.add("call Ben")
	phone.wantList("call Ben")
	phone.login("ann")
	phone.wantList("x buy milk", "water the plants", "call Ben")
	phone.Reload()
	phone.wantList("x buy milk", "water the plants", "call Ben")
	laptop.Reload()
	laptop.wantList("x buy milk", "water the plants", "call Ben")

	// Another user sees nothing of it.
	other.login("ben")
	other.wantList()
	other.add("call Ann")
	other.wantList("call Ann")

	// A page that shows an old list hits what it shows.
	laptop.Click("#clear")
	laptop.wantList("water the plants", "call Ben")
	phone.toggle(2)
	phone.WantText("#summary", "1 of 2 to do")
	laptop.Reload()
	laptop.wantList("x water the plants", "call Ben")
	// A click on an item that is gone loads the list again.
	laptop.Click("#clear")
	laptop.wantList("call Ben")
	phone.toggle(1)
	phone.wantList("call Ben")

	// The login is still there after kill -9 and a start.
	server.Kill()
	server.Start()
	phone.toggle(1)
	phone.wantList("x call Ben")
	laptop.Reload()
	laptop.WantText("#user", "ann")
	laptop.wantList("x call Ben")

	// After logging out there is a guest's empty list, and the other device
	// is not logged out.
	laptop.logout()
	laptop.wantList()
	laptop.add("a guest's again")
	laptop.wantList("a guest's again")
	phone.Reload()
	phone.wantList("x call Ben")

	// The guest's items go to the user who logs in next; a switch moves
	// nothing.
	laptop.login("ben")
	laptop.wantList("call Ann", "a guest's again")
	laptop.logout()
	laptop.login("ann")
	laptop.wantList("x call Ben")
	other.Reload()
	other.wantList("call Ann", "a guest's again")

	// A page that was left open while its browser logged out elsewhere.
	laptop.Eval(`fetch("/logout", {method: "POST"}).then(r => { document.title = "out" }); ""`)
	laptop.WantValue("the title", "document.title", "out")
	laptop.toggle(1)
	laptop.WantText("#user", "guest")
	laptop.wantList()

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		pictures(t, open(), folder)
	}
}

// What is refused is shown where it was written, which stays there.
func TestRefusedInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "todo")
	server.Start()
	page := device{browsertest.Start(t).NewPage(t)}
	page.Goto(server.URL)
	page.Type("#title", "  \r")
	page.WantText("#title-wrong", "Please write what there is to do.")
	page.WantValue("what has the focus", "document.activeElement.id", "title")
	page.Type("#title", "buy milk\r")
	page.wantList("buy milk")
	page.WantValue("the field", "document.querySelector('#title').value", "")
	page.WantValue("what is wrong", "document.querySelector('#title-wrong')?.innerText ?? ''", "")
	page.Type("#name", " \r")
	page.WantText("#name-wrong", "Please say who you are.")
	page.wantList("buy milk")

	// So is a body that is too long, and a click without the server; the next
	// click works.
	page.Eval(`htmx.ajax("POST", "/todos", {source: "#add", values: {title: "x".repeat(2 << 20)}}); ""`)
	page.WantText("[data-failed] [role=alert]", "That did not work. What the list shows is safe: try again in a moment.")
	page.toggle(1)
	page.wantList("x buy milk")
	page.toggle(1)
	page.wantList("buy milk")
	page.WantText("body:not([data-failed]) #user", "guest")
	server.Terminate()
	page.toggle(1)
	page.WantText("[data-failed] [role=alert]", "That did not work. What the list shows is safe: try again in a moment.")
	server.Start()
	page.toggle(1)
	page.wantList("x buy milk")
	page.WantText("body:not([data-failed]) #user", "guest")
}

// A double click on the login adopts once. Without JavaScript the second click
// may cut off the answer to the first, and the new cookie with it: then the
// browser goes on as another guest, but the list is safe under the name.
func TestDoubleClickOnLoginInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "todo")
	server.Start()
	browser := browsertest.Start(t)
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script=%t", script), func(t *testing.T) {
			user := fmt.Sprintf("ann-%t", script)
			var list []string
			for _, title := range []string{"one", "two"} {
				page := device{browser.NewPage(t)}
				if !script {
					page.DisableJavaScript()
				}
				page.Goto(server.URL)
				page.add(title)
				page.wantList(title)
				page.Type("#name", user)
				page.DoubleClick("#login button")
				list = append(list, title)
				if script {
					page.WantText("#user", user)
					page.wantList(list...)
				}
				page.WantValue("the fields with the guest's list", `String(document.querySelectorAll("#name").length * document.querySelectorAll("#items li").length)`, "0")

				second := device{browser.NewPage(t)}
				second.Goto(server.URL)
				second.login(user)
				second.wantList(list...)
			}
		})
	}
}

// A page without JavaScript works too: its buttons are forms.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "todo")
	server.Start()
	page := device{browsertest.Start(t).NewPage(t)}
	page.DisableJavaScript()
	page.Goto(server.URL)
	page.add("buy milk")
	page.wantList("buy milk")
	page.toggle(1)
	page.wantList("x buy milk")
	page.add(" ")
	page.WantText("#title-wrong", "Please write what there is to do.")
	page.wantList("x buy milk")
	page.add("call Ben")
	page.wantList("x buy milk", "call Ben")
	page.login("ann")
	page.wantList("x buy milk", "call Ben")
	page.Click("#clear")
	page.wantList("call Ben")
	page.logout()
	page.wantList()
	page.login("ann")
	page.wantList("call Ben")
}

// pictures writes pictures of the page: todo.png, which the documentation
// shows, and others to be looked at.
func pictures(t *testing.T, page device, folder string) {
	t.Helper()
	picture := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), page.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page.Look(900, 680, "light")
	picture("todo-guest-empty.png")
	page.Type("#title", " \r")
	page.WantText("#title-wrong", "Please write what there is to do.")
	page.Type("#name", " \r")
	page.WantText("#name-wrong", "Please say who you are.")
	page.Look(390, 780, "dark")
	picture("todo-refused-390-dark.png")
	page.Reload()
	page.Look(900, 680, "light")
	items := []string{"Buy milk and bread", "Water the plants", "Call Ben about Saturday", "Kill the server with -9, and look again"}
	for i, title := range items {
		page.add(title)
		page.WantText("#summary", fmt.Sprintf("%d of %d to do", i+1, i+1))
	}
	page.toggle(1)
	page.WantText("#summary", "3 of 4 to do")
	page.toggle(2)
	page.WantText("#summary", "2 of 4 to do")
	picture("todo-guest.png")
	page.login("Ann")
	page.Reload()
	picture("todo.png")
	page.Look(900, 680, "dark")
	picture("todo-dark.png")
	page.add(strings.Repeat("Donaudampfschifffahrt", 9))
	page.WantText("#summary", "3 of 5 to do")
	page.Look(390, 780, "light")
	picture("todo-390.png")
	page.Look(390, 780, "dark")
	picture("todo-390-dark.png")
}
