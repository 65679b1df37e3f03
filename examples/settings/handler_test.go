package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// used is a state in which nothing is as it was at first.
var used = Settings{Theme: "dark", Language: "de", Filter: "o", Open: "part", Draft: "Dear"}

func ptr(s string) *string { return &s }

// A reset keeps what is preserved, a full one nothing.
//
// Proves B7.
func TestReset(t *testing.T) {
	app := staytest.App(t, nil)
	settings := stay.Register(app, Module)
	ctx := staytest.Session(t, app)
	if _, err := settings.Do(ctx, "edit", Edit{
		Theme: ptr("dark"), Language: ptr("de"), Filter: ptr("o"), Open: ptr("part"), Draft: ptr("Dear"),
	}); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, ctx, settings, used)
	if _, err := settings.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, ctx, settings, Settings{Theme: "dark", Language: "de"})
	if _, err := settings.ResetAll(ctx); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, ctx, settings, Module.Initial)
}

// An edit changes what it names only, and what the page does not offer is
// refused as a whole.
func TestEdit(t *testing.T) {
	app := staytest.App(t, nil)
	settings := stay.Register(app, Module)
	ctx := staytest.Session(t, app)
	for _, form := range []string{"theme=dark&language=de", "filter=o", "open=part&draft=Dear"} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Do(ctx, "edit", values); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
	}
	staytest.Want(t, ctx, settings, used)
	for field, in := range map[string]Edit{
		"theme":    {Draft: ptr("new"), Theme: ptr("pink")},
		"language": {Draft: ptr("new"), Language: ptr("")},
		"filter":   {Draft: ptr("new"), Filter: ptr(strings.Repeat("ü", maxFilter+1))},
		"open":     {Draft: ptr("new"), Open: ptr("nothing")},
		"draft":    {Filter: ptr("new"), Draft: ptr(strings.Repeat("ü", maxDraft+1))},
	} {
		if _, err := settings.Do(ctx, "edit", in); stay.FieldErrors(err)[field] == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	staytest.Want(t, ctx, settings, used)
	if _, err := settings.Do(ctx, "edit", url.Values{"open": {""}}); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, ctx, settings, Settings{Theme: "dark", Language: "de", Filter: "o", Draft: "Dear"})
}

var heldCell = regexp.MustCompile(`id="held-(\w+)">([^<]*)<`)

// held returns what a page, or a part of one, says that the server holds.
func held(body string) Settings {
	values := map[string]string{}
	for _, cell := range heldCell.FindAllStringSubmatch(body, -1) {
		values[cell[1]] = cell[2]
	}
	return Settings{Theme: values["theme"], Language: values["language"], Filter: values["filter"], Open: values["open"], Draft: values["draft"]}
}

// Page loads keep what is preserved, and parts of the page everything. The
// answer to a form is no page load either, so it shows what the form has
// changed.
//
// Proves B6.
func TestPageLoadResetsAndPartsDoNot(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	edited := url.Values{"theme": {"dark"}, "language": {"de"}, "filter": {"o"}, "open": {"part"}, "draft": {"Dear"}}
	preserved := Settings{Theme: "dark", Language: "de"}
	for _, test := range []struct {
		method, path string
		form         url.Values
		headers      []string
		want         Settings
	}{
		{"GET", "/held", nil, exampletest.HTMX, used},
		{"GET", "/", nil, exampletest.HTMX, used},
		{"POST", "/", url.Values{"filter": {"o"}}, exampletest.HTMX, used},
		{"POST", "/", url.Values{"filter": {"o"}}, append([]string{"HX-Target", "visible"}, exampletest.HTMX...), used},
		{"POST", "/", url.Values{"filter": {"o"}}, exampletest.Form, used},
		{"GET", "/", nil, exampletest.Form, preserved},
		{"GET", "/away", nil, exampletest.Form, preserved},
		{"POST", "/reset", nil, append([]string{"HX-Target", "visible"}, exampletest.HTMX...), preserved},
		{"POST", "/reset-all", nil, append([]string{"HX-Target", "visible"}, exampletest.HTMX...), Module.Initial},
	} {
		v := exampletest.Visit(t, handler)
		for _, headers := range [][]string{exampletest.HTMX, exampletest.Form} {
			v.Send("POST", "/", edited, headers...)
			resp, body := v.Send(test.method, test.path, test.form, test.headers...)
			if got := held(body); resp.StatusCode != http.StatusOK || got != test.want {
				t.Errorf("%s %s %q: %d %+v, want %+v", test.method, test.path, test.headers, resp.StatusCode, got, test.want)
			}
		}
	}
}

// What is written in a field changes what follows from it, and not the field:
// somebody may be writing on.
func TestAnswersLeaveFieldsAlone(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	for target, want := range map[string]struct{ page, fields, outOfBand bool }{
		"":        {page: true, fields: true},
		"visible": {fields: true},
		"filter":  {outOfBand: true},
	} {
		headers := exampletest.Form
		if target != "" {
			headers = append([]string{"HX-Target", target}, exampletest.HTMX...)
		}
		_, body := v.Send("POST", "/", url.Values{"filter": {"oslo"}}, headers...)
		if strings.Contains(body, "<html") != want.page || strings.Contains(body, "<textarea") != want.fields ||
			strings.Contains(body, "hx-swap-oob") != want.outOfBand || !strings.Contains(body, "<li>Oslo</li>") {
			t.Errorf("target %q: %s", target, body)
		}
	}
}

// Without JavaScript the resets go back to the page.
func TestResetForms(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	v.Send("POST", "/", url.Values{"theme": {"dark"}}, exampletest.Form...)
	for _, test := range []struct{ path, theme string }{{"/reset", "dark"}, {"/reset-all", "auto"}} {
		if resp, _ := v.Send("POST", test.path, nil, exampletest.Form...); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
			t.Errorf("%s: %d, Location %q", test.path, resp.StatusCode, resp.Header.Get("Location"))
		}
		if _, body := v.Send("GET", "/held", nil); held(body).Theme != test.theme {
			t.Errorf("%s: %+v, want theme %s", test.path, held(body), test.theme)
		}
	}
}

// Every text is there in every language.
func TestTextsAreComplete(t *testing.T) {
	for _, language := range languages {
		for name := range texts["en"] {
			if texts[language][name] == "" {
				t.Errorf("%s has no text %q", language, name)
			}
		}
		if len(texts[language]) != len(texts["en"]) {
			t.Errorf("%s has %d texts, en %d", language, len(texts[language]), len(texts["en"]))
		}
	}
}

// What is sent twice counts once: a reset has an id, and an edit says what the field
// is.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	want := func(want Settings) {
		t.Helper()
		if _, body := v.Send("GET", "/held", nil); held(body) != want {
			t.Errorf("the server holds %+v, want %+v", held(body), want)
		}
	}
	initial := Module.Initial
	for _, path := range []string{"/reset", "/reset-all"} {
		edited := initial
		for _, text := range []string{"Dear", "Dear", "Later"} {
			v.Send("POST", "/", url.Values{"draft": {text}}, exampletest.Form...)
			edited.Draft = text
			want(edited)
		}
		_, page := v.Send("POST", "/", url.Values{"open": {"part"}}, exampletest.Form...)
		v.TwiceFrom("/", page, path, nil)
		want(initial)
		v.Send("POST", "/", url.Values{"draft": {"Later"}}, exampletest.Form...)
		_, id, _ := strings.Cut(page, `action="`+path+"?")
		id, _, _ = strings.Cut(id, `"`)
		v.Send("POST", path+"?"+id, nil, exampletest.Form...) // its answer was lost
		want(edited)
		v.Send("GET", "/", nil, exampletest.Form...)
	}
}
