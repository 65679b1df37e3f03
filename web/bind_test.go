package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// multipartForm returns a form as browsers send it, with a file if there is
// one.
func multipartForm(t testing.TB, values map[string]string, file string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range values {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if file != "" {
		part, err := w.CreateFormFile("upload", "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(part, file)
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

func entries(t testing.TB) []string {
	t.Helper()
	list, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return names
}

// Form and JSON bodies bind in the same way, by Payload and by Bind, whether or
// not the handler has read the form before.
//
// Proves B8.
func TestBodiesBind(t *testing.T) {
	multi, multiType := multipartForm(t, map[string]string{"by": "3", "label": "x"}, "")
	file, fileType := multipartForm(t, map[string]string{"by": "3"}, "content")
	for _, tc := range []struct {
		name, body, contentType string
		status                  int
		want                    Step
	}{
		{"form", "by=3&label=x", formType, 200, Step{3, "x"}},
		{"form with charset", "by=3&label=x", formType + ";charset=UTF-8", 200, Step{3, "x"}},
		{"multipart", multi, multiType, 200, Step{3, "x"}},
		{"json", `{"by":3,"label":"x"}`, jsonType, 200, Step{3, "x"}},
		{"json with charset", `{"by":3,"label":"x"}`, jsonType + "; charset=utf-8", 200, Step{3, "x"}},
		{"a kind of json", `{"by":3}`, "application/merge-patch+json", 200, Step{3, ""}},
		{"nothing", "", "", 200, Step{}},
		{"empty form", "", formType, 200, Step{}},
		{"empty json", "", jsonType, 200, Step{}},
		{"empty text", "", "text/plain;charset=UTF-8", 200, Step{}},
		{"no type", `{"by":3}`, "", 400, Step{}},
		{"text", `{"by":3}`, "text/plain", 400, Step{}},
		{"senseless type", `{"by":3}`, "a/b/c", 400, Step{}},
		{"multipart without boundary", multi, "multipart/form-data", 400, Step{}},
		{"multipart of another boundary", multi, "multipart/form-data; boundary=x", 400, Step{}},
		{"multipart cut short", multi[:len(multi)-10], multiType, 400, Step{}},
		{"file", file, fileType, 400, Step{3, ""}},
		{"cut json", `{"by":3`, jsonType, 400, Step{}},
		{"two documents", `{"by":3}{}`, jsonType, 400, Step{}},
		{"bad escape", "by=%zz", formType, 400, Step{}},
		{"unknown field", `{"by":3,"admin":true}`, jsonType, 400, Step{}},
		{"unknown form field", "by=3&admin=1", formType, 200, Step{3, ""}},
		{"wrong type", `{"by":"three"}`, jsonType, 422, Step{}},
		{"wrong form value", "by=three", formType, 422, Step{}},
		{"refused", `{"by":-1}`, jsonType, 422, Step{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			var got Step
			mux := http.NewServeMux()
			mux.Handle("/", s.routes(nil))
			mux.Handle("/bind", web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, &got) }))
			mux.Handle("/payload", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
				p := web.Payload(r)
				if tc.contentType == formType && tc.status == 200 && tc.body != "" && r.FormValue("by") != "3" {
					t.Errorf("after Payload the form has by=%q", r.FormValue("by"))
				}
				c, err := s.counter.Do(r.Context(), "add", p)
				if err == nil {
					got = Step{c.Count, c.Label}
				}
				return err
			}))
			mux.Handle("/after", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
				r.FormValue("by")
				return web.Bind(r, &got)
			}))
			h := web.Sessions(s.app, nil)(mux)
			var header []string
			if tc.contentType != "" {
				header = []string{"Content-Type", tc.contentType}
			}
			for _, path := range []string{"/bind?by=9", "/payload?by=9&admin=1", "/after?label=q", "/add?by=9", "/state/counter/add?by=9"} {
				got = Step{}
				status := tc.status
				if tc.name == "file" && strings.HasPrefix(path, "/after") {
					status = 200 // the file is the handler's, which has parsed the form
				}
				a := send(t, browser(h), "POST", path, tc.body, header...)
				if a.status != status {
					t.Errorf("%s: %d %q, want %d", path, a.status, a.body, tc.status)
				}
				want := tc.want
				if strings.HasPrefix(path, "/payload") && tc.status == 200 && want.Label == "" {
					want.Label = "clicks" // the state's own
				}
				if status == 200 && !strings.HasPrefix(path, "/add") && !strings.HasPrefix(path, "/state") && got != want {
					t.Errorf("%s: got %+v, want %+v", path, got, want)
				}
			}
		})
	}
}

// Bind and Payload may both be used, in any order and again and again.
//
// Proves B8.
func TestTheBodyCanBeReadAgain(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		var first, second Step
		if err := errors.Join(web.Bind(r, &first), web.Bind(r, &second)); err != nil {
			return err
		}
		c, err := s.counter.Do(r.Context(), "add", web.Payload(r))
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(w, first.By, second.By, c.Count, " ", r.FormValue("by"))
		return err
	}))
	send(t, browser(h), "POST", "/", "by=3", "Content-Type", formType).want(t, 200, "3 3 3 3")
}

// An action that starts again after a conflict binds the same payload.
//
// Proves B8, E4.
func TestPayloadIsBoundInEveryRun(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(nil))
	s.conflict(t, 2)
	send(t, c, "POST", "/add", "by=3", "Content-Type", formType).want(t, 200, "3")
	s.conflict(t, 1)
	send(t, c, "POST", "/add", `{"by":4}`, "Content-Type", jsonType).want(t, 200, "7")
}

// The messages of several fields come together.
func TestValidationNamesTheFields(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	body := `{"by":-1,"label":"far too long for it"}`
	send(t, browser(h), "POST", "/state/counter/add", body, "Content-Type", jsonType).want(t, 422,
		`{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"by: must not be negative; label: is too long","error":{"code":"invalid","message":"by: must not be negative; label: is too long","fields":{"by":"must not be negative","label":"is too long"}}}`+"\n")
	send(t, browser(h), "POST", "/add", "by=-1", "Content-Type", formType).want(t, 422, "by: must not be negative\n")
	a := send(t, browser(h), "POST", "/add", "by=three", "Content-Type", formType, "Accept", jsonType)
	if a.status != 422 || !strings.Contains(a.body, `"fields":{"by":`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Fields that only the app may write are no payload.
//
// Proves K6, W7.
func TestBindLeavesPrivateFieldsAlone(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		c := Counter{Secret: "hidden"}
		err := web.Bind(r, &c)
		if c.Secret != "hidden" {
			t.Errorf("secret %q", c.Secret)
		}
		return err
	})
	for contentType, body := range map[string]string{jsonType: `{"secret":"x"}`, formType: "secret=x"} {
		if a := send(t, browser(h), "POST", "/", body, "Content-Type", contentType); a.status != 400 {
			t.Errorf("%s: %d %s, want 400", contentType, a.status, a.body)
		}
	}
}

// A form that a handler could not parse, because the body was broken, is not
// taken for an empty one.
func TestBindAfterAFormThatWasNotParsed(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		r.FormValue("by")
		return web.Bind(r, new(Step))
	})
	a := send(t, browser(h), "POST", "/", "%zz=3", "Content-Type", formType)
	if a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A body of which a part was read before is not taken for what is left of it.
func TestBindAfterAPartWasRead(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
			return err
		}
		return web.Bind(r, new(Step))
	})
	if a := send(t, browser(h), "POST", "/", "x=12&by=3", "Content-Type", formType); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Methods whose forms net/http leaves unread are bound as all others.
func TestBindAfterParseFormOfDelete(t *testing.T) {
	var got Step
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return err
		}
		return web.Bind(r, &got)
	})
	send(t, browser(h), "DELETE", "/", "by=3", "Content-Type", formType).want(t, 200, "")
	if got.By != 3 {
		t.Errorf("got %+v", got)
	}
}

// The limit holds for forms that were parsed before, too.
func TestBindOfAParsedFormHasTheLimit(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, &web.Options{MaxBody: 10})(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		r.FormValue("by")
		return web.Bind(r, new(Step))
	}))
	if a := send(t, browser(h), "POST", "/", "by=12345678", "Content-Type", formType); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A body that cannot be a payload is refused also by actions that take none.
func TestDoRefusesBodiesThatAreNoPayload(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(nil))
	for _, path := range []string{"/increment", "/state/counter/increment"} {
		if a := send(t, c, "POST", path, "hello", "Content-Type", "text/plain"); a.status != 400 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	send(t, c, "GET", "/view", "").want(t, 200, "0")
}

// Validate may return any error; one without a code is shown as it is.
func TestBindValidates(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, new(picky)) })
	send(t, browser(h), "POST", "/", "want=plain", "Content-Type", formType).want(t, 422, "not like this\n")
	send(t, browser(h), "POST", "/", "want=code", "Content-Type", formType).want(t, 403, "Forbidden\n")
	send(t, browser(h), "POST", "/", "want=nothing", "Content-Type", formType).want(t, 200, "")
}

type picky struct {
	Want string `json:"want"`
}

func (p *picky) Validate() error {
	switch p.Want {
	case "plain":
		return errors.New("not like this")
	case "code":
		return stay.ErrDenied
	}
	return nil
}
