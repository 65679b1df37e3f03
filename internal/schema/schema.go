// Package schema knows everything about the struct that a module keeps: how its
// values are copied, written as JSON, merged over the initial value when they
// are read, reset, and shown to clients.
//
// It accepts only what it can promise: a value that an update has accepted reads
// the same after it was written and read again. Of refuses the types that break
// this. Settle refuses the values that break it, or puts them into their JSON
// form.
package schema

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/stay-go/stay/internal/clone"
)

// A Schema describes one struct type S and its initial value. It does not
// visibly change after Of, and several goroutines may use it at once.
// Everywhere below, v is a *S; anything else panics.
type Schema struct {
	typ     reflect.Type
	top     *node
	plan    *clone.Plan
	initial any
	bytes   int // that the initial value takes in memory

	// exact: a deep copy equals the JSON form of a value, apart from invalid
	// UTF-8.
	exact bool
	// formed: there are values with several forms.
	formed bool
	// recursive: values may be nested without a limit.
	recursive bool
	// private: there is a private field.
	private bool

	writers sync.Pool // of *writer
}

// Of returns the schema of the struct that initial points to. It copies the
// initial value and never looks at it again.
//
// The error is meant for the programmer: it names the Go field, as in
// Cart.Items[].Done, and the fix.
func Of(initial any) (*Schema, error) {
	v := reflect.ValueOf(initial)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("a state of type %T is not a struct: use a struct with a field for the value", pointee(initial))
	}
	t := v.Type().Elem()
	name := clone.TypeName(t)
	if m := methodsOf(t); m.writes() || m.reads() {
		return nil, refuse(name, "marshals itself, so its fields cannot be merged or reset: remove the methods, name the embedded field they come from, or keep a %s in a field", name)
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

// pointee returns the value that p points to, for its type in a message.
func pointee(p any) any {
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && !v.IsNil() {
		return v.Elem().Interface()
	}
	return p
}

// checkOmitted refuses initial values that would come back when the field is
// set to its zero value, because JSON omits the zero value.
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
			return refuse(at, "is left out of JSON when it is zero, but its initial value is not zero, so zero could not be stored: remove omitempty and omitzero")
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

// survive encodes the initial value, decodes it over nothing, and returns the
// result.
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
		err = fmt.Errorf("changes when written as JSON and read back (%s becomes %s)", excerpt(first), excerpt(second))
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

// InitialBytes returns about how many bytes the initial value takes in memory.
func (s *Schema) InitialBytes() int { return s.bytes }

// Clone returns a deep copy of v, which should have come from this schema: it
// panics where [clone.Plan.Copy] does.
func (s *Schema) Clone(v any) any { return s.plan.Copy(v) }

// Assign makes copies faster: see [clone.Plan.Assign].
func (s *Schema) Assign(fn func(v any) any) { s.plan.Assign(fn) }

// Flat reports whether assigning an S makes a deep copy of it. Code that knows
// the type then does not need Clone.
func (s *Schema) Flat() bool { return s.plan.Flat() }

// Type returns S.
func (s *Schema) Type() reflect.Type { return s.typ }

// KeyFields returns the Go names of the fields tagged stay:"key", such as
// Base.ID for a field that an embedded struct promotes.
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
