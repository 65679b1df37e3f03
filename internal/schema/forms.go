package schema

import (
	"math"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// Times and negative zeros have several forms of which JSON keeps one. They are
// put into that form where they are, as types that hold them are common and
// reading what was written would cost much more than a copy.

// written returns v or, if encoding/json would write other times than those in
// v, a copy that it writes as they are.
func (s *Schema) written(v any) any { return s.normalized(v, true) }

// normal returns v or, if it is not in its normal form, a copy that is.
func (s *Schema) normal(v any) any { return s.normalized(v, false) }

func (s *Schema) normalized(v any, oddOnly bool) any {
	if !s.formed {
		return v
	}
	m, changed := s.top.normalized(reflect.ValueOf(v).Elem(), oddOnly)
	if !changed {
		return v
	}
	p := reflect.New(s.typ)
	p.Elem().Set(m)
	return p.Interface()
}

// normalized returns v in its normal form, with new copies of everything that
// leads to a part that changes: others may share the rest. With oddOnly it
// changes only times that encoding/json would change.
func (n *node) normalized(v reflect.Value, oddOnly bool) (normalized reflect.Value, changed bool) {
	if !n.formed {
		return v, false
	}
	switch n.shape {
	case object:
		return n.normalizedObject(v, oddOnly)
	case pointer:
		if v.IsNil() {
			return v, false
		}
		elem, changed := n.elem.normalized(v.Elem(), oddOnly)
		if changed {
			v = reflect.New(n.elem.typ)
			v.Elem().Set(elem)
		}
		return v, changed
	case slice, array:
		return n.normalizedList(v, oddOnly)
	case mapping:
		return n.normalizedMap(v, oddOnly)
	}
	t := asTime(v)
	if oddOnly && !normal.Odd(t) {
		return v, false
	}
	if m := normal.Time(t); m != t {
		return reflect.ValueOf(m), true
	}
	return v, false
}

func (n *node) normalizedObject(v reflect.Value, oddOnly bool) (normalized reflect.Value, changed bool) {
	for i := range n.fields {
		f := &n.fields[i]
		if !f.signed && !f.node.formed {
			continue
		}
		part, differs := f.normalized(v.FieldByIndex(f.Index), oddOnly)
		if !differs {
			continue
		}
		if !changed {
			normalized, changed = reflect.New(n.typ).Elem(), true
			normalized.Set(v)
			v = normalized
		}
		v.FieldByIndex(f.Index).Set(part)
	}
	return v, changed
}

// normalized is that of the field's node, but for values that the tag leaves out
// although they are not the zero value.
func (f *field) normalized(v reflect.Value, oddOnly bool) (normalized reflect.Value, changed bool) {
	omitted, zero := false, false
	switch {
	case f.signed:
		omitted = v.Float() == 0
		zero = omitted && !math.Signbit(v.Float())
	case f.OmitZero && f.Type == timeType:
		t := asTime(v)
		omitted, zero = t.IsZero(), t.Location() == time.UTC
	}
	switch {
	case !omitted:
		return f.node.normalized(v, oddOnly)
	case oddOnly || zero:
		return v, false
	}
	return reflect.Zero(f.Type), true
}

func (n *node) normalizedList(v reflect.Value, oddOnly bool) (normalized reflect.Value, changed bool) {
	for i := range v.Len() {
		elem, differs := n.elem.normalized(v.Index(i), oddOnly)
		if !differs {
			continue
		}
		if !changed {
			normalized, changed = copyOfList(v), true
			v = normalized
		}
		v.Index(i).Set(elem)
	}
	return v, changed
}

func copyOfList(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Array {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		return c
	}
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(c, v)
	return c
}

func (n *node) normalizedMap(v reflect.Value, oddOnly bool) (normalized reflect.Value, changed bool) {
	if v.Len() == 0 {
		return v, false
	}
	normalized = reflect.MakeMapWithSize(n.typ, v.Len())
	for it := v.MapRange(); it.Next(); {
		key := it.Key()
		if n.timeKeys {
			if t := normal.Time(asTime(key)); t != asTime(key) {
				// Two keys of one instant stay two: settling finds them.
				if k := reflect.ValueOf(t); !v.MapIndex(k).IsValid() && !normalized.MapIndex(k).IsValid() {
					key, changed = k, true
				}
			}
		}
		elem, differs := n.elem.normalized(it.Value(), oddOnly)
		changed = changed || differs
		normalized.SetMapIndex(key, elem)
	}
	if !changed {
		return v, false
	}
	return normalized, true
}

func asTime(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}

// isSigned reports whether the tag leaves out a negative zero.
func isSigned(f *jsonwalk.Field) bool {
	k := f.Type.Kind()
	return (f.OmitEmpty || f.OmitZero) && (k == reflect.Float32 || k == reflect.Float64) && !methodsOf(f.Type).writes()
}

// holdsFloats reports whether values of t are compared as a whole with zero
// although they may hold a negative one.
func holdsFloats(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64:
		return true
	case reflect.Array:
		return holdsFloats(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsFloats(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// findForms marks the nodes from which a value with several forms is reached,
// and reports whether n is one. Nodes form a graph, so it goes round until
// nothing changes.
func (n *node) findForms() bool {
	var all []*node
	seen := make(map[*node]bool)
	var list func(n *node)
	list = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		all = append(all, n)
		list(n.elem)
		for _, f := range n.fields {
			list(f.node)
		}
	}
	list(n)
	for changed := true; changed; {
		changed = false
		for _, m := range all {
			formed := m.typ == timeType || m.timeKeys || m.elem != nil && m.elem.formed
			for _, f := range m.fields {
				formed = formed || f.signed || f.node.formed
			}
			changed = changed || formed != m.formed
			m.formed = formed
		}
	}
	return n.formed
}
