package schema

import (
	"encoding"
	"encoding/json"
	"reflect"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	isZeroer        = reflect.TypeFor[interface{ IsZero() bool }]()
)

// methods says which of the methods that encoding/json looks for a type has,
// with value or pointer receivers.
type methods struct {
	marshalJSON, unmarshalJSON, marshalText, unmarshalText bool
}

func methodsOf(t reflect.Type) methods {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return methods{}
	}
	p := reflect.PointerTo(t)
	return methods{
		marshalJSON:   p.Implements(jsonMarshaler),
		unmarshalJSON: p.Implements(jsonUnmarshaler),
		marshalText:   p.Implements(textMarshaler),
		unmarshalText: p.Implements(textUnmarshaler),
	}
}

func (m methods) writes() bool { return m.marshalJSON || m.marshalText }
func (m methods) reads() bool  { return m.unmarshalJSON || m.unmarshalText }

// ownMethods handles a type that encodes or decodes itself. Such a type is a
// leaf: nothing inside it is merged, tagged or kept when unknown.
func (a *analysis) ownMethods(n *node, t reflect.Type, path string) (opaque bool, err error) {
	m := methodsOf(t)
	switch {
	case !m.writes() && !m.reads():
		return false, nil
	case !m.reads():
		return true, refuse(path, "is of type %s, which has MarshalJSON or MarshalText but no method that reads it back: give it UnmarshalJSON or UnmarshalText", t)
	case !m.writes() && t.Kind() != reflect.String:
		// A string that only checks itself when it is read is common and
		// harmless. Any other such type would have to guess what it wrote.
		return true, refuse(path, "is of type %s, which has UnmarshalJSON or UnmarshalText but no method that writes it: give it MarshalJSON or MarshalText", t)
	}
	if t.Kind() == reflect.Struct {
		if err := checkOpaque(t, path); err != nil {
			return true, err
		}
	}
	n.times = timesIn(t)
	n.readsNull = m.unmarshalJSON && t != rawType
	a.inexact = a.inexact || t != timeType
	return true, nil
}

// checkOpaque refuses what a struct that marshals itself would silently lose:
// tags, and its other fields if it has the methods from an embedded one.
func checkOpaque(t reflect.Type, path string) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Tag.Get("stay") != "" {
			return refuse(path+"."+sf.Name, "has a stay tag without effect, because %s marshals itself: tag the field that holds the %s", t, t.Name())
		}
		if !sf.Anonymous || t.NumField() == 1 {
			continue
		}
		e := sf.Type
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		if m := methodsOf(e); m.writes() || m.reads() {
			return refuse(path+"."+sf.Name, "is embedded, so JSON writes and reads all of %s with the methods of %s: name the field", t, e)
		}
	}
	return nil
}

// checkKey refuses map keys that JSON cannot write as names or read back.
func (a *analysis) checkKey(t reflect.Type, path string) error {
	writes := t.Implements(textMarshaler)
	reads := reflect.PointerTo(t).Implements(textUnmarshaler)
	a.inexact = a.inexact || writes || reads
	switch t.Kind() {
	case reflect.String:
		// encoding/json writes a string key as it is, and ignores its methods.
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if writes == reads {
			return nil
		}
	case reflect.Pointer, reflect.Interface:
	default:
		if writes && reads {
			return nil
		}
	}
	return refuse(path, "is a map with keys of type %s, which JSON cannot read back: use strings, integers or a type with MarshalText and UnmarshalText (MarshalText without a pointer receiver)", t)
}

// checkInMap refuses types whose MarshalJSON or MarshalText encoding/json would
// not find, because it has a pointer receiver and the elements of a map have no
// address.
func checkInMap(t reflect.Type, path string) error {
	if m := methodsOf(t); m.writes() {
		found := t.Implements(textMarshaler)
		if m.marshalJSON {
			found = t.Implements(jsonMarshaler)
		}
		if !found {
			return refuse(path, "is of type %s, whose marshal method has a pointer receiver, so JSON does not call it for values in a map: keep pointers in the map", t)
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Array:
		return checkInMap(t.Elem(), path+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			if sf := t.Field(i); sf.IsExported() || sf.Anonymous {
				if err := checkInMap(sf.Type, path+"."+sf.Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
