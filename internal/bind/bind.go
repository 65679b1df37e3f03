// Package bind reads what clients send, JSON or forms, into Go values. A name
// that the destination does not have is an error unless the caller leaves it
// out. All values that do not fit are reported together.
//
// Fields tagged stay:"private" or stay:"key" are never bound, at any depth: for
// a client they do not exist. What a program has filled in there stays, and a
// payload that would lose it is an error: a list, a map or a pointer with such
// fields cannot be replaced. A type that decodes itself would ignore the tags,
// so it is refused.
//
// A payload is bound as a whole or not at all. Memory that the destination
// pointed to before is never written to, because others may hold it too: it is
// copied before it changes.
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
)

// Value binds a payload of any kind to dst, a pointer to a value. What the
// payload does not name stays as it is.
//
// nil leaves dst as it is. A value of dst's type, or a pointer to one, comes
// from Go code: it is deep-copied, key and private fields included. A
// json.RawMessage or []byte is bound by [Binder.JSON], a url.Values by
// [Binder.Form], and anything else is encoded as JSON and then bound. No
// unknown name is left out.
//
// An error that is neither an [*Error] nor [*Errors] is a mistake of the
// program: dst is not a pointer, cannot hold what is bound, or has a type with
// a part that has tags and decodes itself.
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
		return b.JSON(src, dst, nil)
	case []byte:
		return b.JSON(src, dst, nil)
	case url.Values:
		return b.Form(src, dst, nil)
	}
	data, err := marshal(src)
	if err != nil {
		return err
	}
	return b.JSON(data, dst, nil)
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
	// A value that cannot be copied field by field may still survive as JSON.
	data, err := marshal(src.Interface())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, p.Interface()); err != nil {
		return unfit(err)
	}
	dst.Set(p.Elem())
	return nil
}

func marshal(src any) (b []byte, err error) {
	defer recovered(&err)
	if b, err = json.Marshal(src); err != nil {
		return nil, &Error{Key: "payload", Message: fmt.Sprintf("a %T cannot be a payload: %v", src, err), Err: err}
	}
	return b, nil
}

// target returns the value that dst points to, also through several pointers. A
// dst that cannot be bound to is a mistake of the program, not of the client.
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

// maxPointers is how many pointers may lead to a destination; more form a
// circle.
const maxPointers = 100

// recovered turns a panic of a type's own methods into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		cause, ok := p.(error)
		if !ok {
			cause = fmt.Errorf("%v", p)
		}
		e := fault("unreadable")
		e.Err = errors.Join(errPanic, cause)
		*err = e
	}
}

// errPanic is in the chain of an error that was a panic.
var errPanic = errors.New("bind: panic in a type's own method")
