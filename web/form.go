package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bind"
)

// A Form is a form for a template: its values as they were typed, and what is
// wrong with them. [NewForm] makes a form to show for the first time,
// [ReadForm] reads one that was sent and may have to be shown again:
//
//	<input name="tins" value="{{.Value "tins"}}"> {{.Error "tins"}}
//	<input name="gift" type="checkbox" {{if .Checked "gift" "on"}}checked{{end}}>
//
// Names are written as for [Bind], as in address.city and items[0].name. A Form
// that was sent knows its items by their place in the list, not by the numbers
// that were sent. It has all values that were sent, passwords too: give an
// input of that type no value.
//
// The zero Form is that of NewForm with the zero value. A Form is a payload of
// State.Do. It is not for concurrent use.
type Form[T any] struct {
	// Data has the values that fit. If [Form.Error] has a message for a field,
	// its value may mean nothing.
	Data T

	sent   *payload // nil: it was not sent
	texts  url.Values
	json   any // in place of texts, if JSON was sent
	errors map[string]string
	binder *bind.Binder // nil: none was needed yet
}

// NewForm returns a form with the values of data, to be shown.
func NewForm[T any](data T) *Form[T] { return &Form[T]{Data: data} }

// ReadForm reads the body of r into a form, as [Bind] does, and returns the
// error of Bind. The form is never nil: pass the error to [Form.Again] to show
// it again.
//
// In an action, which has no request, declare a variable of type Form and pass
// its address to Call.Bind. It takes the payloads of this package: Go code passes
// the form that NewForm returns to State.Do, and not the value in it. Without a
// payload the form stays as it is.
func ReadForm[T any](r *http.Request) (*Form[T], error) {
	f := new(Form[T])
	return f, f.read(readPayload(settingsOf(r, unknownApp), r, true))
}

// formReader is implemented by all types of Form.
type formReader interface{ read(p *payload) error }

func (f *Form[T]) read(p *payload) error {
	*f = Form[T]{sent: p, binder: &p.settings.binder}
	err := p.bindAndValidate(&f.Data)
	if all := (*bind.Errors)(nil); errors.As(err, &all) {
		f.Data = *all.Partial.(*T)
	}
	f.note(err)
	switch {
	case p.json != nil && err != nil:
		_ = f.binder.JSON(p.json, &f.json, nil) // a body that is not JSON has no values
	case p.json == nil:
		f.texts = f.binder.Renumber(p.form, &f.Data)
		if f.texts == nil {
			f.texts = url.Values{}
		}
	}
	return err
}

// Bind makes a Form a payload. It reads what was sent into the value that dst
// points to, or copies Data if nothing was sent.
func (f *Form[T]) Bind(dst any) error {
	if f.sent != nil {
		return f.sent.Bind(dst)
	}
	if other, ok := dst.(*Form[T]); ok {
		*other = *f
		return nil
	}
	return (&payload{settings: unknownApp()}).error(f.fields().Value(f.Data, dst))
}

// fields returns what knows the fields of Data.
func (f *Form[T]) fields() *bind.Binder {
	if f.binder == nil {
		f.binder = new(bind.Binder)
	}
	return f.binder
}

// Value returns the value of an input as it was typed, or the value in Data if
// the form was not sent. It is "" without a value, and the first of several. A
// time is 2006-01-02T15:04 in UTC, and 2006-01-02 if that is midnight.
func (f *Form[T]) Value(name string) string {
	if values := f.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Values returns all values of a name.
func (f *Form[T]) Values(name string) []string {
	switch {
	case f.texts != nil:
		return f.texts[name]
	case f.json != nil:
		return bind.JSONTexts(f.json, name)
	}
	return f.fields().Texts(&f.Data, name)
}

// Checked reports whether a checkbox, radio button or option with a value is
// chosen. For a boolean field, on, yes, true and 1 are the same.
func (f *Form[T]) Checked(name, value string) bool {
	values := f.Values(name)
	if len(values) > 0 && f.fields().IsBool(&f.Data, name) {
		on, isBool := bind.Truth(values[len(values)-1])
		want, _ := bind.Truth(value)
		return isBool && on == want
	}
	return slices.Contains(values, value)
}

// Error returns the message about a field, "" without one. The name "" has the
// message that is about no field.
func (f *Form[T]) Error(name string) string { return f.errors[name] }

// Errors returns all messages by name.
func (f *Form[T]) Errors() map[string]string { return maps.Clone(f.errors) }

// Again returns an error that shows the form again with the messages of err. If
// a handler of this package returns it, or [Error] gets it, show writes the
// answer, which has the status 422. Like every error it undoes a change, so it
// may be returned by a function of [Update] and by an action.
//
//	form, err := web.ReadForm[Order](r)
//	if err != nil {
//		return form.Again(err, func(w http.ResponseWriter) error { return page.Execute(w, form) })
//	}
//
// If err is not stay.ErrInvalid, the visitor cannot fix it in the form, and
// Again returns it as it is. show runs when nothing holds the state any more.
// What it writes is HTML unless it says otherwise, and buffered, up to
// Options.MaxResponse. It may set another status. If the client's Accept asks
// for JSON and not for HTML, show does not run, and the client gets what [Error]
// writes.
func (f *Form[T]) Again(err error, show func(w http.ResponseWriter) error) error {
	if stay.CodeOf(err) != stay.ErrInvalid {
		return err
	}
	f.note(err)
	return &shownAgain{err, show}
}

// note adds the messages of err.
func (f *Form[T]) note(err error) {
	if err == nil {
		return
	}
	if f.errors == nil {
		f.errors = make(map[string]string)
	}
	maps.Copy(f.errors, stay.FieldErrors(err))
	if stay.CodeOf(err) != stay.ErrInvalid {
		return
	}
	if whole := shownOfWhole(err); whole != "" {
		f.errors[""] = whole
	}
}

// A shownAgain is an error together with its form.
type shownAgain struct {
	err  error
	show func(w http.ResponseWriter) error
}

// Error implements error.
func (a *shownAgain) Error() string { return a.err.Error() }

// Unwrap returns the error of the form.
func (a *shownAgain) Unwrap() error { return a.err }

// showAgain answers with the page of a form. If that fails, the answer is an
// error that has no form.
func (s *settings) showAgain(w http.ResponseWriter, r *http.Request, status int, again *shownAgain) {
	rec := newRecorder(w, s)
	defer rec.drop()
	rec.implicit = status
	err := again.show(&rec)
	if long := rec.err(); long != nil {
		err = long
	}
	if err != nil {
		rec.drop()
		fail(s, w, r, 0, &stay.Error{Code: stay.ErrInternal, Err: errors.New("web: the function of Form.Again failed: " + err.Error())})
		return
	}
	if h := rec.Header(); h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/html; charset=utf-8")
	}
	rec.send()
}
