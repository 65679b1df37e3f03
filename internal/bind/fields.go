package bind

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// reads reports whether values of t read themselves from JSON or text.
func reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// bindable returns the fields of the struct type t that clients may set.
func bindable(t reflect.Type) []jsonwalk.Field {
	return slices.DeleteFunc(jsonwalk.Dominant(jsonwalk.Fields(t)), func(f jsonwalk.Field) bool {
		return f.Has("private") || f.Has("key")
	})
}

// A step leads from a value into a part of it: the item at index of a list,
// else the member called name.
type step struct {
	name  string
	list  bool
	index int
}

// join writes a path as clients know it: address.city, items[2].price.
func join(path []step) string {
	var b strings.Builder
	for i, s := range path {
		switch {
		case s.list:
			fmt.Fprintf(&b, "[%d]", s.index)
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// fieldSets holds the bindable fields of the struct types that were met while
// one payload is bound.
type fieldSets map[reflect.Type]*fieldSet

type fieldSet struct {
	fields  []jsonwalk.Field
	index   map[string]int
	longest int
}

func (s fieldSets) of(t reflect.Type) *fieldSet {
	set, ok := s[t]
	if !ok {
		set = &fieldSet{fields: bindable(t), index: make(map[string]int)}
		for i, f := range set.fields {
			set.index[f.Name] = i
			set.longest = max(set.longest, len(f.Name))
		}
		s[t] = set
	}
	return set
}

// byName returns the field with the name, or nil.
func (s *fieldSet) byName(name string) *jsonwalk.Field {
	if len(name) > s.longest {
		return nil // without hashing what may be a megabyte
	}
	if i, ok := s.index[name]; ok {
		return &s.fields[i]
	}
	return nil
}
