// Package frontends_test records what real front ends send, in a real browser,
// and how Stay reads it.
package frontends_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stay-go/stay/tests/browsertest"
)

var update = flag.Bool("update", false, "write the table again")

// A request is one way to send something.
type request struct {
	name string
	do   func(p *browsertest.Page)
}

func click(name, selector string, before ...string) request {
	return request{name, func(p *browsertest.Page) {
		for _, js := range before {
			p.Eval(js + `; ""`)
		}
		p.Click(selector)
	}}
}

func script(name, js string) request {
	return request{name, func(p *browsertest.Page) { p.Eval(js + `; ""`) }}
}

// Scripts that prepare the form.
const (
	fill = `((form) => {
		const set = (name, value) => { form.querySelector("[name='" + name + "']").value = value }
		const values = {text: "caf\u00e9 & <b>", search: "s", tel: "+49 1", url: "http://a.test/?b=c", email: "a@b.test", password: "hunter2",
			area: "two\nlines", number: "42", price: "1.50", range: "7", date: "2026-11-28", at: "2026-11-28T10:30:15", month: "2026-11", week: "2026-W48",
			time: "10:30", color: "#ff0000", one: "2", "place.city": "Bath", "items[0].name": "cup", "items[0].count": "2"}
		for (const name in values) set(name, values[name])
		form.querySelectorAll("[type=checkbox]").forEach(box => { box.checked = box.value != "b" })
		form.querySelector("[name=pick][value=y]").checked = true
		form.querySelector("[name=agree][value=yes]").checked = true
		form.querySelectorAll("[name='many[]'] option").forEach((option, i) => { option.selected = i != 1 })
	})(document.querySelector("#form"))`
	items     = `document.querySelector("[name='items[0].count']").value = "1"`
	parts     = `document.querySelector("#form").enctype = "multipart/form-data"`
	text      = `document.querySelector("#form").enctype = "text/plain"`
	byGET     = `document.querySelector("#form").method = "get"`
	strict    = `document.querySelector("#form").action = "/strict"`
	uploading = `document.querySelector("#form").action = "/upload"`
	choose    = `document.querySelectorAll("[name=photo]").forEach(input => {
		const files = new DataTransfer()
		files.items.add(new File(["12345"], "cup.png", {type: "image/png"}))
		input.files = files.files
	})`
)

func post(body, options string) string {
	return `fetch("/bind", {method: "POST", body: ` + body + `, ` + options + `})`
}

// The table is the recording. Each row has a request, and what the program got
// from it.
//
// Proves B8.
func TestWhatFrontEndsSend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := browsertest.Start(t).NewPage(t)
	var table strings.Builder
	for _, kind := range kinds {
		for _, r := range kind.requests {
			page.Goto(s.url + "/page/" + kind.name)
			kind.ready(page)
			r.do(page)
			fmt.Fprintf(&table, "=== %s: %s\n%s\n", kind.name, r.name, s.next(r.name))
		}
	}
	const file = "testdata/requests.txt"
	if *update {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(table.String(), "=== "), strings.Split(string(want), "=== ")
	for i := range max(len(got), len(wanted)) {
		a, b := at(got, i), at(wanted, i)
		if a != b {
			t.Errorf("got\n%s\nwant\n%s\nIf that is meant, run the test with -update.", a, b)
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}
