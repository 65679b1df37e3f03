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

// choose selects an answer.
func (v visitor) choose(answer string) { v.Click(`input[value="` + answer + `"]`) }

// wantVotes waits until the page shows an answer with so many votes.
func (v visitor) wantVotes(answer, votes string) {
	v.WantText(`label:has(input[value="`+answer+`"]) output`, votes)
}

// The program in a real browser with two visitors: votes, refusals, a text that
// looks like a program, kill -9, and a click while there is no server.
// STAY_SCREENSHOT=folder writes pictures of the page.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	server := exampletest.Build(t, "poll")
	server.Start()
	browser := browsertest.Start(t)
	a, b := visitor{browser.NewPage(t)}, visitor{browser.NewPage(t)}
	a.Look(900, 760, "light")
	a.Goto(server.URL)
	b.Goto(server.URL)

	// A vote is seen by the others without a click. Each click has an id.
	a.Eval(`window.ids = [], window.send = fetch, window.fetch = (url, o) => { if (o.method == "POST") ids.push(new Headers(o.headers).get("Idempotency-Key")); return send(url, o) }, ""`)
	a.Click("#vote")
	a.WantText("#problem", "Please choose one of the answers.")
	a.WantValue("the ids", `new Set(ids.filter(Boolean)).size + " of " + ids.length`, "1 of 1")
	a.choose("Assam")
	a.Click("#vote")
	a.wantVotes("Assam", "1")
	a.WantText(".answer b", "your vote")
	a.WantText("#problem", "")
	b.wantVotes("Assam", "1")
	b.choose("Earl Grey")
	b.Click("#vote")
	b.wantVotes("Earl Grey", "1")
	b.WantText("#total", "2 votes")

	// The votes of others do not change a choice that was not sent yet.
	a.choose("Darjeeling")
	a.wantVotes("Earl Grey", "1")
	a.WantValue("the choice", `document.querySelector("input:checked").value`, "Darjeeling")

	// A suggestion is shown exactly as it was written.
	const strange = "<i>${@post('/x')}</i> 'a' \"b\" $choice"
	b.Click("#suggest")
	b.WantText("#problem", "Please write which tea it should be.")
	b.Type("#suggestion", "Sencha\r")
	b.wantVotes("Sencha", "0")
	b.WantValue("the field", `document.querySelector("#suggestion").value`, "")
	b.Type("#suggestion", strange+"\r")
	b.WantText("label:nth-of-type(5) .answer", strange)
	b.Click("label:nth-of-type(5) input")
	b.Click("#vote")
	b.WantText("label:nth-of-type(5) output", "1")
	a.WantText("label:nth-of-type(5) .answer", strange)

	// The votes are there after kill -9, and the page says whose is whose.
	server.Kill()
	server.Start()
	b.Reload()
	b.WantText("label:nth-of-type(5) .answer b", "your vote")
	b.WantValue("the choice", `document.querySelector("input:checked").value`, strange)
	b.Click("#withdraw")
	b.WantText("#total", "One vote")
	b.WantValue("the number of choices", `String(document.querySelectorAll("input:checked").length)`, "0")

	// Datastar repeats a request until there is a server, and a repeated vote
	// counts once.
	server.Terminate()
	b.choose("Sencha")
	b.Click("#vote")
	b.WantText("#failed:not([hidden])", "The server does not answer. What you did last is sent again automatically.")
	server.Start()
	b.wantVotes("Sencha", "1")
	b.WantText("#total", "2 votes")
	b.WantAttribute("#failed", "hidden", "")

	if cookies := a.Cookies(server.URL); len(cookies) != 1 || cookies[0].Name != "poll" || !cookies[0].HttpOnly {
		t.Errorf("cookies: %v", cookies)
	}

	if folder := os.Getenv("STAY_SCREENSHOT"); folder != "" {
		picture := func(name string) {
			if err := os.WriteFile(filepath.Join(folder, name), a.Screenshot(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		a.Reload()
		picture("poll.png")
		a.Click("#suggest")
		a.WantText("#problem", "Please write which tea it should be.")
		a.Look(390, 780, "dark")
		picture("poll-390-dark.png")
	}
}
