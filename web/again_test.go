package web_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A program that asks for JSON gets the messages of a form as JSON, and no page
// that was made for people.
//
// Proves W6.
func TestAClientThatAsksForJSONGetsNoPageOfAForm(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Boxes](r)
		return form.Again(err, func(w http.ResponseWriter) error {
			_, err := fmt.Fprintf(w, "<form>%s", form.Error("label"))
			return err
		})
	}))
	problem := `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"label: write one","error":{"code":"` +
		string(stay.ErrInvalid) + `","message":"label: write one","fields":{"label":"write one"}}}` + "\n"
	const page = "<form>write one"
	for accept, want := range map[string]string{
		"application/json":                               problem,
		"application/problem+json":                       problem,
		"application/json, text/plain, */*":              problem,
		"text/html, application/json":                    page,
		"text/event-stream, text/html, application/json": page,
		"*/*": page,
		"":    page,
	} {
		for _, contentType := range []string{formType, jsonType} {
			body := "boxes=1"
			if contentType == jsonType {
				body = `{"boxes":1}`
			}
			a := send(t, browser(h), "POST", "/", body, "Content-Type", contentType, "Accept", accept)
			a.want(t, 422, want)
			if is := a.header.Get("Content-Type"); (is == "application/problem+json") != (want == problem) {
				t.Errorf("%q: the answer is %s", accept, is)
			}
		}
	}
}
