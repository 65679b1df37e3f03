package forms_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/forms"
)

const multipartType = "multipart/form-data; boundary=part"

// photo returns a form with a file as browsers send it.
func photo(name, content string) string {
	return "--part\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\ntea\r\n" +
		"--part\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"" + name + "\"\r\n\r\n" + content + "\r\n--part--\r\n"
}

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
		{"no number", "/order", form, "tins=many&address.city=Bath", 422, []string{`value="many"> must be a whole number`, `value="Bath"`}},
		{"nothing typed", "/order", form, "tins=", 422, []string{`value=""> is required`, "where does it go?", `<p role="alert">tins is required</p>`}},
		{"a name of the page", "/order", form, "tins=1&address.city=Bath&colour=red", 200, []string{`value="Bath"`}},
		{"another notation", "/order", form, "tins=1&address[city]=Bath", 400, []string{"<h1>Bad Request</h1>"}},
		{"no form", "/order", "text/csv", "tins,1", 400, []string{"<h1>Bad Request</h1>"}},
		{"no file chosen", "/photo", multipartType, photo("", ""), 200, []string{"tea: no photo"}},
		{"a file", "/photo", multipartType, photo("cup.png", strings.Repeat("x", 2<<20)), 200, []string{"tea: cup.png, 2097152 bytes"}},
		{"a file that is too long", "/photo", multipartType, photo("cup.png", strings.Repeat("x", 11<<20)), 422, []string{`type="file"> 10 MB at most`}},
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
	strict, strictAddress := staytest.Browser(t, forms.NewStrictHandler(staytest.App(t, nil)))
	for body, want := range map[string]string{
		"tins=1&address.city=Bath&website=x&_csrf=y": `value="Bath"`,
		"tins=many&address.city=Bath":                "bitte eine ganze Zahl",
		"tins=1&address.city=Bath&colour=red":        "colour: is not a field",
	} {
		resp, err := strict.Post(strictAddress+"/order", form, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(answer), want) {
			t.Errorf("%s: %s, %v, want %s", body, answer, err, want)
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

// The whole page has the form with its messages, the message of the change before,
// the user, and the field that says to whose login it belongs.
//
// Proves W6.
func TestAWholePageOfTheGuide(t *testing.T) {
	client, address := staytest.Browser(t, forms.NewHandler(staytest.App(t, nil)))
	read := func(resp *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	wants := func(status, want int, page string, parts ...string) {
		t.Helper()
		if status != want {
			t.Errorf("%d %s, want %d", status, page, want)
		}
		for _, part := range parts {
			if !strings.Contains(page, part) {
				t.Errorf("the page %s lacks %s", page, part)
			}
		}
	}
	status, page := read(client.Get(address + "/page"))
	wants(status, 200, page, "<p>Your order</p>", `type="hidden"`, `value="1"`)
	status, page = read(client.PostForm(address+"/page", url.Values{"tins": {""}}))
	wants(status, 422, page, "tins is required", "address.city where does it go?", `type="hidden"`)
	status, page = read(client.PostForm(address+"/page", url.Values{"tins": {" 2 "}, "address.city": {"Bath"}}))
	wants(status, 200, page, `<p role="status">Thank you for your order</p>`, `value="Bath"`)
	if status, page = read(client.Get(address + "/page")); strings.Contains(page, "Thank you") {
		t.Errorf("the message is shown again: %d %s", status, page)
	}
}
