package bind

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay/internal/clone"
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

// A Binder binds payloads. It remembers what it has found out about the types
// that it was given, of which a program has few. The zero value is ready, and
// its methods may be called concurrently.
type Binder struct {
	sets  sync.Map // of struct types: *fieldSet
	plans sync.Map // of types: *clone.Plan, nil if they cannot be copied
}

// A fieldSet is the fields of a struct type that clients may set.
type fieldSet struct {
	fields  []jsonwalk.Field
	index   map[string]int
	longest int
}

func (b *Binder) fieldsOf(t reflect.Type) *fieldSet {
	if set, ok := b.sets.Load(t); ok {
		return set.(*fieldSet)
	}
	set := &fieldSet{fields: bindable(t), index: make(map[string]int)}
	for i, f := range set.fields {
		set.index[f.Name] = i
		set.longest = max(set.longest, len(f.Name))
	}
	b.sets.Store(t, set)
	return set
}

// planOf returns the plan that copies values of t, nil if there is none.
func (b *Binder) planOf(t reflect.Type) *clone.Plan {
	if plan, ok := b.plans.Load(t); ok {
		return plan.(*clone.Plan)
	}
	plan, err := clone.New(t)
	if err != nil {
		plan = nil
	}
	b.plans.Store(t, plan)
	return plan
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
