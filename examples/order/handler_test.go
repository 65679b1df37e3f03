package main

import (
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// soon is a day on which tea can be delivered.
func soon() string { return time.Now().AddDate(0, 0, 7).Format(time.DateOnly) }

var (
	tea      = url.Values{"kind": {"Darjeeling"}, "tins": {"2"}, "gift": {"on"}}
	delivery = url.Values{"name": {"Ann"}, "address": {"1 Garden Row"}, "day": {soon()}}
)

// wantRedirect makes a request as a browser does and checks where it is sent.
func wantRedirect(t *testing.T, v *exampletest.Visitor, method, path string, form url.Values, to string) {
	t.Helper()
	resp, body := v.Send(method, path, form, exampletest.Form...)
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != to {
		t.Errorf("%s %s: %d to %q, want to %s\n%s", method, path, resp.StatusCode, got, to, body)
	}
}

// wantPage makes a request as a browser does and checks that the answer has this
// status and these texts.
func wantPage(t *testing.T, v *exampletest.Visitor, method, path string, form url.Values, status int, texts ...string) {
	t.Helper()
	resp, body := v.Send(method, path, form, exampletest.Form...)
	if resp.StatusCode != status {
		t.Errorf("%s %s: %d, want %d\n%s", method, path, resp.StatusCode, status, body)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%s %s has no %q:\n%s", method, path, text, body)
		}
	}
}

// A step cannot be skipped, and a finished step can be done again.
func TestSteps(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	for _, path := range []string{"/", "/delivery", "/check", "/placed"} {
		wantRedirect(t, v, "GET", path, nil, "/tea")
	}
	wantRedirect(t, v, "POST", "/place", nil, "/tea")
	wantRedirect(t, v, "POST", "/tea", tea, "/delivery")
	wantRedirect(t, v, "GET", "/check", nil, "/delivery")
	wantRedirect(t, v, "POST", "/delivery", delivery, "/check")
	wantPage(t, v, "GET", "/check", nil, http.StatusOK, "2 × Darjeeling, as a gift", "Ann, 1 Garden Row", "€ 31.50")
	wantPage(t, v, "GET", "/tea", nil, http.StatusOK, `<option value="Darjeeling" selected>`, `value="2"`, `type="checkbox" checked>`)
	wantRedirect(t, v, "POST", "/tea", url.Values{"kind": {"Assam"}, "tins": {"1"}}, "/check")
	wantPage(t, v, "GET", "/check", nil, http.StatusOK, "1 × Assam", "€ 8.90")
	wantPage(t, v, "GET", "/tea", nil, http.StatusOK, `type="checkbox">`)
}

// A form that is refused comes back with what was entered, and an error beside
// each wrong field. The order stays as it was.
func TestFormsAreShownAgain(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	wantRedirect(t, v, "POST", "/tea", tea, "/delivery")
	for _, test := range []struct {
		path string
		form url.Values
		want []string
	}{
		{"/tea", url.Values{"kind": {"Coffee"}, "tins": {"21"}, "gift": {"on"}}, []string{
			"Please choose a tea.", "1 to 20 tins, please.", `value="21"`, `checked>`, `aria-describedby="tins-wrong"`,
		}},
		{"/tea", url.Values{"kind": {"Assam"}, "tins": {"some"}}, []string{`id="tins-wrong"`, `value="some"`, `<option value="Assam" selected>`}},
		{"/tea", url.Values{"kind": {"Coffee"}, "tins": {""}}, []string{"kind-wrong", "tins-wrong"}},
		{"/tea", url.Values{"kind": {"Assam"}, "tins": {""}}, []string{`id="tins-wrong"`}},
		{"/delivery", url.Values{"name": {`"><script>`}, "address": {" "}, "day": {"2001-01-01"}}, []string{
			`value="&#34;&gt;&lt;script&gt;"`, "Please fill this in.", "That is too soon: tomorrow at the earliest.", `value="2001-01-01"`,
		}},
		{"/delivery", url.Values{"name": {strings.Repeat("ü", 101)}, "address": {"1 Garden Row"}, "day": {"9999-01-01"}}, []string{
			"At most 100 characters, please.", "That is too late: in 60 days at most.",
		}},
		{"/delivery", url.Values{"name": {"Ann"}, "address": {"1 Garden Row"}, "day": {"tomorrow"}}, []string{"day-wrong", `value="tomorrow"`}},
		{"/delivery", url.Values{}, []string{"name-wrong", "address-wrong", "day-wrong"}},
	} {
		wantPage(t, v, "POST", test.path, test.form, http.StatusUnprocessableEntity, test.want...)
	}
	wantPage(t, v, "GET", "/tea", nil, http.StatusOK, `<option value="Darjeeling" selected>`, `value="2"`)
	wantRedirect(t, v, "GET", "/check", nil, "/delivery")
}

var (
	number = regexp.MustCompile(`id="number">(\w+)<`)
	formID = regexp.MustCompile(`_stay_once=\w+`)
)

// Clicking twice places one order, and later requests do not change it.
func TestOrderIsPlacedOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	wantRedirect(t, v, "POST", "/tea", tea, "/delivery")
	wantRedirect(t, v, "POST", "/delivery", delivery, "/check")
	wantRedirect(t, v, "POST", "/place", nil, "/placed")
	_, first := v.Send("GET", "/placed", nil, exampletest.Form...)
	wantRedirect(t, v, "POST", "/place", nil, "/placed")
	wantRedirect(t, v, "POST", "/tea", url.Values{"kind": {"Assam"}, "tins": {"1"}}, "/placed")
	wantRedirect(t, v, "POST", "/delivery", url.Values{"name": {"Ben"}, "address": {"2"}, "day": {soon()}}, "/placed")
	wantRedirect(t, v, "GET", "/tea", nil, "/placed")
	_, second := v.Send("GET", "/placed", nil, exampletest.Form...)
	if number.FindString(first) == "" || formID.ReplaceAllString(first, "") != formID.ReplaceAllString(second, "") {
		t.Errorf("the order was\n%s\nand is\n%s", first, second)
	}
	wantRedirect(t, v, "POST", "/again", nil, "/tea")
	wantPage(t, v, "GET", "/tea", nil, http.StatusOK, `value="1"`)
}

// The price follows the values in the form, valid or not, and stores nothing.
func TestPrice(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	for _, test := range []struct {
		form url.Values
		want string
	}{
		{tea, "€ 31.50"},
		{url.Values{"kind": {"Assam"}, "tins": {"3"}}, "€ 26.70"},
		{url.Values{"kind": {""}, "tins": {"3"}}, "–"},
		{url.Values{"kind": {"Assam"}, "tins": {"some"}}, "–"},
	} {
		resp, body := v.Send("POST", "/price", test.form, exampletest.HTMX...)
		if resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != test.want || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%v: %d %q, cookie %q", test.form, resp.StatusCode, body, resp.Header.Get("Set-Cookie"))
		}
	}
}

// No page contains a script or a style, so the policy can forbid them.
func TestPolicy(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	resp, body := v.Send("GET", "/tea", nil, exampletest.Form...)
	if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self'; style-src 'self'") {
		t.Errorf("the policy is %q", got)
	}
	for _, inline := range []string{"<script>", "<style", " style=", " onclick=", "hx-on"} {
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

// The forms that place an order, and that begin another one, count once: one that is
// sent again after the next order has begun does not touch that.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	for range 2 {
		wantRedirect(t, v, "POST", "/tea", tea, "/delivery")
		wantRedirect(t, v, "POST", "/delivery", delivery, "/check")
		v.Twice("/check", "/place", nil)
		_, page := v.Send("GET", "/placed", nil, exampletest.Form...)
		v.TwiceFrom("/placed", page, "/again", nil)
		wantRedirect(t, v, "POST", "/tea", tea, "/delivery")
		again, _, _ := strings.Cut(page[strings.Index(page, "/again?"):], `"`)
		wantRedirect(t, v, "POST", again, nil, "/delivery") // its answer was lost
	}
}
