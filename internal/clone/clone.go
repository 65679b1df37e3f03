// Package clone makes deep copies of values by plans that are built once per
// type. It copies everything that a state can hold. It refuses the rest when
// the plan is built, so that a copy never shares anything mutable with its
// source. It also makes copies for long-term keeping, which share no memory at
// all with the source.
package clone

import (
	"fmt"
	"reflect"

	"github.com/stay-go/stay/internal/footprint"
)

// MaxDepth is how deeply values of a recursive type may be nested. It is the
// depth that encoding/json decodes; only a cyclic value, or one that could not
// be stored anyway, is deeper.
const MaxDepth = 10000

// A Plan copies values of one type. It never changes after New and may be used
// by several goroutines at once, as long as nobody changes the value that is
// being copied.
type Plan struct {
	typ, ptr reflect.Type      // T and *T
	top      *node             // for Copy
	owning   *node             // for Own and Keep
	opaque   bool              // Own and Keep do not see all memory
	assign   func(src any) any // makes a shallow copy
}

// New returns the plan that copies values of type t.
//
// A type's own Clone method is used first: Clone() T, or Clone() *T with a
// pointer receiver. If a type marshals itself (to JSON or to text, both ways)
// and keeps references that only its own package reaches, it is copied by
// marshalling and unmarshalling. Everything else is copied field by field.
// Strings and times are shared: they cannot be changed.
//
// The error names the field, as in Cart.Items[].Done, and the fix. New refuses
// channels, functions, unsafe pointers, complex numbers, uintptr, interfaces
// other than any, the types of sync and sync/atomic, unexported fields that
// hold references, and structs that reach themselves through pointers alone.
func New(t reflect.Type) (*Plan, error) {
	if err := checkLinked(t); err != nil {
		return nil, err
	}
	p := &Plan{typ: t, ptr: reflect.PointerTo(t)}
	p.assign = p.reflected
	var err error
	b := builder{nodes: make(map[reflect.Type]*node)}
	if p.top, err = b.build(t, TypeName(t)); err != nil {
		return nil, err
	}
	b = builder{nodes: make(map[reflect.Type]*node), owning: true}
	if p.owning, err = b.build(t, TypeName(t)); err != nil {
		return nil, err
	}
	p.opaque = b.opaque
	return p, nil
}

// Copy takes a *T and returns a new *T that holds a deep copy. Nil maps, slices
// and pointers stay nil; empty ones stay empty and do not become nil; spare
// capacity is dropped. A value in an any is copied as it is if JSON has such a
// value (nil, bool, float64, string, json.Number, []any, map[string]any).
// Otherwise it becomes its JSON form.
//
// Copy panics if src is no *T or is nil, if a type's own methods panic or
// fail, and if the value is cyclic or nested deeper than [MaxDepth].
func (p *Plan) Copy(src any) any {
	c, _ := p.copy(p.top, src, reflect.Value{}, place{})
	return c
}

// Own is Copy for a value that will be kept: its strings are new too, including
// those of map keys. A string may be a small part of a large text, such as a
// request's body, and would keep all of it in memory.
//
// from is a *T or nil. It already owns its strings. If a string of src is the
// very same one that from has at the same place, in structs, lists and through
// pointers, it is kept, so what did not change costs nothing. Places in a map
// or an any are not compared.
//
// A type's own Clone is used only for what cannot be copied field by field,
// because it may share strings. Its result is taken as it is, and so are the
// strings of unexported fields, which only their own package can set.
//
// bytes is the memory that the copy takes, as far as Own sees it: see
// [Plan.Opaque].
func (p *Plan) Own(src, from any) (c any, bytes int) {
	var f reflect.Value
	if from != nil {
		f = p.pointee(from)
	}
	return p.copy(p.owning, src, f, place{own: true})
}

// Keep is Own for a value that already owns its strings, such as one that was
// just read: the strings are shared. It returns src itself if a copy would not
// differ.
func (p *Plan) Keep(src any) (c any, bytes int) {
	if p.owning.flat {
		return src, footprint.Bytes(p.owning.size)
	}
	return p.copy(p.owning, src, reflect.Value{}, place{})
}

// Opaque reports whether values may take more memory than Own and Keep see,
// because the types' own methods handle it, or because it is in strings of
// unexported fields.
func (p *Plan) Opaque() bool { return p.opaque }

func (p *Plan) copy(top *node, src any, from reflect.Value, at place) (c any, bytes int) {
	c = p.assign(src)
	bytes = footprint.Bytes(top.size)
	if !top.flat {
		bytes += top.unshare(reflect.ValueOf(c).Elem(), from, at)
	}
	return c, bytes
}

// Assign sets the function with which the plan begins its copies. fn takes a *T
// and returns a new *T to which the value was assigned. Code that knows T at
// compile time does that in half the time. Assign must be called before the
// plan is used.
func (p *Plan) Assign(fn func(src any) any) { p.assign = fn }

func (p *Plan) reflected(src any) any {
	c := reflect.New(p.typ)
	c.Elem().Set(p.pointee(src))
	return c.Interface()
}

// pointee returns the T that a *T points to.
func (p *Plan) pointee(x any) reflect.Value {
	v := reflect.ValueOf(x)
	if !v.IsValid() || v.Type() != p.ptr || v.IsNil() {
		panic(fmt.Sprintf("clone: a %T where a *%s is needed", x, p.typ))
	}
	return v.Elem()
}

// Flat reports whether a plain assignment does what Copy does.
func (p *Plan) Flat() bool { return p.top.flat }

// RoundTrips reports whether the plan marshals and unmarshals some part of the
// value or calls its own Clone method, so that Copy depends on code of the type
// that may fail.
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

// TypeName returns the name with which a path to a field of t begins.
func TypeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return "struct"
}
