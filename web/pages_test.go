package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A Box is what the pages of these tests send.
type Box struct {
	Tea   string     `json:"tea"`
	Tins  int        `json:"tins,omitempty"`
	Gift  bool       `json:"gift"`
	Until *time.Time `json:"until"`
	Size  size       `json:"size"`
	Owner string     `json:"owner" stay:"private"`
}

// A size reads itself, and has its own error texts.
type size string

func (s *size) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		return stay.Invalid("", "choose a size")
	case "broken":
		return errors.New("strconv: parsing \"broken\": hunter2")
	}
	*s = size(text)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s size) MarshalText() ([]byte, error) { return []byte(s), nil }

// Validate says what is wrong with each field.
func (b Box) Validate() error {
	var errs []error
	if b.Tea == "coffee" {
		errs = append(errs, stay.Invalid("tea", "is no tea"))
	}
	if b.Tins == 0 {
		errs = append(errs, stay.Invalid("tins", "one at least"))
	}
	if b.Tins == 0 && !b.Gift {
		errs = append(errs, stay.Invalid("", "nothing to do"))
	}
	return errors.Join(errs...)
}

// boxes serves Bind and an action, which answer with what they got.
func (s *site) boxes(o *web.Options) http.Handler {
	state := stay.Register(s.app, stay.Module[struct{ Box Box }]{Name: "boxes", Persist: stay.PerSession, Actions: stay.Actions[struct{ Box Box }]{
		"put": stay.WithPayload(func(_ *stay.Call, s *struct{ Box Box }, in Box) error { s.Box = in; return nil }),
	}})
	mux := http.NewServeMux()
	mux.Handle("/bind", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		var in Box
		if err := web.Bind(r, &in); err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(in)
	}))
	mux.Handle("/do", web.Do(state, "put", func(w http.ResponseWriter, _ *http.Request, s *struct{ Box Box }) error {
		return json.NewEncoder(w).Encode(s.Box)
	}))
	return web.Sessions(s.app, o)(mux)
}

// A form whose values do not fit is answered once, with all that is wrong: with
// the values, and with what Validate says of the others. A missing value causes
// no message.
//
// Proves W6, W7.
func TestAllThatIsWrongIsToldTogether(t *testing.T) {
	s := newSite(t)
	h := s.boxes(nil)
	for body, contentType := range map[string]string{
		"tea=coffee&tins=many&until=soon&size=none":                   formType,
		`{"tea":"coffee","tins":"many","until":"soon","size":"none"}`: jsonType,
	} {
		for _, path := range []string{"/bind", "/do"} {
			a := send(t, browser(h), "POST", path, body, "Content-Type", contentType, "Accept", jsonType)
			var got struct {
				Title, Detail string
				Status        int
				Error         struct {
					Code   string
					Fields map[string]string
				}
			}
			if err := json.Unmarshal([]byte(a.body), &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"tea": "is no tea", "tins": "must be a whole number", "until": "must be a date", "size": "choose a size"}
			if a.status != 422 || got.Status != 422 || got.Title != "Unprocessable Entity" || got.Error.Code != "invalid" || fmt.Sprint(got.Error.Fields) != fmt.Sprint(want) {
				t.Errorf("%s %s: %d %s", path, body, a.status, a.body)
			}
			for field, message := range want {
				if strings.Count(got.Detail, field+": "+message) != 1 {
					t.Errorf("%s %s: detail %q", path, body, got.Detail)
				}
			}
		}
	}
}

// What a type of the program says about its text is shown only if it is meant
// for clients.
//
// Proves W6.
func TestWordsOfTypesThatReadThemselves(t *testing.T) {
	s := newSite(t)
	h := s.boxes(nil)
	send(t, browser(h), "POST", "/bind", "tins=1&size=broken", "Content-Type", formType).want(t, 422, "size: is not valid\n")
	send(t, browser(h), "POST", "/bind", "tins=1&size=none", "Content-Type", formType).want(t, 422, "size: choose a size\n")
}

// A program can replace the built-in texts.
//
// Proves W6.
func TestMessagesOfTheProgram(t *testing.T) {
	s := newSite(t)
	german := map[string]string{"date": "%[1]s: bitte ein Datum", "too_large": "%[1]s: zu groß", "several": "%[1]s: %[2]v statt einem"}
	h := s.boxes(&web.Options{Message: func(r *http.Request, field, key string, args ...any) string {
		if r.Header.Get("Accept-Language") != "de" || german[key] == "" {
			return ""
		}
		return fmt.Sprintf(german[key], append([]any{field}, args...)...)
	}})
	big := "99999999999999999999"
	for _, path := range []string{"/bind", "/do"} {
		send(t, browser(h), "POST", path, "until=x&tins="+big, "Content-Type", formType, "Accept-Language", "de").
			want(t, 422, "tins: tins: zu groß; until: until: bitte ein Datum\n")
		send(t, browser(h), "POST", path, "until=1&until=2&tins=1", "Content-Type", formType, "Accept-Language", "de").
			want(t, 422, "until: until: 2 statt einem\n")
		send(t, browser(h), "POST", path, "until=x&tins=x", "Content-Type", formType, "Accept-Language", "de").
			want(t, 422, "tins: must be a whole number; until: until: bitte ein Datum\n")
		send(t, browser(h), "POST", path, "until=x&tins=1", "Content-Type", formType).want(t, 422, "until: must be a date\n")
	}
}

// A page has names that are not the program's. They are left out of what pages
// send, and each is logged once in development. Scripts get an error about
// them, and private fields are refused for all.
//
// Proves W7.
func TestNamesThatAreNotTheProgramsAreLeftOutOfPages(t *testing.T) {
	s := newSite(t, func(o *stay.Options) { o.Development = true })
	h := s.boxes(nil)
	multi, multiType := multipartForm(t, map[string]string{"tins": "1", "save": "x"}, "")
	for _, c := range []struct {
		name, body string
		status     int
		header     []string
	}{
		{"form", "tins=1&save=x&csrf_token=y&go.x=3&go.y=4&_method=put", 200, []string{"Content-Type", formType}},
		{"multipart", multi, 200, []string{"Content-Type", multiType}},
		{"json of htmx", `{"tins":1,"save":"x"}`, 200, []string{"Content-Type", jsonType, "HX-Request", "true"}},
		{"signals", `{"tins":1,"save":{"x":1}}`, 200, []string{"Content-Type", jsonType, "Datastar-Request", "true"}},
		{"script", `{"tins":1,"save":"x"}`, 400, []string{"Content-Type", jsonType}},
		{"private in a form", "tins=1&owner=x", 400, []string{"Content-Type", formType}},
		{"private in signals", `{"tins":1,"owner":"x"}`, 400, []string{"Content-Type", jsonType, "Datastar-Request", "true"}},
	} {
		for _, path := range []string{"/bind", "/do"} {
			if a := send(t, browser(h), "POST", path, c.body, c.header...); a.status != c.status {
				t.Errorf("%s %s: %d %s", path, c.name, a.status, a.body)
			}
		}
	}
	if log := s.log.String(); strings.Count(log, "field=save") != 1 || strings.Count(log, "was left out") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// One option decides which names are left out, of forms and of JSON.
//
// Proves W7.
func TestIgnoreField(t *testing.T) {
	s := newSite(t)
	h := s.boxes(&web.Options{IgnoreField: func(_ *http.Request, name string) bool { return name == "website" || name == "owner" }})
	for body, want := range map[string]int{
		"tins=1&website=x": 200, "tins=1&_csrf=x&cf-turnstile-response=y": 200, "tins=1&save=x": 400, "tins=1&owner=x": 400,
		`{"tins":1,"website":"x"}`: 200, `{"tins":1,"save":"x"}`: 400, `{"tins":1,"_csrf":"x"}`: 400, `{"tins":1,"owner":"x"}`: 400,
	} {
		contentType := formType
		if body[0] == '{' {
			contentType = jsonType
		}
		if a := send(t, browser(h), "POST", "/bind", body, "Content-Type", contentType); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

// Values are taken from the address only where a client puts them there.
//
// Proves B8.
func TestValuesInTheAddress(t *testing.T) {
	s := newSite(t)
	h := s.boxes(nil)
	signals := "datastar=" + url.QueryEscape(`{"tea":"mint","tins":2,"open":true}`)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
		header             []string
	}{
		{"DELETE", "/do?tea=mint&tins=2", "", 200, `"tea":"mint","tins":2`, nil},
		{"DELETE", "/do?tea=mint&tins=x", "", 422, "tins: must be a whole number", nil},
		{"DELETE", "/do?tins=%zz", "", 400, "cannot be parsed", nil},
		{"DELETE", "/do?tea=mint", "tea=green&tins=3", 200, `"tea":"green","tins":3`, []string{"Content-Type", formType}},
		{"GET", "/bind?tea=mint&tins=2&utm_source=x", "", 200, `"tea":"mint","tins":2`, nil},
		{"DELETE", "/do?" + signals, "", 200, `"tea":"mint","tins":2`, []string{"Datastar-Request", "true"}},
		{"POST", "/do?tea=mint&tins=2", "", 422, "tins: one at least", nil},
		{"PATCH", "/do?tea=mint", "tins=4", 200, `"tea":"","tins":4`, []string{"Content-Type", formType}},
	} {
		a := send(t, browser(h), c.method, c.path, c.body, c.header...)
		if a.status != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
		}
	}
	long := web.Sessions(s.app, &web.Options{MaxBody: 10})(web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, new(Box)) }))
	if a := send(t, browser(long), "GET", "/?tea=mint-and-more", ""); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// JSON with another content type gets an error that says how to send it.
func TestJSONSentAsSomethingElse(t *testing.T) {
	s := newSite(t)
	h := s.boxes(nil)
	parsed := web.Sessions(s.app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		r.FormValue("x")
		return web.Bind(r, new(Box))
	}))
	for _, contentType := range []string{formType, "text/plain;charset=UTF-8", ""} {
		for _, h := range []http.Handler{h, parsed} {
			a := send(t, browser(h), "POST", "/bind", ` {"tea":"a=b&c"}`, "Content-Type", contentType)
			if contentType == "" {
				a = send(t, browser(h), "POST", "/bind", ` {"tea":"a=b&c"}`)
			}
			if a.status != 400 || !strings.Contains(a.body, "looks like JSON: set Content-Type to application/json") {
				t.Errorf("%q: %d %s", contentType, a.status, a.body)
			}
		}
	}
	if a := send(t, browser(h), "POST", "/bind", "{x}=1&tins=1", "Content-Type", formType); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// upload returns a form with a text and a part for a file.
func upload(t testing.TB, fileName, content string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("tins", "2")
	p, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="photo"; filename="` + fileName + `"`},
		"Content-Type":        {"application/octet-stream"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(p, content)
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

// An input for files that was left empty sends no value. A file that no code
// takes is refused, and a file that the handler has taken is not: Bind binds
// the rest, also if the file is longer than MaxBody.
//
// Proves B8.
func TestFilesBesideOtherFields(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSite(t)
	for _, o := range []*web.Options{{MaxBody: 1000}, {MaxBody: 1000, IgnoreField: func(*http.Request, string) bool { return false }}} {
		s := newSite(t)
		h := s.boxes(o)
		for _, path := range []string{"/bind", "/do"} {
			body, contentType := upload(t, "", "")
			if a := send(t, browser(h), "POST", path, body, "Content-Type", contentType); a.status != 200 || !strings.Contains(a.body, `"tins":2`) {
				t.Errorf("%s, no file: %d %s", path, a.status, a.body)
			}
			for _, name := range []string{"cup.png", ""} {
				body, contentType = upload(t, name, "x")
				send(t, browser(h), "POST", path, body, "Content-Type", contentType).want(t, 400, "files are not taken here\n")
			}
		}
		take := func(w http.ResponseWriter, r *http.Request) error {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			file, _, err := r.FormFile("photo")
			if err != nil && !errors.Is(err, http.ErrMissingFile) {
				return err
			}
			size := int64(0)
			if err == nil {
				size, _ = io.Copy(io.Discard, file)
				_ = file.Close()
			}
			var in Box
			if err := web.Bind(r, &in); err != nil {
				return err
			}
			_, err = fmt.Fprint(w, size, " ", in.Tins)
			return err
		}
		plain := web.Sessions(s.app, o)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, take(w, r)) }))
		for content, want := range map[string]string{"": "0 2", "xx": "2 2", strings.Repeat("x", 5000): "5000 2"} {
			name := "cup.png"
			if content == "" {
				name = ""
			}
			body, contentType := upload(t, name, content)
			send(t, browser(plain), "POST", "/", body, "Content-Type", contentType).want(t, 200, want)
			h := web.Sessions(s.app, o)(web.Handle(take))
			if a := send(t, browser(h), "POST", "/", body, "Content-Type", contentType); len(content) < 1000 && a.body != want || len(content) > 1000 && a.status != 413 {
				t.Errorf("Handle, %d bytes: %d %s", len(content), a.status, a.body)
			}
		}
		body, contentType := upload(t, "cup.png", strings.Repeat("x", 2<<20))
		if a := send(t, browser(plain), "POST", "/", body, "Content-Type", contentType); a.status != 413 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	// In Update, which reads the body before the function runs.
	update := web.Sessions(s.app, nil)(web.Update(s.counter, func(w http.ResponseWriter, r *http.Request, _ *Counter) error {
		if _, header, err := r.FormFile("photo"); err != nil || header.Size != 1 {
			return fmt.Errorf("%v, %w", header, err)
		}
		var in Box
		if err := web.Bind(r, &in); err != nil {
			return err
		}
		_, err := fmt.Fprint(w, in.Tins)
		return err
	}))
	one, oneType := upload(t, "cup.png", "x")
	send(t, browser(update), "POST", "/", one, "Content-Type", oneType).want(t, 200, "2")
	// A handler that needs the file, and a middleware that has parsed the form.
	need := web.Sessions(s.app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error { _, _, err := r.FormFile("photo"); return err }))
	send(t, browser(need), "POST", "/", "tins=1", "Content-Type", formType).want(t, 400, "a file is missing: send it with the form, as multipart/form-data\n")
	parsing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.FormValue("x")
		s.boxes(nil).ServeHTTP(w, r)
	})
	body, contentType := upload(t, "cup.png", "x")
	send(t, browser(web.Sessions(s.app, nil)(parsing)), "POST", "/do", body, "Content-Type", contentType).want(t, 400, "files are not taken here\n")
}

// A form whose parts other code has read one by one does not count as an empty
// form.
func TestBindAfterMultipartReader(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		if _, err := r.MultipartReader(); err != nil {
			return err
		}
		return web.Bind(r, new(Box))
	})
	body, contentType := upload(t, "cup.png", "x")
	if a := send(t, browser(h), "POST", "/", body, "Content-Type", contentType); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Adapters know the status of every error.
//
// Proves W6.
func TestStatusOfErrors(t *testing.T) {
	for want, err := range map[int]error{
		200: nil, 400: http.ErrMissingFile, 413: &http.MaxBytesError{}, 422: fmt.Errorf("x: %w", stay.Invalid("a", "b")), 500: errors.New("x"), 503: stay.ErrBusy,
	} {
		if got := web.Status(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
