package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bind"
)

// Payload reads the body of r for State.Do:
//
//	t, err := todos.Do(r.Context(), "add", web.Payload(r))
//
// Payload reads the whole body before it returns, so a slow client does not
// hold the state. If the body is wrong, the action that binds it gets the
// error: stay.ErrTooLarge if the body is longer than Options.MaxBody, or if its
// decoded form takes more memory than 16 MiB, or than 16 times its length if it
// is longer than 1 MiB; stay.ErrMalformed if it breaks off, cannot be parsed,
// is neither JSON nor a form, or has a name that the struct of the action does
// not have, see Options.IgnoreField; stay.ErrInvalid if values do not fit.
//
// Query parameters are not part of the payload, except in GET, HEAD and DELETE
// requests without a body: browsers, htmx and Datastar put the values there. An
// empty body is an empty payload, of any type.
//
// r may still be used afterwards, including r.FormValue. Payload also works
// after r.FormValue, r.FormFile, r.ParseForm and r.ParseMultipartForm, on what
// these could parse; files are left to the code that has parsed the form. A body
// that was read in any other way is malformed. If it has no Content-Length, this
// cannot be detected, and Payload reads what is left of it.
func Payload(r *http.Request) any {
	return readPayload(settingsOf(r, unknownApp), r, true)
}

// Bind reads the body of r into the struct that dst points to and calls its
// method Validate() error, if it has one. Fields are named as in JSON, also in
// forms. A name that dst does not have is left out of forms and an error in
// JSON, see Options.IgnoreField; a name that is tagged stay:"private" or
// stay:"key" is always an error. Fields that the body does not name stay as
// they are, and a refused body changes nothing; see [stay.Call.Bind].
//
// The errors are those of [Payload], and the error of Validate: it becomes
// stay.ErrInvalid with its whole text for the client if it has no code. If
// values do not fit, Validate sees the others, and the error has the messages
// of all fields: stay.FieldErrors returns them. [ReadForm] is for forms that
// are shown again. A dst that is not a pointer, or whose type has stay tags and
// decodes itself, is stay.ErrInternal.
func Bind(r *http.Request, dst any) error {
	return readPayload(settingsOf(r, unknownApp), r, true).bindAndValidate(dst)
}

// A payload is a body that has been read. It does not change, so it can be
// bound any number of times.
type payload struct {
	settings *settings
	request  *http.Request
	err      error      // why it cannot be bound
	json     []byte     // the body if it is JSON
	form     url.Values // the body if it is a form
	parsed   bool       // other code has parsed it from parts
	paged    bool       // the JSON names its page
}

// Bind stores the payload in the value that dst points to.
func (p *payload) Bind(dst any) error {
	if form, ok := dst.(formReader); ok {
		return form.read(p)
	}
	binder := &p.settings.binder
	switch {
	case p.err != nil:
		return p.err
	case p.json != nil:
		return p.error(binder.JSON(p.json, dst, p.ignore()))
	case len(p.form) > 0:
		return p.error(binder.Form(p.form, dst, p.ignore()))
	}
	return nil
}

func (p *payload) bindAndValidate(dst any) error {
	if err := p.Bind(dst); err != nil {
		return withRest(err)
	}
	err := bind.Validate(dst)
	if err == nil || hasCode(err) {
		return err
	}
	return &stay.Error{Code: stay.ErrInvalid, Message: err.Error(), Err: err}
}

// withRest adds what Validate says about the other values to the error of those
// that do not fit.
func withRest(err error) error {
	var e *stay.Error
	if !errors.As(err, &e) {
		return err
	}
	all := *e
	all.Message, all.Fields = bind.ValidateRest(e.Err, e.Message, maps.Clone(e.Fields), stay.FieldErrors)
	return &all
}

// error adds the code to the error of a refused payload.
func (p *payload) error(err error) error {
	if err == nil {
		return nil
	}
	code, message, fields := bind.Explain(err, p.words)
	return &stay.Error{Code: stay.Code(code), Message: message, Fields: fields, Err: err}
}

// words returns the text for the client about a value: the text that a type of
// the program returns with stay.Invalid when it reads itself, otherwise the
// text of Options.Message.
func (p *payload) words(e *bind.Error) string {
	if own := (*stay.Error)(nil); errors.As(e.Err, &own) && own.Message != "" {
		return own.Message
	}
	if p.settings.message != nil {
		if text := p.settings.message(p.request, e.Field, e.Key, e.Args...); text != "" {
			return text
		}
	}
	return e.Message
}

// readPayload reads the body of r. filesTaken says that files which other code
// has parsed from it belong to that code; otherwise they are an error.
func readPayload(s *settings, r *http.Request, filesTaken bool) *payload {
	p := &payload{settings: s, request: r}
	if p.err = p.parse(filesTaken); p.err == nil {
		p.err = p.takePage()
	}
	return p
}

func (p *payload) parse(filesTaken bool) error {
	s, r := p.settings, p.request
	kind, params, err := mediaType(r)
	if err != nil {
		return err
	}
	if done, err := p.takeParsed(kind, filesTaken); done || err != nil {
		return err
	}
	data, err := readBody(s, r)
	if err != nil {
		return err
	}
	r.Body = reopen(data)
	return p.parseBody(kind, params, data, filesTaken)
}

// parseBody parses a body that has been read.
func (p *payload) parseBody(kind kind, params map[string]string, data []byte, filesTaken bool) (err error) {
	r := p.request
	if len(data) == 0 {
		if kind == kindMultipart || r.ContentLength > 0 {
			return malformed("the body cannot be parsed", errors.New("web: it was read before Payload or Bind"))
		}
		return p.takeAddress()
	}
	if int64(len(data)) < r.ContentLength {
		return malformed("the body cannot be parsed", errors.New("web: a part of it was read before Payload or Bind"))
	}
	switch kind {
	case kindJSON:
		p.json = data
		return nil
	case kindForm:
		if isJSON(data) {
			return malformed(looksLikeJSON, nil)
		}
		p.form, err = bind.ParseForm(data)
		return p.formError(err)
	case kindMultipart:
		var files bool
		p.form, files, err = bind.ParseMultipart(data, params["boundary"])
		taken := filesTaken && r.MultipartForm != nil // by the function, which can read the body again
		if err == nil && files && !taken {
			return malformed(noFiles, nil)
		}
		return p.formError(err)
	}
	if isJSON(data) {
		return malformed(looksLikeJSON, nil)
	}
	return malformed("this content type is not taken here: send JSON or a form", nil)
}

const (
	looksLikeJSON = "this looks like JSON: set Content-Type to application/json"
	noFiles       = "files are not taken here"
)

// isJSON reports whether data is a JSON object or list. A form never is.
func isJSON(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && (data[0] == '{' || data[0] == '[') && json.Valid(data)
}

func (p *payload) formError(err error) error {
	if err == nil || errors.As(err, new(*bind.Error)) {
		return p.error(err)
	}
	return malformed("the form cannot be parsed", err)
}

// takeAddress takes the values from the URL of a request without a body, if
// browsers put the values there for its method. Datastar sends them as JSON in
// one parameter.
func (p *payload) takeAddress() error {
	r := p.request
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		return nil
	}
	if int64(len(r.URL.RawQuery)) > p.settings.maxBody {
		return tooLong(p.settings.maxBody, nil)
	}
	form, err := bind.ParseForm([]byte(r.URL.RawQuery))
	if signals := form["datastar"]; len(signals) == 1 && r.Header.Get("Datastar-Request") != "" {
		p.json = []byte(signals[0])
		return nil
	}
	delete(form, onceField) // the id of a form is none of its values
	p.form = form
	return p.formError(err)
}

// takeParsed takes the form that other code has already parsed from the body,
// so that there is nothing left to read. done is false if no code has parsed
// it, or if the body can still be read.
func (p *payload) takeParsed(k kind, filesTaken bool) (done bool, err error) {
	s, r := p.settings, p.request
	if _, whole := r.Body.(*bodyReader); whole {
		return false, nil
	}
	length, files := max(r.ContentLength, parsedLength(r)), false
	switch {
	case k == kindForm && r.PostForm != nil && formMethod(r.Method):
		if len(r.PostForm) == 0 && r.ContentLength > 0 {
			return false, malformed("the form cannot be parsed", nil)
		}
		for name := range r.PostForm {
			if strings.HasPrefix(strings.TrimSpace(name), "{") {
				return false, malformed(looksLikeJSON, nil)
			}
		}
		p.form = r.PostForm
	case k == kindMultipart && r.MultipartForm != nil:
		if r.PostForm == nil {
			return false, malformed("the body cannot be parsed", errors.New("web: MultipartReader was used before Payload or Bind"))
		}
		if filesTaken {
			length = valuesLength(r.MultipartForm.Value) // files have their own limit
		}
		files = !filesTaken && len(r.MultipartForm.File) > 0
		p.form, p.parsed = r.MultipartForm.Value, true
	default:
		return false, nil
	}
	if length > s.maxBody {
		return false, tooLong(s.maxBody, nil)
	}
	if files {
		return false, malformed(noFiles, nil)
	}
	return true, nil
}

// formMethod reports whether net/http parses the body of requests with this
// method.
func formMethod(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}
