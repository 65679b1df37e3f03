// Package clone makes deep copies of values by plans that are built once per
// type. It copies what a state can hold and refuses the rest when the plan is
// built, so that a copy never shares anything mutable with its source.
package clone

import (
	"fmt"
	"reflect"
)

// MaxDepth is how deeply values of a recursive type may be nested. It is the
// depth that encoding/json decodes; only a cyclic value or one that could not
// be stored anyway is deeper.
const MaxDepth = 10000

// A Plan copies values of one type. It never changes after New and may be used
// by several goroutines at once, as long as nobody changes the value that is
// being copied.
type Plan struct {
	typ, ptr reflect.Type // T and *T
	top      *node
}

// New returns the plan that copies values of type t.
//
// A type's own Clone method is used first: Clone() T, or Clone() *T with a
// pointer receiver. A type that marshals itself (to JSON or to text, both
// ways) and keeps references where only its own package reaches them is
// copied by marshalling it there and back. Everything else is copied field by
// field. Strings and times are shared: they cannot be changed.
//
// The error names the field, as in Cart.Items[].Done, and the mend. Refused
// are channels, functions, unsafe pointers, complex numbers, uintptr,
// interfaces other than any, the types of sync and sync/atomic, unexported
// fields that hold references, and structs that reach themselves through
// pointers alone.
func New(t reflect.Type) (*Plan, error) {
	if err := checkLinked(t); err != nil {
		return nil, err
	}
	b := builder{nodes: make(map[reflect.Type]*node)}
	top, err := b.build(t, TypeName(t))
	if err != nil {
		return nil, err
	}
	return &Plan{typ: t, ptr: reflect.PointerTo(t), top: top}, nil
}

// Copy takes a *T and returns a new *T that holds a deep copy. Nil maps,
// slices and pointers stay nil, empty ones stay empty and not nil; spare
// capacity is dropped. What an any holds is copied as it is if JSON has such a
// value (nil, bool, float64, string, json.Number, []any, map[string]any) and
// otherwise becomes its JSON form.
//
// Copy panics if src is no *T or is nil, if a type's own methods panic or
// fail, and if the value is cyclic or nested deeper than [MaxDepth].
func (p *Plan) Copy(src any) any {
	v := reflect.ValueOf(src)
	if !v.IsValid() || v.Type() != p.ptr || v.IsNil() {
		panic(fmt.Sprintf("clone: Copy of a %T where a *%s is needed", src, p.typ))
	}
	c := reflect.New(p.typ)
	c.Elem().Set(v.Elem())
	if !p.top.flat {
		p.top.unshare(c.Elem(), 0)
	}
	return c.Interface()
}

// Flat reports whether a plain assignment is a deep copy.
func (p *Plan) Flat() bool { return p.top.flat }

// RoundTrips reports whether the plan marshals some part of the value there
// and back or calls its own Clone method, so that Copy depends on code of the
// type that may fail.
func (p *Plan) RoundTrips() bool {
	seen := make(map[*node]bool)
	var visit func(n *node) bool
	visit = func(n *node) bool {
		if n == nil || seen[n] {
			return false
		}
		seen[n] = true
		if n.own || visit(n.key) || visit(n.elem) {
			return true
		}
		for _, f := range n.fields {
			if visit(f.node) {
				return true
			}
		}
		return false
	}
	return visit(p.top)
}

// TypeName returns the name that a path to a field of t begins with.
func TypeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return "struct"
}
