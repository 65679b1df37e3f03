package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
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
// is neither JSON nor a form, or does not fit what the action binds it to.
// Query parameters are not part of it. An empty body is an empty payload, of
// any type.
//
// r may still be used afterwards, including r.FormValue. Payload also works
// after r.FormValue, r.ParseForm and r.ParseMultipartForm, on what these could
// parse. A body that was read in any other way is malformed. If it has no
// Content-Length, this cannot be detected, and Payload reads what is left of
// it.
func Payload(r *http.Request) any {
	return readPayload(settingsOf(r, unknownApp), r)
}

// Bind reads the body of r into the struct that dst points to and calls its
// method Validate() error, if it has one. Fields are named as in JSON, also in
// forms. A name that dst does not have, or that is tagged stay:"private" or
// stay:"key", is an error, and so is a value that does not fit. What the body
// does not name stays as it is, and a refused body changes nothing; see
// [stay.Call.Bind].
//
// The errors are those of [Payload], and what Validate returns: as
// stay.ErrInvalid with its whole text for the client if it has no code.
// stay.FieldErrors has the messages for a form that is shown again. A dst that
// is no pointer, or whose type has stay tags and decodes itself, is
// stay.ErrInternal.
func Bind(r *http.Request, dst any) error {
	if err := readPayload(settingsOf(r, unknownApp), r).Bind(dst); err != nil {
		return err
	}
	err := bind.Validate(dst)
	if err == nil || hasCode(err) {
		return err
	}
	return &stay.Error{Code: stay.ErrInvalid, Message: err.Error(), Err: err}
}

// A payload is a body that has been read. It does not change, so it can be
// bound any number of times.
type payload struct {
	err    error      // why it cannot be bound
	json   []byte     // the body if it is JSON
	form   url.Values // the body if it is a form
	binder *bind.Binder
}

// Bind stores the payload in the value that dst points to.
func (p *payload) Bind(dst any) error {
	switch {
	case p.err != nil:
		return p.err
	case p.json != nil:
		return bindError(p.binder.JSON(p.json, dst))
	case len(p.form) > 0:
		return bindError(p.binder.Form(p.form, dst))
	}
	return nil
}

// bindError adds the code to the error of a refused payload.
func bindError(err error) error {
	if err == nil {
		return nil
	}
	code, message, fields := bind.Explain(err)
	return &stay.Error{Code: stay.Code(code), Message: message, Fields: fields, Err: err}
}

func readPayload(s *settings, r *http.Request) *payload {
	p := parsePayload(s, r)
	p.binder = &s.binder
	p.checkPage(s, r)
	return p
}

func parsePayload(s *settings, r *http.Request) *payload {
	kind, params, err := mediaType(r)
	if err != nil {
		return &payload{err: err}
	}
	if form, ok, err := parsedForm(s, r, kind); ok || err != nil {
		return &payload{form: form, err: err}
	}
	data, err := readBody(s, r)
	if err != nil {
		return &payload{err: err}
	}
	r.Body = reopen(data)
	if len(data) == 0 {
		if kind == kindMultipart || r.ContentLength > 0 {
			return &payload{err: malformed("the body cannot be parsed", errors.New("web: it was read before Payload or Bind"))}
		}
		return &payload{}
	}
	if int64(len(data)) < r.ContentLength {
		return &payload{err: malformed("the body cannot be parsed", errors.New("web: a part of it was read before Payload or Bind"))}
	}
	switch kind {
	case kindJSON:
		return &payload{json: data}
	case kindForm:
		form, err := bind.ParseForm(data)
		if errors.As(err, new(*bind.Error)) {
			return &payload{err: bindError(err)}
		}
		if err != nil {
			return &payload{err: malformed("the form cannot be parsed", err)}
		}
		return &payload{form: form}
	case kindMultipart:
		return readMultipart(s, data, params["boundary"])
	default:
		return &payload{err: malformed("this content type is not taken here: send JSON or a form", nil)}
	}
}

func readMultipart(s *settings, data []byte, boundary string) *payload {
	// No part is longer than the body, so nothing goes to a file.
	form, err := multipart.NewReader(bytes.NewReader(data), boundary).ReadForm(s.maxBody)
	if err != nil {
		return &payload{err: malformed("the form cannot be parsed", err)}
	}
	return multipartPayload(form)
}

func multipartPayload(form *multipart.Form) *payload {
	if len(form.File) > 0 {
		return &payload{err: malformed("files are not taken here", nil)}
	}
	return &payload{form: form.Value}
}

// A kind is a format of a body.
type kind uint8

const (
	kindOther kind = iota // also if there is no content type
	kindJSON
	kindForm
	kindMultipart
)

// mediaType returns the kind of the body of r and the parameters of its
// content type.
func mediaType(r *http.Request) (kind, map[string]string, error) {
	header := r.Header.Get("Content-Type")
	switch header {
	case "":
		return kindOther, nil, nil
	case "application/json":
		return kindJSON, nil, nil
	case "application/x-www-form-urlencoded":
		return kindForm, nil, nil
	}
	name, params, err := mime.ParseMediaType(header)
	if err != nil {
		return kindOther, nil, malformed("the content type cannot be parsed", err)
	}
	switch {
	case name == "application/json" || strings.HasSuffix(name, "+json"):
		return kindJSON, params, nil
	case name == "application/x-www-form-urlencoded":
		return kindForm, params, nil
	case name == "multipart/form-data" && params["boundary"] != "":
		return kindMultipart, params, nil
	}
	return kindOther, nil, nil
}

// parsedForm returns the form that other code has already parsed from the body
// of r, so that there is nothing left to read. ok is false if nobody has parsed
// it, or if the body can still be read.
func parsedForm(s *settings, r *http.Request, k kind) (form url.Values, ok bool, err error) {
	if _, whole := r.Body.(*bodyReader); whole {
		return nil, false, nil
	}
	switch {
	case k == kindForm && r.PostForm != nil && formMethod(r.Method):
		if len(r.PostForm) == 0 && r.ContentLength > 0 {
			return nil, false, malformed("the form cannot be parsed", nil)
		}
		form = r.PostForm
	case k == kindMultipart && r.MultipartForm != nil:
		if p := multipartPayload(r.MultipartForm); p.err == nil {
			form = p.form
		} else {
			err = p.err
		}
	default:
		return nil, false, nil
	}
	if r.ContentLength > s.maxBody || parsedLength(r) > s.maxBody {
		err = tooLong(s.maxBody, nil)
	}
	return form, err == nil, err
}

// formMethod reports whether net/http parses the body of requests with this
// method.
func formMethod(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// A bodyReader reads a body that has been read completely, and keeps it, so
// that it need not be read from the client again.
type bodyReader struct {
	bytes.Reader
	data []byte
}

// Close does nothing: the server closes what the body was read from.
func (*bodyReader) Close() error { return nil }

// reopen returns a reader that reads a body from its beginning.
func reopen(data []byte) io.ReadCloser {
	if len(data) == 0 {
		return http.NoBody
	}
	b := &bodyReader{data: data}
	b.Reset(data)
	return b
}

// grow is how many bytes are allocated for a body only because the client
// announced them.
const grow = 16 << 10

// readBody returns the whole body of r. Nobody may have read any of it. It does
// not replace r.Body.
func readBody(s *settings, r *http.Request) ([]byte, error) {
	if b, ok := r.Body.(*bodyReader); ok {
		return b.data, nil
	}
	// What others have parsed of it can no longer be read, but counts.
	if parsedLength(r) > s.maxBody {
		return nil, tooLong(s.maxBody, nil)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > s.maxBody {
		return nil, tooLong(s.maxBody, nil)
	}
	// One byte more than announced, so that the last read finds the end.
	data := make([]byte, 0, max(bytes.MinRead, min(r.ContentLength, grow)+1))
	for {
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > s.maxBody {
			return nil, tooLong(s.maxBody, nil)
		}
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
				return nil, tooLong(long.Limit, err)
			}
			return nil, malformed("the body breaks off", err)
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

func tooLong(limit int64, cause error) error {
	return &stay.Error{
		Code:    stay.ErrTooLarge,
		Message: fmt.Sprintf("the body is longer than %d bytes", limit),
		Err:     cause,
	}
}

func malformed(message string, cause error) error {
	return &stay.Error{Code: stay.ErrMalformed, Message: message, Err: cause}
}
