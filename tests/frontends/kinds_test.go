package frontends_test

import "github.com/stay-go/stay/tests/browsertest"

// A kind is a front end.
type kind struct {
	name     string
	ready    func(p *browsertest.Page) // waits until its scripts work
	requests []request
}

func always(*browsertest.Page) {}

var kinds = []kind{
	{"html", always, []request{
		click("empty", "#plain", items),
		click("empty, where numbers and dates are needed", "#plain", items, strict),
		click("empty number of an item", "#plain"),
		click("filled", "#plain", fill),
		click("filled, by GET", "#plain", fill, byGET),
		click("named button", "#named", items),
		click("image button", "#image", items),
		click("image button without a name", "#nameless", items),
		click("as text", "#plain", items, text),
		click("empty, in parts", "#plain", items, parts),
		click("filled, in parts", "#plain", fill, parts),
		click("with a file", "#plain", items, parts, choose),
		click("with a file that the handler reads", "#plain", items, parts, choose, uploading),
		click("without the file that the handler reads", "#plain", items, parts, uploading),
	}},
	{"fetch", always, []request{
		script("FormData", post(`(() => { const f = new FormData(); f.append("text", "t"); f.append("number", "3"); return f })()`, ``)),
		script("FormData with a file", post(`(() => { const f = new FormData(); f.append("text", "t"); f.append("photo", new File(["1"], "a.txt")); return f })()`, ``)),
		script("FormData of the form", fill+`; `+post(`new FormData(document.querySelector("#form"))`, ``)),
		script("URLSearchParams", post(`new URLSearchParams({text: "t", number: 3, box: true})`, ``)),
		script("JSON", post(`JSON.stringify({text: "t", number: 3, box: true, choices: ["a"], place: {city: "Bath"}, items: [{name: "cup", count: 2}]})`, `headers: {"Content-Type": "application/json"}`)),
		script("JSON with an unknown name", post(`JSON.stringify({text: "t", colour: "red"})`, `headers: {"Content-Type": "application/json"}`)),
		script("JSON with values that do not fit", post(`JSON.stringify({number: "3", date: "soon", box: "on"})`, `headers: {"Content-Type": "application/json"}`)),
		script("JSON with a date of JavaScript", post(`JSON.stringify({date: new Date(Date.UTC(2026, 10, 28, 10, 30))})`, `headers: {"Content-Type": "application/json"}`)),
		script("JSON without its type", post(`JSON.stringify({text: "t"})`, ``)),
		script("JSON as a form", post(`JSON.stringify({text: "t"})`, `headers: {"Content-Type": "application/x-www-form-urlencoded"}`)),
		script("JSON in a Blob", post(`new Blob([JSON.stringify({text: "t"})], {type: "application/json"})`, ``)),
		script("no body", post(`undefined`, ``)),
		script("brackets", post(`new URLSearchParams([["items[0][name]", "cup"], ["text", "t"]])`, ``)),
		script("DELETE with values in the address", `fetch("/bind?text=t&number=3", {method: "DELETE"})`),
		script("DELETE with a form", `fetch("/bind?text=address", {method: "DELETE", body: new URLSearchParams({text: "t"})})`),
		script("POST with values in the address", `fetch("/bind?text=address", {method: "POST"})`),
		script("sendBeacon with a form", `navigator.sendBeacon("/bind", new URLSearchParams({text: "t"}))`),
		script("sendBeacon with a text", `navigator.sendBeacon("/bind", JSON.stringify({text: "t"}))`),
	}},
	{"htmx2", htmx, append(requestsOfHTMX(), []request{
		click("json-enc", "#json-enc"),
		click("json-enc with values that do not fit", "#json-enc-misfits"),
		click("json-enc with hx-vals", "#json-enc-vals"),
	}...)},
	{"htmx4", htmx, requestsOfHTMX()},
	{"datastar", func(p *browsertest.Page) {
		p.WantValue("a bound signal", `document.querySelector("#bound").value`, "3")
	}, []request{
		click("get", "#ds-get"),
		click("post", "#ds-post"),
		click("put", "#ds-put"),
		click("patch", "#ds-patch"),
		click("delete", "#ds-delete"),
		click("post after typing", "#ds-post", `(() => {
			const set = (id, value) => { const e = document.querySelector(id); e.value = value; e.dispatchEvent(new Event("input", {bubbles: true})) }
			set("#bound", "42"); set("#bound-date", "2026-11-28")
		})()`),
		click("post of a number that was emptied", "#ds-post", `(() => { const e = document.querySelector("#bound"); e.value = ""; e.dispatchEvent(new Event("input", {bubbles: true})) })()`),
		click("form", "#ds-form", fill),
		click("form in parts", "#ds-form", items, parts),
		click("form by delete", "#ds-form-delete", items),
	}},
}

func htmx(p *browsertest.Page) { p.WantValue("htmx", `typeof htmx`, "object") }

func requestsOfHTMX() []request {
	return []request{
		click("hx-post", "#hx-post"),
		click("hx-put", "#hx-put"),
		click("hx-patch", "#hx-patch"),
		click("hx-delete of a form", "#hx-delete"),
		click("hx-delete inside a form", "#inner-delete", items),
		click("hx-post inside a form", "#inner-post", fill),
		click("in parts", "#hx-multipart"),
		click("in parts, with a file", "#hx-multipart", choose),
		click("hx-vals", "#hx-vals"),
		click("hx-delete with hx-vals", "#hx-vals-delete"),
		click("hx-include", "#hx-include"),
		click("hx-delete with hx-include", "#hx-include-delete"),
		click("button alone", "#hx-nothing"),
	}
}
