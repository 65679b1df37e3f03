// Package schema knows everything about the struct that a module keeps: how
// its values are copied, written as JSON, laid over the initial value when
// they are read, reset, and shown to clients.
//
// What it accepts is what it can promise: a value that was accepted by an
// update reads the same after it was written and read again. Of refuses the
// types that break this, Settle the values, or it puts them into the form that
// JSON gives them.
package schema

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/stay-go/stay/internal/clone"
)

// A Schema describes one struct type S and its initial value. It never changes
// after Of, as far as can be seen, and may be used by several goroutines at once. Everywhere below v
// is a *S; anything else panics.
type Schema struct {
	typ     reflect.Type
	top     *node
	plan    *clone.Plan
	initial any
	bytes   int // that the initial value takes in memory

	// exact: a deep copy equals what JSON makes of a value, apart from
	// invalid UTF-8.
	exact bool
	// formed: there are values with several forms.
	formed bool
	// recursive: values may be nested without a bound.
	recursive bool
	// private: there is a private field.
	private bool

	writers sync.Pool // of *writer
}

// Of returns the schema of the struct that initial points to. It copies the
// initial value and never looks at it again.
//
// The error is meant for the programmer: it names the Go field, as in
// Cart.Items[].Done, and the mend.
func Of(initial any) (*Schema, error) {
	v := reflect.ValueOf(initial)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("a state of type %T is no struct: put what it holds into the field of a struct", pointee(initial))
	}
	t := v.Type().Elem()
	name := clone.TypeName(t)
	if m := methodsOf(t); m.writes() || m.reads() {
		return nil, refuse(name, "marshals itself, so that its fields cannot be merged or reset: remove the methods, name the embedded field they come from, or keep a %s in a field", name)
	}
	a := analysis{nodes: make(map[reflect.Type]*node), open: map[reflect.Type]bool{t: true}}
	top := &node{typ: t, shape: object}
	a.nodes[t] = top
	if err := a.fillObject(top, t, name, true); err != nil {
		return nil, err
	}
	plan, err := clone.New(t)
	if err != nil {
		return nil, err
	}
	s := &Schema{typ: t, top: top, plan: plan, exact: !a.inexact, formed: top.findForms(), recursive: a.recursive, private: a.private}
	if err := s.top.checkOmitted(v.Elem(), name); err != nil {
		return nil, err
	}
	if s.initial, err = s.survive(initial); err != nil {
		return nil, fmt.Errorf("the initial %s %w: use a value that JSON keeps", name, err)
	}
	return s, nil
}

// pointee returns what p points to, for its type in a message.
func pointee(p any) any {
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && !v.IsNil() {
		return v.Elem().Interface()
	}
	return p
}

// checkOmitted refuses initial values that would come back when the field is
// set to its zero value, as JSON leaves that out.
func (n *node) checkOmitted(v reflect.Value, path string) error {
	if n.shape == pointer {
		if v.IsNil() {
			return nil
		}
		return n.elem.checkOmitted(v.Elem(), path)
	}
	for _, f := range n.fields {
		fv, at := v.FieldByIndex(f.Index), path+"."+f.Path
		if (f.OmitEmpty && hasEmpty(f.Type) || f.OmitZero) && !fv.IsZero() {
			return refuse(at, "is left out of JSON when it is zero but is not zero in the initial value, so that zero could not be kept: remove omitempty and omitzero")
		}
		if f.node.merges() {
			if err := f.node.checkOmitted(fv, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasEmpty reports whether omitempty has an effect on values of t.
func hasEmpty(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && (t.Kind() != reflect.Array || t.Len() == 0)
}

// survive writes and reads the initial value, over nothing, and returns what
// came of it.
func (s *Schema) survive(initial any) (any, error) {
	first, err := s.Encode(initial, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot be written as JSON: %w", err)
	}
	s.initial = reflect.New(s.typ).Interface()
	v, _, err := s.Decode(first)
	if err == nil {
		v, s.bytes, err = s.Keep(v, first)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be read back from JSON: %w", err)
	}
	second, err := s.Encode(v, nil)
	if err == nil && !bytes.Equal(first, second) {
		err = fmt.Errorf("reads back from JSON as something else (%s becomes %s)", excerpt(first), excerpt(second))
	}
	return v, err
}

func excerpt(b []byte) string {
	const most = 200
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}

// Initial returns a new deep copy of the initial value.
func (s *Schema) Initial() any { return s.plan.Copy(s.initial) }

// InitialBytes returns about what the initial value takes in memory.
func (s *Schema) InitialBytes() int { return s.bytes }

// Clone returns a deep copy of v, which should have come from this schema:
// it panics where [clone.Plan.Copy] does.
func (s *Schema) Clone(v any) any { return s.plan.Copy(v) }

// Assign makes copies quicker: see [clone.Plan.Assign].
func (s *Schema) Assign(fn func(v any) any) { s.plan.Assign(fn) }

// Flat reports whether assigning an S is a deep copy of it, so that whoever
// knows the type can do without Clone.
func (s *Schema) Flat() bool { return s.plan.Flat() }

// Type returns S.
func (s *Schema) Type() reflect.Type { return s.typ }

// KeyFields returns the Go names of the fields tagged stay:"key", Base.ID for
// one that an embedded struct promotes.
func (s *Schema) KeyFields() []string { return s.names(wordKey) }

// PreservedFields returns the Go names of the fields tagged stay:"preserve".
func (s *Schema) PreservedFields() []string { return s.names(wordPreserve) }

func (s *Schema) names(word string) []string {
	var names []string
	for _, f := range s.top.tagged(word) {
		names = append(names, f.Path)
	}
	return names
}

// Reset returns the initial value with the preserved and the key fields of v.
func (s *Schema) Reset(v any) any { return s.reset(v, wordPreserve, wordKey) }

// ResetAll returns the initial value with the key fields of v.
func (s *Schema) ResetAll(v any) any { return s.reset(v, wordKey) }

// CopyKeyFields sets the key fields of v to deep copies of those of from. It
// changes nothing else.
func (s *Schema) CopyKeyFields(v, from any) { s.copyFields(v, from, wordKey) }

func (s *Schema) reset(v any, words ...string) any {
	fresh := s.Initial()
	s.copyFields(fresh, v, words...)
	return fresh
}

func (s *Schema) copyFields(v, from any, words ...string) {
	fields := s.top.tagged(words...)
	if len(fields) == 0 {
		return
	}
	dst, src := reflect.ValueOf(v).Elem(), reflect.ValueOf(s.Clone(from)).Elem()
	for _, f := range fields {
		dst.FieldByIndex(f.Index).Set(src.FieldByIndex(f.Index))
	}
}
