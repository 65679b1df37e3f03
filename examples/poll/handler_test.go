package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// wantEvents makes a request as Datastar does and checks that the answer is
// events with these texts.
func wantEvents(t *testing.T, v *exampletest.Visitor, method, path, signals string, texts ...string) {
	t.Helper()
	resp, body := v.SendSignals(method, path, signals)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s %s %s: %d %s", method, path, signals, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%s %s %s has no %q:\n%s", method, path, signals, text, body)
		}
	}
}

// row is the HTML of an answer with some of all votes.
func row(n, all int) string {
	return fmt.Sprintf(`<output>%d</output> <progress aria-hidden="true" max="%d" value="%d">`, n, all, n)
}

// Every visitor sees all votes, and has one vote.
func TestEverybodyHasOneVote(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	a, b := exampletest.Visit(t, handler), exampletest.Visit(t, handler)
	wantEvents(t, a, "GET", "/votes", "", "Nobody has voted yet")
	wantEvents(t, a, "POST", "/vote", `{"choice":"Assam"}`, "datastar-patch-elements", row(1, 1), "your vote", "One vote")
	wantEvents(t, b, "POST", "/vote", `{"choice":"Darjeeling","suggestion":"Sencha","other":1}`, "2 votes")
	wantEvents(t, a, "POST", "/vote", `{"choice":"Darjeeling"}`, row(0, 2), row(2, 2), "2 votes") // another answer
	wantEvents(t, a, "POST", "/vote", `{"choice":"Darjeeling"}`, row(2, 2), "2 votes")            // a repeated request
	wantEvents(t, b, "POST", "/withdraw", `{}`, row(1, 1), "One vote")
	wantEvents(t, b, "POST", "/withdraw", `{}`, "One vote")
	_, page := b.Send("GET", "/", nil, exampletest.Form...)
	if !strings.Contains(page, row(1, 1)) || strings.Contains(page, "your vote") {
		t.Errorf("the page of b: %s", page)
	}
}

// A suggestion is an answer for all. The field of the page is emptied.
func TestSuggest(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	a, b := exampletest.Visit(t, handler), exampletest.Visit(t, handler)
	wantEvents(t, a, "POST", "/suggest", `{"suggestion":" <b>Sencha</b> "}`, "&lt;b&gt;Sencha&lt;/b&gt;", `signals {"suggestion":""}`)
	wantEvents(t, a, "POST", "/suggest", `{"suggestion":"<b>sencha</b>"}`, `signals {"suggestion":""}`)
	wantEvents(t, b, "POST", "/vote", `{"choice":"<b>Sencha</b>"}`, row(1, 1))
	if _, page := b.Send("GET", "/", nil, exampletest.Form...); strings.Count(page, `type="radio"`) != 4 {
		t.Errorf("the page is %s", page)
	}
}

// The page shows why a vote is refused, with a status that Datastar accepts,
// and nothing changes.
func TestRefused(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	for _, test := range [][3]string{
		{"/vote", `{"choice":""}`, "Please choose one of the answers."},
		{"/vote", `{"choice":"Coffee"}`, "Please choose one of the answers."},
		{"/vote", `{}`, "Please choose one of the answers."},
		{"/suggest", `{"suggestion":" "}`, "Please write which tea it should be."},
		{"/suggest", `{"suggestion":"` + strings.Repeat("ü", 41) + `"}`, "At most 40 characters, please."},
		{"/vote", `nothing`, "That did not work."},
	} {
		wantEvents(t, v, "POST", test[0], test[1], `<p id="problem" role="alert">`+test[2])
	}
	for i := range 9 {
		wantEvents(t, v, "POST", "/suggest", fmt.Sprintf(`{"suggestion":"Tea %d"}`, i), `<p id="problem" role="alert"></p>`)
	}
	wantEvents(t, v, "POST", "/suggest", `{"suggestion":"Tea 9"}`, "There are enough answers to choose from.")
	wantEvents(t, v, "GET", "/votes", "", "Nobody has voted yet")

	// Without Datastar an error has its status.
	resp, body := v.Send("POST", "/vote", nil)
	if resp.StatusCode != http.StatusUnprocessableEntity || body != "Please choose one of the answers." {
		t.Errorf("a form: %d %q", resp.StatusCode, body)
	}
}

// The page contains no script or style. The policy forbids them.
func TestPolicy(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	resp, body := v.Send("GET", "/", nil, exampletest.Form...)
	if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self' 'unsafe-eval'; style-src 'self'") {
		t.Errorf("the policy is %q", got)
	}
	for _, inline := range []string{"<script>", "<style", " style=", " onclick="} {
		if strings.Contains(body, inline) {
			t.Errorf("the page has %q", inline)
		}
	}
}

// The Go code that templ generates is from the version in go.mod, and up to
// date.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "go", "tool", "templ", "generate", "-check").CombinedOutput(); err != nil {
		t.Errorf("run go generate ./examples/...: %v\n%s", err, out)
	}
}

// Datastar sends an action again that had no answer. It counts once, also if its
// visitor has done something else meanwhile.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	v.Send("GET", "/", nil, exampletest.Form...)
	v.TwiceByScript("/vote", `{"choice":"Assam"}`, exampletest.Datastar...)
	v.TwiceByScript("/suggest", `{"suggestion":"Sencha"}`, exampletest.Datastar...)
	v.TwiceByScript("/withdraw", `{}`, exampletest.Datastar...)
	wantEvents(t, v, "GET", "/votes", "", "Nobody has voted yet")
	late := append([]string{"Idempotency-Key", "late"}, exampletest.Datastar...)
	v.Send("POST", "/vote", url.Values{"choice": {"Assam"}}, late...)
	wantEvents(t, v, "POST", "/withdraw", `{}`, "Nobody has voted yet")
	v.Send("POST", "/vote", url.Values{"choice": {"Assam"}}, late...)
	wantEvents(t, v, "GET", "/votes", "", "Nobody has voted yet")
}
