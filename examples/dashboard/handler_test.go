package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// One stream brings all parts, each to those it belongs to.
func TestOneStreamBringsAllParts(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	ann, ben := exampletest.Visit(t, handler), exampletest.Visit(t, handler)
	ann.Send("GET", "/", nil, exampletest.Form...)
	stream := ann.Stream("/live")
	for _, part := range [][2]string{{"counter", `id="waiting">0<`}, {"owner", "A guest"}, {"tasks", "Nothing to do"}, {"note", "Nothing yet"}} {
		if got := stream.Message(part[0]); !strings.Contains(got, part[1]) {
			t.Errorf("%s is %q, want %q", part[0], got, part[1])
		}
	}
	for _, path := range []string{"/order", "/serve"} {
		if resp, body := ben.SendSignals("POST", path, "{}"); resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	for got := ""; !strings.Contains(got, `id="served">1<`); {
		got = stream.Message("counter")
	}
	ann.Send("POST", "/note", url.Values{"note": {"<b>"}}, exampletest.Form...)
	if got := stream.Message("note"); got != "&lt;b&gt;" {
		t.Errorf("the note is %q", got)
	}
	ann.Send("POST", "/sign-in", url.Values{"user": {"ann"}}, exampletest.Form...)
	stream.Ends()
}

// A mistake changes nothing, and is said in words.
func TestMistakes(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	v := exampletest.Visit(t, handler)
	for path, field := range map[string]string{"/task": "task", "/note": "note", "/sign-in": "user"} {
		for _, text := range []string{"", " ", strings.Repeat("ä", maxText+1)} {
			resp, body := v.Send("POST", path, url.Values{field: {text}}, exampletest.Form...)
			if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "1 to 80 characters") {
				t.Errorf("%s with %q: %d %q", path, text, resp.StatusCode, body)
			}
		}
	}
	if resp, body := v.SendSignals("POST", "/task", "{}"); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"_problem":"Please write`) {
		t.Errorf("with Datastar: %d %q", resp.StatusCode, body)
	}
	v.Send("POST", "/serve", nil, exampletest.Form...)
	if _, page := v.Send("GET", "/", nil, exampletest.Form...); !strings.Contains(page, `id="served">0<`) || !strings.Contains(page, "Nothing to do") {
		t.Error("a mistake has changed something")
	}
}

// A list is full at some point, and tasks are there once.
func TestTasks(t *testing.T) {
	var tasks Tasks
	for range 2 {
		for i := range maxTasks {
			if err := tasks.add(strings.Repeat("x", i+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tasks.add("y"); err == nil || len(tasks.Open) != maxTasks {
		t.Errorf("%v, %d tasks", err, len(tasks.Open))
	}
	tasks.finish("x")
	tasks.finish("x")
	if err := tasks.add("y"); err != nil || len(tasks.Open) != maxTasks {
		t.Errorf("%v, %d tasks", err, len(tasks.Open))
	}
}

// What is sent twice counts once: a form without JavaScript by the id of its page,
// and a request that Datastar sends again by its own.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	want := func(texts ...string) {
		t.Helper()
		_, page := v.Send("GET", "/", nil, exampletest.Form...)
		for _, text := range texts {
			if !strings.Contains(page, text) {
				t.Errorf("the page lacks %q:\n%s", text, page)
			}
		}
	}
	v.Twice("/", "/order", nil)
	v.Twice("/", "/order", nil)
	want(`id="waiting">2<`)
	v.Twice("/", "/serve", nil)
	want(`id="waiting">1<`, `id="served">1<`)
	v.TwiceByScript("/order", "", exampletest.Datastar...)
	want(`id="waiting">2<`)
	v.Twice("/", "/task", url.Values{"task": {"Pour"}})
	v.Twice("/", "/note", url.Values{"note": {"Warm the pot"}})
	want("<span>Pour</span>", "Warm the pot")
}
