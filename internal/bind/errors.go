package bind

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// An Error says why a payload was not bound. Its text may be shown to the
// client that sent the payload.
type Error struct {
	// Field is the name of the field as the client wrote it, as in address.city
	// or items[2].price; empty if the error is not about a single field.
	Field string
	// Key and Args say what is wrong in a form that can be translated; see
	// [Text].
	Key  string
	Args []any
	// Message says the same in English.
	Message string
	// Malformed: the payload could not be parsed at all. If false, it could be
	// parsed but does not fit.
	Malformed bool
	// TooLarge: the decoded payload would take more memory than it may.
	TooLarge bool
	// Misfit: the value of a field does not fit its type, which the person who
	// fills in a form can fix. Other errors are mistakes of a client program.
	Misfit bool
	// Err is the cause if there is one, such as the error of a type's own
	// UnmarshalText.
	Err error

	path []any // names and indexes, the innermost first; see within
}

// Error returns the message, after the name of the field.
func (e *Error) Error() string { return about(e.Field, e.Message) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func about(field, message string) string {
	if field == "" {
		return message
	}
	return field + ": " + message
}

// Errors has all fields of one payload whose values do not fit. Nothing of the
// payload was bound.
type Errors struct {
	List []*Error
	// Partial points to the destination's value with all values that fit. A
	// field whose value does not fit has its zero value.
	Partial any
}

// maxErrors is how many fields are reported.
const maxErrors = 100

// Error returns the messages of all fields.
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, one := range e.List {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "; ")
}

// Unwrap returns the error of each field.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.List))
	for i, one := range e.List {
		all[i] = one
	}
	return all
}

// Explain returns the answer for clients about a payload that was not bound: a
// code of package stay, a message, and messages by field. words returns the
// message of one error. An error that is not the payload's fault has the code
// "internal", and no message.
func Explain(err error, words func(*Error) string) (code, message string, fields map[string]string) {
	var all *Errors
	if errors.As(err, &all) {
		fields = make(map[string]string, len(all.List))
		lines := make([]string, len(all.List))
		for i, e := range all.List {
			fields[e.Field] = words(e)
			lines[i] = about(e.Field, fields[e.Field])
		}
		return "invalid", strings.Join(lines, "; "), fields
	}
	var e *Error
	if !errors.As(err, &e) {
		return "internal", "", nil
	}
	message = words(e)
	if e.Field != "" {
		fields = map[string]string{e.Field: message}
	}
	if e.TooLarge {
		return "too_large", about(e.Field, message), fields
	}
	return "malformed", about(e.Field, message), fields
}

// Validate calls the Validate method of the value that dst points to, if it has
// one.
func Validate(dst any) error {
	if v, ok := dst.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// ValidateRest calls the Validate method of what could be bound, if err is
// about values that do not fit, and adds its messages about other fields to the
// message and the fields. Its message about the whole is left out: a missing
// value may be the reason. fieldErrors returns the messages by field of the
// error of Validate.
func ValidateRest(err error, message string, fields map[string]string, fieldErrors func(error) map[string]string) (string, map[string]string) {
	var all *Errors
	if !errors.As(err, &all) {
		return message, fields
	}
	more := fieldErrors(Validate(all.Partial))
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if _, ok := fields[name]; !ok {
			fields[name] = more[name]
			message += "; " + about(name, more[name])
		}
	}
	return message, fields
}

// maxField is how much of a name is shown; a name can be as long as the
// payload.
const maxField = 100

func shorten(field string) string {
	if len(field) <= maxField {
		return field
	}
	return strings.ToValidUTF8(field[:maxField], "") + "..."
}

// fault is an error of a client program.
func fault(key string, args ...any) *Error {
	return &Error{Key: key, Args: args, Message: Text(key, args...)}
}

// misfit is the error for a value that does not fit.
func misfit(key string, args ...any) *Error {
	e := fault(key, args...)
	e.Misfit = true
	return e
}

// of names the field that the error is about.
func (e *Error) of(field string) *Error {
	e.Field = shorten(field)
	return e
}

// unfit is the error for a value that its type refuses. What the type says
// about it may be meant for programmers only.
func unfit(err error) *Error {
	e := misfit("refused")
	e.Err = err
	return e
}

// A collection has the misfits of one payload.
type collection struct{ misfits []*Error }

// collect keeps a misfit, so that binding can go on. It returns every other
// error, and misfits beyond [maxErrors].
func (c *collection) collect(err error) error {
	e, ok := err.(*Error)
	if !ok || !e.Misfit || len(c.misfits) == maxErrors {
		return err
	}
	c.misfits = append(c.misfits, e)
	return nil
}

// result returns the error of a payload: the error that ended the binding,
// unless it is one misfit of many.
func (c *collection) result(end error, partial any) error {
	if e, ok := end.(*Error); ok && e.Misfit && len(c.misfits) == maxErrors {
		end = nil
	}
	if end != nil || len(c.misfits) == 0 {
		return located(end)
	}
	for _, e := range c.misfits {
		_ = located(e)
	}
	return &Errors{List: c.misfits, Partial: partial}
}
