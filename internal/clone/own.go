package clone

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// MarshalsItself reports whether t encodes and decodes itself, as JSON or as
// text. Methods with pointer receivers count.
func MarshalsItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) && p.Implements(jsonUnmarshaler) ||
		p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

// roundTrip returns the function that copies a value of t by marshalling and
// unmarshalling it. It does not see the memory that the copy takes.
func roundTrip(t reflect.Type) func(v, from reflect.Value, at place) int {
	p := reflect.PointerTo(t)
	asJSON := p.Implements(jsonMarshaler) && p.Implements(jsonUnmarshaler)
	return func(v, _ reflect.Value, _ place) int {
		c := reflect.New(t)
		if err := writeAndRead(c.Interface(), v.Addr().Interface(), asJSON); err != nil {
			panic(fmt.Errorf("clone: a %s cannot be copied by marshalling and unmarshalling it: %w", t, err))
		}
		v.Set(c.Elem())
		return 0
	}
}

func writeAndRead(dst, src any, asJSON bool) error {
	if asJSON {
		b, err := src.(json.Marshaler).MarshalJSON()
		if err != nil {
			return err
		}
		return dst.(json.Unmarshaler).UnmarshalJSON(b)
	}
	b, err := src.(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return err
	}
	return dst.(encoding.TextUnmarshaler).UnmarshalText(b)
}

// ownClone returns the function that copies a value of t with its own Clone
// method, or nil if it has none that returns a t or a *t. It does not see the
// memory that the copy takes.
func ownClone(t reflect.Type) func(v, from reflect.Value, at place) int {
	if t.Kind() == reflect.Interface {
		return nil
	}
	p := reflect.PointerTo(t)
	m, ok := p.MethodByName("Clone")
	if !ok || m.Type.NumIn() != 1 || m.Type.NumOut() != 1 {
		return nil
	}
	call := func(v reflect.Value) reflect.Value { return v.Addr().Method(m.Index).Call(nil)[0] }
	switch m.Type.Out(0) {
	case t:
		return func(v, _ reflect.Value, _ place) int { v.Set(call(v)); return 0 }
	case p:
		return func(v, _ reflect.Value, _ place) int { v.Set(call(v).Elem()); return 0 }
	}
	return nil
}
