// Package bind reads what clients send, JSON or forms, into Go values. It is
// strict: a name that the destination does not have is an error and not
// ignored, as it is a mistake of the client or an attempt to set what is not
// its business.
//
// Fields tagged stay:"private" or stay:"key" are never bound, at any depth: to
// a client they do not exist.
//
// The work is bounded by the length of the input, and no input panics.
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
	// Err is the cause if there is one, such as the error of a type's own
	// UnmarshalText.
	Err error
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

func invalid(field, format string, args ...any) *Error {
	const most = 100 // a name can be as long as the payload
	if len(field) > most {
		field = strings.ToValidUTF8(field[:most], "") + "..."
	}
	return &Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// unfit is the error for a value that its own type does not take.
func unfit(field string, err error) *Error {
	e := invalid(field, "does not fit: %v", err)
	e.Err = err
	return e
}

// Value binds a payload of any kind to dst, a pointer to a zero value.
//
// nil leaves dst as it is. A value of dst's type, or a pointer to one, comes
// from Go code and is deep-copied as it is, key and private fields included.
// A json.RawMessage or []byte is bound by [Binder.JSON], a url.Values by
// [Binder.Form], and anything else by JSON after it was written as JSON.
func (b *Binder) Value(src, dst any) error {
	v, err := target(dst)
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
	if plan := b.planOf(src.Type()); plan != nil {
		p := reflect.New(src.Type())
		p.Elem().Set(src)
		dst.Set(reflect.ValueOf(plan.Copy(p.Interface())).Elem())
		return nil
	}
	// What cannot be copied field by field may still survive as JSON.
	data, err := marshal(src.Interface())
	if err != nil {
		return err
	}
	return fill(data, dst)
}

func marshal(src any) (b []byte, err error) {
	defer recovered(&err)
	if b, err = json.Marshal(src); err != nil {
		return nil, &Error{Message: fmt.Sprintf("a %T cannot be a payload: %v", src, err), Err: err}
	}
	return b, nil
}

// target returns what dst points to. Anything but a pointer is a mistake of
// the program, not of the client.
func target(dst any) (reflect.Value, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, fmt.Errorf("bind: the destination is a %T and not a pointer to a value", dst)
	}
	return v.Elem(), nil
}

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
