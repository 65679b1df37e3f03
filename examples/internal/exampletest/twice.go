package exampletest

import (
	"crypto/rand"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Twice sends the form of a page twice, as a double click, a reload of the answer or
// a browser that had no answer does. Both must lead to the same page, and the second
// must say that it has changed nothing. action is the address of the form without
// its id.
func (v *Visitor) Twice(page, action string, fields url.Values) {
	v.t.Helper()
	res, text := v.Send(http.MethodGet, page, nil, Form...) //nolint:bodyclose // it is closed already
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("GET %s: %s", page, res.Status)
	}
	v.TwiceFrom(page, text, action, fields)
}

// TwiceFrom is Twice for a page that is loaded already, with its text.
func (v *Visitor) TwiceFrom(page, text, action string, fields url.Values) {
	v.t.Helper()
	address := formOf(text, action)
	if address == "" {
		v.t.Fatalf("%s has no form with an id that goes to %s:\n%s", page, action, text)
	}
	all := maps.Clone(fields)
	if field := pageField.FindStringSubmatch(text); field != nil {
		if all == nil {
			all = url.Values{}
		}
		all.Set("_stay_page", field[1])
	}
	headers := append([]string{"Referer", v.server + page}, Form...)
	first, _ := v.Send(http.MethodPost, address, all, headers...)  //nolint:bodyclose // it is closed already
	second, _ := v.Send(http.MethodPost, address, all, headers...) //nolint:bodyclose // it is closed already
	v.replayed(address, first, second)
	to := first.Header.Get("Location")
	if first.StatusCode != http.StatusSeeOther || to == "" || second.StatusCode != first.StatusCode || second.Header.Get("Location") != to {
		v.t.Errorf("POST %s: %s to %q, and then %s to %q, want one redirect", address, first.Status, to, second.Status, second.Header.Get("Location"))
	}
}

// TwiceByScript sends a request twice, with one Idempotency-Key, as a script does that
// had no answer. Headers come in pairs of name and value.
func (v *Visitor) TwiceByScript(path, body string, headers ...string) {
	v.t.Helper()
	headers = append([]string{"Content-Type", "application/json", "Idempotency-Key", rand.Text()}, headers...)
	first, _ := v.send(http.MethodPost, path, strings.NewReader(body), headers)  //nolint:bodyclose // it is closed already
	second, _ := v.send(http.MethodPost, path, strings.NewReader(body), headers) //nolint:bodyclose // it is closed already
	v.replayed(path, first, second)
	if first.StatusCode >= 400 || second.StatusCode >= 400 {
		v.t.Errorf("POST %s: %s, and then %s", path, first.Status, second.Status)
	}
}

// replayed checks that the second answer says that it has changed nothing.
func (v *Visitor) replayed(path string, first, second *http.Response) {
	v.t.Helper()
	const replayed = "Idempotency-Replayed"
	if first.Header.Get(replayed) != "" || second.Header.Get(replayed) != "true" {
		v.t.Errorf("POST %s: %s is %q, and then %q", path, replayed, first.Header.Get(replayed), second.Header.Get(replayed))
	}
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	pageField  = regexp.MustCompile(`name="_stay_page" value="([^"]*)"`)
)

// formOf returns the address of the form that goes to action with an id, "" if there
// is none.
func formOf(page, action string) string {
	for _, form := range formAction.FindAllStringSubmatch(page, -1) {
		address := html.UnescapeString(form[1])
		u, err := url.Parse(address)
		if err != nil || !u.Query().Has("_stay_once") {
			continue
		}
		q := u.Query()
		q.Del("_stay_once")
		if u.RawQuery = q.Encode(); u.String() == action {
			return address
		}
	}
	return ""
}
