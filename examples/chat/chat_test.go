package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// A person is a browser with the page open.
type person struct{ *browsertest.Page }

// come opens the page and signs in.
func come(t *testing.T, b *browsertest.Browser, address, name string) person {
	t.Helper()
	p := person{b.NewPage(t)}
	p.Goto(address)
	p.signIn(name)
	return p
}

func (p person) signIn(name string) {
	p.Type("#name", name)
	p.Click("#sign-in")
	p.WantText("#user", name)
}

// say writes a message and sends it with Enter, which the button says too.
func (p person) say(text string) {
	p.Type("#text", text)
	p.Click("#send")
	p.wantLatest(text)
	p.WantValue("the field", `document.querySelector("#text").value`, "")
}

// wantUnread waits until the page says how many messages of its room are unread, and
// that it shows no button if there are none.
func (p person) wantUnread(n string) {
	want, shown := n+" unread", "true"
	if n == "" {
		want, shown = "", "false"
	}
	p.WantValue("the unread messages", `document.querySelector("#unread b")?.textContent ?? ""`, want)
	p.WantValue("the button", `String(document.querySelector(".unread").checkVisibility())`, shown)
}

// wantCountOf waits until the page shows how many messages of a room are unread.
func (p person) wantCountOf(room, n string) {
	p.WantValue("the unread messages of "+room, `document.querySelector("#count-`+room+` b")?.firstChild.textContent ?? ""`, n)
}

func (p person) wantLatest(text string) { p.WantText("#messages li:first-child .text", text) }

// wantCount waits until the page shows so many messages with this text.
func (p person) wantCount(text string, n int) {
	p.WantValue("the messages "+text, `String([...document.querySelectorAll("#messages .text")].filter(m => m.textContent == `+strconv.Quote(text)+`).length)`, strconv.Itoa(n))
}

func build(t *testing.T) *exampletest.Process {
	t.Helper()
	server := exampletest.Build(t, "chat")
	server.Args = []string{"-store", "sqlite:" + server.DB}
	return server
}

// The program in a real browser with two people, one of them on two devices:
// messages, unread ones, a refusal, kill -9, and a form that is sent while there
// is no server. STAY_SCREENSHOT=folder writes pictures of the page.
//
// Proves A3, B11.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := build(t)
	server.Start()
	browser := browsertest.Start(t)
	ann, ben := come(t, browser, server.URL, "ann"), come(t, browser, server.URL, "ben")
	phone := come(t, browser, server.URL, "ben")
	ann.WantText("#messages", "Nobody has said anything yet.")

	// What one says, the others see without a click; it is unread on all of a
	// user's devices until one of them says that it was read.
	const strange = `<b>tea</b> & "${cake}"?`
	ann.say(strange)
	ann.wantUnread("")
	for _, p := range []person{ben, phone} {
		p.wantLatest(strange)
		p.wantUnread("1")
		p.WantValue("the title", "document.title", "(1) kitchen · Stay chat")
	}
	ann.say("At four.")
	ben.wantUnread("2")
	phone.wantUnread("2")
	phone.Click("#read")
	for _, p := range []person{phone, ben} {
		p.wantUnread("")
		p.WantValue("the title", "document.title", "kitchen · Stay chat")
	}

	// A refused message is said so, and news do not disturb who writes.
	ben.Click("#send")
	ben.WantText("#wrong", "Write something first.")
	ben.Type("#text", "Gladly")
	ann.say("Bring a cup.")
	ben.wantLatest("Bring a cup.")
	ben.WantValue("the field", `document.querySelector("#text").value`, "Gladly")

	// While there is no server the text stays. Sent again, it counts once, also
	// if it had arrived.
	server.Kill()
	ben.Click("#send")
	ben.WantText("[data-failed] .failed", "This has not arrived, or nobody knows. Send it again: it counts once.")
	server.Start()
	ben.Click("#send")
	ben.wantLatest("Gladly")
	ben.wantCount("Gladly", 1)
	ben.WantValue("the alert", `String("failed" in document.body.dataset)`, "false")
	ann.wantLatest("Gladly")
	ann.wantUnread("1")
	ben.wantUnread("1") // of "Bring a cup."

	// Another room has its own messages, and those who are there.
	ann.WantText("#here", "Here: ben and you.")
	phone.Click("#to-garden")
	phone.WantText("#messages", "Nobody has said anything yet.")
	phone.WantText("#here", "Nobody else is here.")
	phone.say("The tea is ready.")
	ann.wantCountOf("garden", "1")
	ann.wantUnread("1")
	ben.wantCountOf("garden", "") // it is his own
	ann.Click("#to-garden")
	ann.wantLatest("The tea is ready.")
	phone.WantText("#here", "Here: ann and you.")
	ann.Click("#read")
	ann.wantCountOf("garden", "")
	ann.Click("#to-kitchen")
	ann.wantUnread("1")

	// The page of a browser that signs out elsewhere notices.
	tab := person{ben.NewTab()}
	tab.Goto(server.URL)
	tab.wantLatest("Gladly")
	ben.Click("#sign-out")
	ben.WantText("h1", "Come in")
	tab.WantText("#messages", "You have signed out. Sign in to go on.")
	tab.WantValue("the title", "document.title", "Stay chat")
	tab.wantCountOf("kitchen", "")
	phone.wantLatest("The tea is ready.")
	phone.Click("#to-kitchen")
	phone.wantLatest("Gladly")

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		pictures(t, ann, phone, folder)
	}
}

// pictures writes pictures of the page.
func pictures(t *testing.T, ann, ben person, folder string) {
	t.Helper()
	for _, text := range []string{"Assam or Darjeeling?", "I have half a tin of each, and a first flush that nobody has opened yet: it would be a pity to keep it until it is a second one."} {
		ben.say(text)
	}
	ann.say("Darjeeling, then")
	ben.wantLatest("Darjeeling, then")
	picture := func(p person, name string) {
		if err := os.WriteFile(filepath.Join(folder, name), p.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ben.say("See you at four")
	ann.wantLatest("See you at four")
	ann.Look(900, 760, "light")
	picture(ann, "chat.png")
	ann.Look(900, 760, "dark")
	picture(ann, "chat-dark.png")
	ann.Look(390, 780, "light")
	picture(ann, "chat-390.png")
	ann.Look(390, 780, "dark")
	picture(ann, "chat-390-dark.png")
	ann.Click("#sign-out")
	ann.WantText("h1", "Come in")
	picture(ann, "chat-390-welcome.png")
}

// A page without JavaScript works too.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := build(t)
	server.Start()
	browser := browsertest.Start(t)
	page := person{browser.NewPage(t)}
	page.DisableJavaScript()
	page.Goto(server.URL)
	page.Type("#name", "ann")
	page.Click("#sign-in")
	page.WantText("#user", "ann")
	ben := come(t, browser, server.URL, "ben")
	ben.say("hello")
	page.Click("noscript a")
	page.wantUnread("1")
	page.Click("#read")
	page.wantLatest("hello")
	page.wantUnread("")
	page.WantText("#here", "Here: ben and you.")
	page.Click("#send")
	page.WantText("#wrong", "Write something first.")
	page.Type("#text", "hello ben")
	page.Click("#send")
	page.wantLatest("hello ben")
	ben.wantLatest("hello ben")
	page.Click("#to-garden")
	page.WantText("#messages", "Nobody has said anything yet.")
	page.Click("#sign-out")
	page.WantText("h1", "Come in")
}

func TestRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	server := build(t)
	server.Refused("-store is sqlite:FILE, postgres://URL, redis://URL, nats://URL or cloudflare:https://URL", "-store", "mysql://x")
	server.Refused("unexpected argument", "serve")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Refused("not 64 hex digits", "-keys", keys)
}
