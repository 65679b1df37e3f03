// Package bind reads what clients send, JSON or forms, into Go values. It is
// strict: a name that the destination does not have is an error and not
// ignored, as it is a mistake of the client or an attempt to set what is not
// its business.
//
// Fields tagged stay:"private" or stay:"key" are never bound, at any depth: to
// a client they do not exist. What a program has filled in there stays, and what
// would lose it is an error: a list, a map or a pointer with such fields cannot
// be replaced. Nor can the tags be lost by a type that reads itself: it is
// refused.
//
// A payload is bound whole or not at all. What the destination led to before is
// never written to, as others may hold it too: it is copied where it changes.
//
// The work and the memory are bounded by the length of the input, and no input
// panics.
package bind

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// An Error says why a payload was not bound. Its text may be shown to the
// client that sent the payload.
type Error struct {
	// Field is the name of the field as the client wrote it, as in
	// address.city or items[2].price; empty if no single field is to blame.
	Field string
	// Message says what is wrong with it.
	Message string
	// Malformed: the payload could not be parsed at all. Otherwise it could,
	// but does not fit.
	Malformed bool
	// TooLarge: what the payload stands for is larger than it may be.
	TooLarge bool
	// Err is the cause if there is one, such as the error of a type's own
	// UnmarshalText.
	Err error

	path []any // of names and indexes, the innermost first; see within
}

// Error returns the message, after the name of the field.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain says what is told of a payload that was not bound: by a code in the
// words of package stay, a message for the client, and messages by field. What
// is no fault of the payload is "internal", of which clients are told nothing.
func Explain(err error) (code, message string, fields map[string]string) {
	var e *Error
	if !errors.As(err, &e) {
		return "internal", "", nil
	}
	if e.Field != "" {
		fields = map[string]string{e.Field: e.Message}
	}
	if e.TooLarge {
		return "too_large", e.Error(), fields
	}
	return "malformed", e.Error(), fields
}

// Validate calls the Validate method of what dst points to, if it has one.
func Validate(dst any) error {
	if v, ok := dst.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Field: shorten(field), Message: fmt.Sprintf(format, args...)}
}

// maxField is how much of a name is shown, which can be as long as the payload.
const maxField = 100

func shorten(field string) string {
	if len(field) <= maxField {
		return field
	}
	return strings.ToValidUTF8(field[:maxField], "") + "..."
}

// unfit is the error for a value that its own type does not take.
func unfit(field string, err error) *Error {
	e := invalid(field, "does not fit: %v", err)
	e.Err = err
	return e
}

// Value binds a payload of any kind to dst, a pointer to a value. What the
// payload does not name stays as it is.
//
// nil leaves dst as it is. A value of dst's type, or a pointer to one, comes
// from Go code and is deep-copied as it is, key and private fields included.
// A json.RawMessage or []byte is bound by [Binder.JSON], a url.Values by
// [Binder.Form], and anything else by JSON after it was written as JSON.
//
// An error that is no [*Error] is a mistake of the program: dst is no pointer,
// cannot hold what is bound, or has a type of which a part has tags and reads
// itself.
func (b *Binder) Value(src, dst any) error {
	v, _, err := b.target(dst)
	if err != nil {
		return err
	}
	if src == nil {
		return nil
	}
	if s := reflect.ValueOf(src); s.Type() == v.Type() {
		return b.assign(s, v)
	} else if s.Type() == reflect.PointerTo(v.Type()) {
		if s.IsNil() {
			return nil
		}
		return b.assign(s.Elem(), v)
	}
	switch src := src.(type) {
	case json.RawMessage:
		return b.JSON(src, dst)
	case []byte:
		return b.JSON(src, dst)
	case url.Values:
		return b.Form(src, dst)
	}
	data, err := marshal(src)
	if err != nil {
		return err
	}
	return b.JSON(data, dst)
}

// assign sets dst to a deep copy of src, which has the same type.
func (b *Binder) assign(src, dst reflect.Value) (err error) {
	defer recovered(&err)
	p := reflect.New(src.Type())
	if plan := b.planOf(src.Type()); plan != nil {
		p.Elem().Set(src)
		dst.Set(reflect.ValueOf(plan.Copy(p.Interface())).Elem())
		return nil
	}
	// What cannot be copied field by field may still survive as JSON.
	data, err := marshal(src.Interface())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, p.Interface()); err != nil {
		return unfit("", err)
	}
	dst.Set(p.Elem())
	return nil
}

func marshal(src any) (b []byte, err error) {
	defer recovered(&err)
	if b, err = json.Marshal(src); err != nil {
		return nil, &Error{Message: fmt.Sprintf("a %T cannot be a payload: %v", src, err), Err: err}
	}
	return b, nil
}

// target returns what dst points to, be it through several pointers. Anything
// that cannot be bound to is a mistake of the program, not of the client.
func (b *Binder) target(dst any) (reflect.Value, *destination, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, nil, fmt.Errorf("bind: the destination is a %T and not a pointer to a value", dst)
	}
	v = v.Elem()
	for range maxPointers {
		held := v
		if v.Kind() == reflect.Interface {
			held = v.Elem()
		}
		if held.Kind() != reflect.Pointer || held.IsNil() {
			d := b.destination(v.Type())
			return v, d, d.mistake
		}
		v = held.Elem()
	}
	return v, nil, fmt.Errorf("bind: the destination is a %T that leads to no value", dst)
}

// maxPointers is how many pointers may lead to a destination; more are a circle.
const maxPointers = 100

// recovered turns a panic of a type's own methods into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		cause, ok := p.(error)
		if !ok {
			cause = fmt.Errorf("%v", p)
		}
		*err = &Error{Message: "cannot be read", Err: errors.Join(errPanic, cause)}
	}
}

// errPanic is in the chain of an error that was a panic.
var errPanic = errors.New("bind: panic in a type's own method")
