package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/tests/browsertest"
)

// iPhone is how the second browser describes itself.
const iPhone = "user-agent=Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"

// The program in real browsers, with two devices of one user and another user:
// what a login does to the guest's cart and both modules, what stays with the
// browser, its cookies, signing devices out, and kill -9. STAY_SCREENSHOT=file.png
// writes a picture of the page.
//
// Proves A3, K2, S3, S5, S7.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
	server.Start()
	browser := browsertest.Start(t)
	laptop, ben := browser.NewPage(t), browser.NewPage(t)
	phone := browsertest.Start(t, iPhone).NewPage(t)
	for _, page := range []*browsertest.Page{laptop, ben, phone} {
		page.Goto(server.URL)
		page.WantText("#user", "Guest")
	}

	// A user without a cart and a profile gets those of the guest.
	laptop.Click("#add-assam")
	laptop.WantText("#tins-assam", "1")
	laptop.Click("#more-assam")
	laptop.WantText("#tins-assam", "2")
	laptop.Eval(`document.querySelector("#greeting").value = "Ann", ""`)
	laptop.Click("input[value=plum]")
	laptop.Click("#save")
	laptop.WantAttribute("html", "data-colour", "plum")
	laptop.WantText("h1", "Hello, Ann")
	laptop.Click("[href='/tea/darjeeling']")
	laptop.WantText("#tea", "Darjeeling")
	signIn(laptop, "ann")
	laptop.WantText("#tins-assam", "2")
	laptop.WantAttribute("html", "data-colour", "plum")
	laptop.WantText("#viewed", "Darjeeling")

	// Another user has nothing of it.
	signIn(ben, "ben")
	ben.Click("#add-mint")
	ben.WantText("#tins-mint", "1")
	wantNone(ben, "#tins-assam")
	ben.WantAttribute("html", "data-colour", "teal")

	// The second device begins as a guest too. Its login merges the cart, once,
	// and brings the stored profile: both modules moved.
	phone.Click("#add-assam")
	phone.WantText("#tins-assam", "1")
	phone.Click("#add-rooibos")
	phone.WantText("#tins-rooibos", "1")
	phone.Click("input[value=blue]")
	phone.Click("#save")
	phone.WantAttribute("html", "data-colour", "blue")
	guest := cookie(t, phone, server.URL)
	signIn(phone, "ann")
	wantAnn := func(page *browsertest.Page) {
		t.Helper()
		page.WantText("#user", "ann")
		page.WantText("#tins-assam", "3")
		page.WantText("#tins-rooibos", "1")
		page.WantText("#total", "€27.00")
		page.WantText("h1", "Hello, Ann")
		page.WantAttribute("html", "data-colour", "plum")
	}
	wantAnn(phone)
	phone.Reload()
	wantAnn(phone)
	wantNone(phone, "#viewed")
	wantUser(t, server.URL, guest, "Guest") // the cookie from before the login

	// The first device shows it when its window is looked at again.
	laptop.Eval(`dispatchEvent(new Event("focus")), ""`)
	wantAnn(laptop)
	laptop.WantText("#viewed", "Darjeeling")
	laptop.WantText("#devices li:nth-child(1)[aria-current] b", "Chrome on Linux")
	laptop.WantText("#devices li:nth-child(2) b", "Safari on iPhone")
	phone.WantText("#devices li:nth-child(2)[aria-current] b", "Safari on iPhone")

	if file := os.Getenv("STAY_SCREENSHOT"); file != "" {
		picture(t, laptop, file)
	}

	// Logins outlive kill -9.
	for range 2 {
		server.Kill()
		server.Start()
		for _, page := range []*browsertest.Page{laptop, phone} {
			page.Reload()
			wantAnn(page)
		}
	}
	laptop.WantText("#viewed", "Darjeeling")
	ben.Reload()
	ben.WantText("#user", "ben")
	ben.WantText("#tins-mint", "1")

	// One device signs the other out, whose page notices.
	stolen := cookie(t, phone, server.URL)
	wantUser(t, server.URL, stolen, "ann")
	laptop.Click("#devices li:nth-child(2) button")
	laptop.WantText("#devices li:only-child[aria-current] b", "Chrome on Linux")
	if got := laptop.Eval(`document.activeElement.id`); got != "devices-title" {
		t.Errorf("after a device has gone from the list, the focus is on %q", got)
	}
	wantUser(t, server.URL, stolen, "Guest")
	phone.Eval(`dispatchEvent(new Event("focus")), ""`)
	phone.WantText("#user", "Guest")
	wantNone(phone, "#tins-assam")
	phone.Click("#add-mint")
	phone.WantText("#notice", "This browser was signed out. It can sign in again in a minute.")
	laptop.Reload()
	wantAnn(laptop)

	// Everywhere: this browser signs in again at once, and what was signed out
	// stays so, also after kill -9.
	second := browser.NewPage(t)
	second.Goto(server.URL)
	signIn(second, "ann")
	wantAnn(second)
	stolen = cookie(t, laptop, server.URL)
	second.Click("#everywhere")
	second.WantText("#user", "Guest")
	server.Kill()
	server.Start()
	laptop.Reload()
	laptop.WantText("#user", "Guest")
	wantUser(t, server.URL, stolen, "Guest")
	second.Reload()
	signIn(second, "ann")
	wantAnn(second)
	second.WantText("#devices li:only-child[aria-current] b", "Chrome on Linux")
	ben.Reload()
	ben.WantText("#user", "ben")
	ben.WantText("#tins-mint", "1")

	// Signing out leaves the cart to the user and the rest to the browser.
	ben.Click("[href='/tea/sencha']")
	ben.WantText("#tea", "Sencha")
	ben.Click("#sign-out")
	ben.WantText("#user", "Guest")
	wantNone(ben, "#tins-mint")
	ben.WantText("#viewed", "Sencha")
	signIn(ben, "ben")
	ben.WantText("#tins-mint", "1")
}

// The form sends one of two clicks: with the second the browser would drop the
// answer to the first, and the second is refused, since its cookie is not good
// any more.
//
// Proves S5.
func TestInBrowserDoubleClickSignsInOnce(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
	server.Start()
	page := browsertest.Start(t).NewPage(t)
	page.Goto(server.URL)
	sent := page.Eval(`(() => {
		let sent = 0
		addEventListener("submit", e => { if (!e.defaultPrevented) sent++; e.preventDefault() })
		document.querySelector("#name").value = "ann"
		document.querySelector("#login").click()
		document.querySelector("#login").click()
		return String(sent)
	})()`)
	if sent != "1" {
		t.Errorf("two clicks send the form %s times, want once", sent)
	}
}

// A guest's cart is kept in the file too.
func TestInBrowserGuestCartOutlivesKill(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
	server.Start()
	page := browsertest.Start(t).NewPage(t)
	page.Goto(server.URL)
	page.Click("#add-mint")
	page.WantText("#tins-mint", "1")
	server.Kill()
	page.Click("#add-mint")
	page.WantText("[data-offline] #offline", "The server does not answer. Start it again and go on: what the page shows is safe.")
	server.Start()
	page.Click("#add-mint")
	page.WantText("body:not([data-offline]) #tins-mint", "2")
}

// A page without JavaScript works too: its buttons are forms.
func TestInBrowserWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
	server.Start()
	browser := browsertest.Start(t)
	page, other := browser.NewPage(t), browser.NewPage(t)
	page.DisableJavaScript()
	for _, p := range []*browsertest.Page{page, other} {
		p.Goto(server.URL)
		signIn(p, "ann")
	}
	for _, n := range []string{"1", "2"} {
		page.Click("#add-mint")
		page.WantText("#tins-mint", n)
	}
	page.Click("#less-mint")
	page.WantText("#tins-mint", "1")
	page.WantText("#devices li:nth-child(2) b", "Chrome on Linux")
	page.Click("#devices li:nth-child(2) button")
	page.WantText("#devices li:only-child[aria-current] b", "Chrome on Linux")
	other.Reload()
	other.WantText("#user", "Guest")
	page.Click("#sign-out")
	page.WantText("#user", "Guest")
}

// What is taken already is named, and the program ends with an exit code.
func TestRefusesWhatIsTaken(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
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

// signIn writes a name into the form and sends it.
func signIn(page *browsertest.Page, user string) {
	page.WantText("#user", "Guest")
	page.Eval(`document.querySelector("#name").value = ` + strconv.Quote(user) + `, ""`)
	page.Click("#login")
	page.WantText("#user", user)
}

// wantNone checks that the page, which is complete, has no such element.
func wantNone(page *browsertest.Page, selector string) {
	page.WantText(`body:not(:has(`+selector+`)) .page > header > a`, "Stay tea shop")
}

// cookie returns what the browser sends.
func cookie(t *testing.T, page *browsertest.Page, url string) string {
	t.Helper()
	cookies := page.Cookies(url)
	if len(cookies) != 1 {
		t.Fatalf("the browser has %d cookies, want 1", len(cookies))
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// wantUser checks whose page somebody gets who has got hold of a cookie.
func wantUser(t *testing.T, url, cookie, want string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := textOf(string(body), "user"); got != want {
		t.Errorf("the cookie opens the page of %q, want %q", got, want)
	}
	if want == "Guest" && strings.Contains(string(body), "€27.00") {
		t.Error("a guest sees ann's cart")
	}
}

// picture writes what the README shows.
func picture(t *testing.T, page *browsertest.Page, file string) {
	t.Helper()
	page.Reload() // takes the focus from the button
	page.WantText("#user", "ann")
	if err := os.WriteFile(file, page.Screenshot(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// With -inspect the program shows what it has, to browsers on this machine only,
// and otherwise there is nothing.
func TestInspectorIsForThisMachine(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "account")
	status := func(host string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/debug/stay/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	server.Start()
	if got := status(""); got != http.StatusNotFound {
		t.Errorf("without -inspect: %d", got)
	}
	server.Terminate()
	server.Args = append(server.Args, "-inspect")
	server.Start()
	for host, want := range map[string]int{"": 200, "localhost:3000": 200, "localhost": 200, "[::1]:3000": 200, "evil.test": 404, "evil.test:3000": 404, "127.0.0.1.evil.test": 404, "localhost.evil.test:80": 404} {
		if got := status(host); got != want {
			t.Errorf("to %q: %d, want %d", host, got, want)
		}
	}
}
