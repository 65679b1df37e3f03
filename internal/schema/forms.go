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

// A pass says what is done with values that are not in their normal form.
type pass uint8

const (
	// findOdd looks for times of which encoding/json would make others.
	findOdd pass = iota
	// find looks for all of them.
	find
	// mendHere mends what an assignment of the whole copies, and looks for the
	// rest: others may share it.
	mendHere
	// mendAll mends all of them.
	mendAll
)

// behind returns the pass for what a pointer, slice or map leads to.
func (p pass) behind() pass {
	if p == mendHere {
		return find
	}
	return p
}

// written returns v or, if encoding/json would write other times than those in
// v, a copy that it writes as they are.
func (s *Schema) written(v any) any {
	if s.formed && s.top.forms(reflect.ValueOf(v).Elem(), findOdd) {
		v = s.Clone(v)
		s.top.forms(reflect.ValueOf(v).Elem(), mendAll)
	}
	return v
}

// normal returns v in its normal form, or a copy of v if something that others
// may share is not.
func (s *Schema) normal(v any) any {
	if s.formed && s.top.forms(reflect.ValueOf(v).Elem(), mendHere) {
		v = s.Clone(v)
		s.top.forms(reflect.ValueOf(v).Elem(), mendAll)
	}
	return v
}

// forms goes through v and reports whether something was found and not mended.
// A pass that mends needs a v that can be set.
func (n *node) forms(v reflect.Value, p pass) (found bool) {
	if !n.formed {
		return false
	}
	switch n.shape {
	case object:
		for i := range n.fields {
			if f := &n.fields[i]; f.node.formed || f.signed {
				found = f.forms(v.FieldByIndex(f.Index), p) || found
			}
		}
	case pointer:
		return !v.IsNil() && n.elem.forms(v.Elem(), p.behind())
	case array:
		for i := range v.Len() {
			found = n.elem.forms(v.Index(i), p) || found
		}
	case slice:
		for i := range v.Len() {
			found = n.elem.forms(v.Index(i), p.behind()) || found
		}
	case mapping:
		return n.formsInMap(v, p.behind())
	default:
		return timeForm(v, p)
	}
	return found
}

func (n *node) formsInMap(v reflect.Value, p pass) (found bool) {
	if p != mendAll {
		for it := v.MapRange(); it.Next(); {
			found = n.timeKeys && timeForm(it.Key(), p) || n.elem.forms(it.Value(), p) || found
		}
		return found
	}
	if v.IsNil() {
		return false
	}
	mended := reflect.MakeMapWithSize(n.typ, v.Len())
	key, elem := reflect.New(n.typ.Key()).Elem(), reflect.New(n.elem.typ).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		elem.SetIterValue(it)
		n.elem.forms(elem, p)
		if n.timeKeys {
			timeForm(key, p)
			if mended.MapIndex(key).IsValid() {
				key.SetIterKey(it) // two keys of one instant: settling finds them
			}
		}
		mended.SetMapIndex(key, elem)
	}
	v.Set(mended)
	return false
}

func (f *field) forms(v reflect.Value, p pass) (found bool) {
	var omitted bool // with another form than the zero value's
	switch {
	case f.signed:
		omitted = v.Float() == 0 && math.Signbit(v.Float())
	case f.OmitZero && f.Type == timeType:
		omitted = asTime(v).IsZero()
	}
	switch {
	case !omitted:
		return f.node.forms(v, p)
	case p == findOdd:
		return false
	case p == find:
		return f.signed || asTime(v) != time.Time{}
	}
	v.SetZero()
	return false
}

func timeForm(v reflect.Value, p pass) (found bool) {
	t := asTime(v)
	if p == findOdd {
		return normal.Odd(t)
	}
	n := normal.Time(t)
	switch {
	case n == t:
		return false
	case p == find:
		return true
	}
	*v.Addr().Interface().(*time.Time) = n
	return false
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
