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
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/stay-go/stay/internal/clone"
)

// A Schema describes one struct type S and its initial value. It never changes
// after Of and may be used by several goroutines at once. Everywhere below v
// is a *S; anything else panics.
type Schema struct {
	typ     reflect.Type
	top     *node
	plan    *clone.Plan
	initial any

	// exact: a deep copy equals what JSON makes of a value, apart from
	// invalid UTF-8.
	exact bool
	// recursive: values may be nested without a bound.
	recursive bool
	// private: there is a private field.
	private bool
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
	s := &Schema{typ: t, top: top, plan: plan, exact: !a.inexact, recursive: a.recursive, private: a.private}
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

// Clone returns a deep copy of v, which should have come from this schema:
// it panics where [clone.Plan.Copy] does.
func (s *Schema) Clone(v any) any { return s.plan.Copy(v) }

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

// Encode returns the JSON of v, as encoding/json writes it, followed at each
// level by the unknown fields in extra, which may be nil. Unknown fields below
// a pointer that is nil in v are dropped.
//
// The error says what JSON cannot hold: a NaN, a year beyond 9999, a value
// that contains itself, or what the type's own methods refuse. A panic in
// them is an error too.
func (s *Schema) Encode(v any, extra *Extra) (b []byte, err error) {
	defer recovered(&err)
	b, err = json.Marshal(v)
	if err != nil || extra == nil {
		return b, err
	}
	return s.splice(b, extra), nil
}

// Settle returns what becomes the state after a run left v, of which encoded
// is the encoding: a value that shares nothing with v and equals what Decode
// makes of encoded. An error means that encoded could not be read back and
// must not be stored.
func (s *Schema) Settle(v any, encoded []byte) (settled any, err error) {
	defer recovered(&err)
	if !s.exact || replaced(encoded) {
		if settled, _, err = s.Decode(encoded); err == nil && s.plan.RoundTrips() {
			// Reads copy what was settled; what its methods do to it shows
			// here, where it can still be an error.
			s.Clone(settled)
		}
		return settled, err
	}
	if s.recursive && !json.Valid(encoded) {
		// The encoding itself is valid: only its depth can be the cause.
		return nil, errTooDeep
	}
	return s.Clone(v), nil
}

var errTooDeep = fmt.Errorf("the value is nested deeper than %d levels", clone.MaxDepth)

// replaced reports whether encoding/json may have replaced bytes that are not
// valid UTF-8. It writes them as an escape, and a genuine U+FFFD as it is; the
// second check costs nothing and covers encoders that make no difference.
func replaced(encoded []byte) bool {
	return bytes.Contains(encoded, []byte(`\ufffd`)) || bytes.Contains(encoded, []byte("\ufffd"))
}

// recovered turns a panic of the type's own methods into an error.
func recovered(err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("panic: %w", p)
	default:
		*err = fmt.Errorf("panic: %v", p)
	}
}
