package forms_test

import (
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/forms"
)

// The program of docs/forms-and-errors.md does what it says.
//
// Proves W6, W7.
func TestGuideOfForms(t *testing.T) {
	app := staytest.App(t, nil)
	client, address := staytest.Browser(t, forms.NewHandler(app))

	send := func(path, contentType, body string) (int, string) {
		t.Helper()
		resp, err := client.Post(address+path, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	const form, json = "application/x-www-form-urlencoded", "application/json"
	good := url.Values{"tea": {"Mint"}, "tins": {"3"}, "gift": {"on"}, "address.city": {"Bath"}, "_csrf": {"x"}}.Encode()

	for _, c := range []struct {
		name, path, contentType, body string
		status                        int
		want                          []string
	}{
		{"good", "/order", form, good, 200, []string{`value="Mint"`, `value="3"`, "checked", `value="Bath"`}},
		{"refused", "/order", form, "tea=Mint&tins=99&address.street=Hill", 422, []string{`value="99"`, "1 to 20 tins", `value="Hill"`, "where does it go?"}},
		{"no number", "/order", form, "tins=", 400, []string{"<h1>Bad Request</h1>"}},
		{"unknown name", "/order", form, "tins=1&address.city=Bath&colour=red", 400, []string{"<h1>Bad Request</h1>"}},
		{"no form", "/order", "text/csv", "tins,1", 400, []string{"<h1>Bad Request</h1>"}},
		{"action", "/state/order/change", json, `{"tea":"Oolong","tins":2,"address":{"city":"Bath"}}`, 200, []string{`"tea":"Oolong"`}},
	} {
		status, answer := send(c.path, c.contentType, c.body)
		if status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, status, answer, c.status)
		}
		for _, want := range c.want {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: %s, want %s", c.name, answer, want)
			}
		}
	}
	resp, err := client.Get(address + "/state/order")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), `"tea":"Oolong"`) {
		t.Errorf("%s, %v", b, err)
	}
}
