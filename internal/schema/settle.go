package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/clone"
)

// Encode returns the JSON of v, as encoding/json writes it, followed at each
// level by the unknown fields in extra, which may be nil. Unknown fields below
// a pointer that is nil in v are dropped.
//
// The error says what JSON cannot hold: a NaN, a year beyond 9999, a value
// that contains itself, or what the type's own methods refuse. A panic in
// them is an error too.
func (s *Schema) Encode(v any, extra *Extra) (b []byte, err error) {
	defer recovered(&err)
	w, _ := s.writers.Get().(*writer)
	if w == nil {
		w = &writer{}
		w.json = json.NewEncoder(w)
	}
	if err := w.json.Encode(v); err != nil {
		return nil, err // a writer that has failed is not used again
	}
	b, w.written = bytes.TrimSuffix(w.written, []byte("\n")), nil
	s.writers.Put(w)
	if extra == nil {
		return b, nil
	}
	return s.splice(b, extra), nil
}

// A writer writes JSON, one value after the other.
type writer struct {
	written []byte // the last value
	json    *json.Encoder
}

// Write implements io.Writer. An Encoder hands over each value as a whole, in a
// buffer that it uses again: one copy, of the right size, is all that is made.
func (w *writer) Write(b []byte) (int, error) {
	if w.written == nil {
		w.written = make([]byte, 0, len(b)+Spare)
	}
	w.written = append(w.written, b...)
	return len(b), nil
}

// Spare is the capacity that Encode leaves behind what it returns, if the value
// has no unknown fields: whoever adds a little need not copy it.
const Spare = 32

// Settle returns what becomes the state after a run left v, of which encoded
// is the encoding: a value that equals what Decode makes of encoded and shares
// nothing with v, not even strings, so that it keeps nothing in memory but
// itself. Strings that it has in common with from, a value that was settled
// before, or nil, stay where they are: see [clone.Plan.Own].
//
// result is the same for the run's caller to keep: v itself where JSON changes
// nothing, else a copy. An error means that encoded could not be read back and
// must not be stored.
func (s *Schema) Settle(v, from any, encoded []byte) (settled, result any, err error) {
	defer recovered(&err)
	if !s.exact || replaced(encoded) || s.timed && s.top.oddTime(reflect.ValueOf(v).Elem()) {
		if settled, _, err = s.Decode(encoded); err != nil {
			return nil, nil, err
		}
		return settled, s.Clone(settled), nil
	}
	if s.recursive && !json.Valid(encoded) {
		// The encoding itself is valid: only its depth can be the cause.
		return nil, nil, errTooDeep
	}
	return s.plan.Own(v, from), v, nil
}

var errTooDeep = fmt.Errorf("the value is nested deeper than %d levels", clone.MaxDepth)

// replaced reports whether encoding/json may have replaced bytes that are not
// valid UTF-8. It writes them as an escape, and a genuine U+FFFD as it is; the
// second check costs nothing and covers encoders that make no difference. Most
// encodings have neither first byte.
func replaced(encoded []byte) bool {
	return bytes.IndexByte(encoded, '\\') >= 0 && bytes.Contains(encoded, []byte(`\ufffd`)) ||
		bytes.IndexByte(encoded, 0xEF) >= 0 && bytes.Contains(encoded, []byte("\ufffd"))
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

// findTimes marks the nodes from which a time is reached, and reports whether
// n is one. Nodes form a graph, so it goes round until nothing changes.
func (n *node) findTimes() bool {
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
			timed := m.typ == timeType || m.elem != nil && m.elem.timed
			for _, f := range m.fields {
				timed = timed || f.node.timed
			}
			changed = changed || timed != m.timed
			m.timed = timed
		}
	}
	return n.timed
}

// oddTime reports whether v holds a time whose zone is not a whole number of
// minutes from UTC, as zones were before they were unified. JSON drops the
// seconds, which makes it another instant.
func (n *node) oddTime(v reflect.Value) bool {
	if !n.timed {
		return false
	}
	switch n.shape {
	case object:
		for i := range n.fields {
			if f := &n.fields[i]; f.node.timed && f.node.oddTime(v.FieldByIndex(f.Index)) {
				return true
			}
		}
	case pointer:
		return !v.IsNil() && n.elem.oddTime(v.Elem())
	case slice, array:
		for i := range v.Len() {
			if n.elem.oddTime(v.Index(i)) {
				return true
			}
		}
	case mapping:
		for it := v.MapRange(); it.Next(); {
			if n.elem.oddTime(it.Value()) {
				return true
			}
		}
	default:
		_, offset := asTime(v).Zone()
		return offset%60 != 0
	}
	return false
}

func asTime(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}
