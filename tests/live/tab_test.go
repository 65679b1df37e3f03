package live_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay/tests/browsertest"
)

// clients are the pages that the server has, one for each client.
var clients = []string{"eventsource", "htmx2", "htmx4", "datastar", "datastar0"}

// A tab shows the page of a client.
type tab struct {
	*browsertest.Page
	t      *testing.T
	server *server
	client string
}

// open loads the page of a client into a page.
func open(t *testing.T, s *server, client string, page *browsertest.Page) *tab {
	t.Helper()
	p := &tab{page, t, s, client}
	page.Goto(s.url("/page/%s", client))
	page.Eval(`window.first = "yes"`)
	return p
}

// want waits until the page shows these numbers and items.
func (p *tab) want(all, mine int, release string, items int) {
	p.t.Helper()
	p.wantPart("all", fmt.Sprintf("is <b>%d</b>\n<i>release %s</i>", all, release))
	p.wantPart("mine", fmt.Sprint(mine))
	rows, cart := "", "\n<li>release "+release+"</li>"
	for n := max(0, all-2); n <= all; n++ {
		rows += fmt.Sprintf("<tr><td>%d</td></tr>\n", n)
	}
	for n := range items {
		cart += fmt.Sprintf("<li>&lt;b&gt;tea&lt;/b&gt; %d</li>", n+1)
	}
	p.wantPart("rows", rows)
	p.wantPart("cart", cart)
}

// wantPart waits until a part has this HTML, but for space between its elements:
// Datastar 0.21 takes indents for those of a program.
func (p *tab) wantPart(id, html string) {
	p.t.Helper()
	space := `.replace(/\s+/g, " ").replace(/> </g, "><").trim()`
	p.WantValue(fmt.Sprintf("#%s of %s", id, p.client), `document.getElementById("`+id+`")?.innerHTML`+space+` ?? null`, p.Eval(fmt.Sprintf(`%q`, html)+space))
}

// forget begins to count what changes in the page.
func (p *tab) forget() { p.Eval(`for (const part in changes) changes[part] = 0; ""`) }

// changed checks in which parts of the page nodes have changed since forget.
func (p *tab) changed(want string) {
	p.t.Helper()
	// Observers are called in a microtask after the change, so all that is shown has
	// been counted.
	if got := p.Eval(`Object.keys(changes).filter(part => changes[part] > 0).join(" ")`); got != want {
		p.t.Errorf("%s: nodes changed in %q, want %q: %s", p.client, got, want, p.Eval("JSON.stringify(changes)"))
	}
}

// send has the page send a request that is none of its buttons.
func (p *tab) send(path string) {
	p.t.Helper()
	p.Eval(`window.sent = ""; fetch("` + path + `", {method: "POST"}).then(r => window.sent = String(r.status)); ""`)
	p.WantValue("the answer to "+path, "window.sent", "204")
}
