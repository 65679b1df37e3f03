package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/clone"
	"github.com/stay-go/stay/internal/footprint"
)

// Encode returns the JSON of v, as encoding/json writes it, followed at each
// level by the unknown fields in extra, which may be nil. It drops unknown
// fields below a pointer that is nil in v.
//
// The error says what JSON cannot hold: a NaN, a year beyond 9999, a value that
// contains itself, or what the type's own methods refuse. A panic in them is an
// error too.
func (s *Schema) Encode(v any, extra *Extra) (b []byte, err error) {
	defer recovered(&err)
	w, _ := s.writers.Get().(*writer)
	if w == nil {
		w = &writer{}
		w.json = json.NewEncoder(w)
	}
	if err := w.json.Encode(v); err != nil {
		return nil, err // a writer that has failed is not reused
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

// Write implements io.Writer. An Encoder passes each value as a whole, in a
// buffer that it reuses. So this makes the only copy, with the right size.
func (w *writer) Write(b []byte) (int, error) {
	if w.written == nil {
		w.written = make([]byte, 0, len(b)+Spare)
	}
	w.written = append(w.written, b...)
	return len(b), nil
}

// Spare is the capacity that Encode leaves behind its result, if the value has
// no unknown fields: code that appends a little need not copy it.
const Spare = 32

// Settle returns the state after a run left v, whose encoding is encoded: a
// value that equals the result of decoding encoded and shares nothing with v,
// not even strings, so that it keeps nothing in memory but itself. from is nil
// or a value that was settled before. Strings that v has in common with from
// stay where they are: see [clone.Plan.Own].
//
// result is the same value for the run's caller to keep: v itself if JSON
// changes nothing, otherwise a copy. bytes is about what settled takes in
// memory. An error means that encoded could not be read back and must not be
// stored.
func (s *Schema) Settle(v, from any, encoded []byte) (settled, result any, bytes int, err error) {
	defer recovered(&err)
	zones, odd := 0, false
	if s.exact {
		zones, odd = s.zones(v)
	}
	if !s.exact || odd || replaced(encoded) {
		if result, _, err = s.Decode(encoded); err != nil {
			return nil, nil, 0, err
		}
		if settled, bytes, err = s.Keep(result, encoded); settled == result {
			result = s.Clone(settled)
		}
		return settled, result, bytes, err
	}
	if s.recursive && !json.Valid(encoded) {
		// The encoding itself is valid, so only its depth can be the cause.
		return nil, nil, 0, errTooDeep
	}
	settled, bytes = s.plan.Own(v, from)
	return settled, v, bytes + s.unseen(zones, encoded), nil
}

// Keep returns v, the result of decoding encoded, or a copy of it that takes
// less memory: lists have no spare capacity. bytes is about what it takes in
// memory.
func (s *Schema) Keep(v any, encoded []byte) (kept any, bytes int, err error) {
	defer recovered(&err)
	zones, _ := s.zones(v)
	kept, bytes = s.plan.Keep(v)
	return kept, bytes + s.unseen(zones, encoded), nil
}

// unseen is about how much memory a value takes in addition to what its copy
// has seen: zones time zones, and what the methods of types hold, which is
// assumed to be twice the length of the value's encoding.
func (s *Schema) unseen(zones int, encoded []byte) int {
	bytes := zones * zoneBytes
	if s.plan.Opaque() {
		bytes += 2 * len(encoded)
	}
	return bytes
}

var errTooDeep = fmt.Errorf("the value is nested deeper than %d levels", clone.MaxDepth)

// replaced reports whether encoding/json may have replaced bytes that are not
// valid UTF-8. It writes them as an escape, and a genuine U+FFFD as it is; the
// second check costs nothing and covers encoders that make no difference. Most
// encodings contain the first byte of neither.
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

// findTimes marks the nodes that lead to a time, and reports whether n is one.
// Nodes form a graph, so it repeats until nothing changes.
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

// zoneBytes is what a time zone takes in memory that a time was read with.
var zoneBytes = footprint.Bytes(104) + footprint.Bytes(32) + footprint.Bytes(16) // its parts in package time

// zones looks at the times in v. It returns how many have their own time zone,
// and whether one of the zones is odd: not a whole number of minutes from UTC,
// as local zones once were. JSON drops the seconds, which makes the time a
// different instant.
func (s *Schema) zones(v any) (own int, odd bool) {
	if !s.timed {
		return 0, false
	}
	return s.top.zones(reflect.ValueOf(v).Elem())
}

func (n *node) zones(v reflect.Value) (own int, odd bool) {
	if !n.timed {
		return 0, false
	}
	add := func(below *node, v reflect.Value) {
		o, is := below.zones(v)
		own, odd = own+o, odd || is
	}
	switch n.shape {
	case object:
		for i := range n.fields {
			if f := &n.fields[i]; f.node.timed {
				add(f.node, v.FieldByIndex(f.Index))
			}
		}
	case pointer:
		if !v.IsNil() {
			add(n.elem, v.Elem())
		}
	case slice, array:
		for i := range v.Len() {
			add(n.elem, v.Index(i))
		}
	case mapping:
		for it := v.MapRange(); it.Next(); {
			add(n.elem, it.Value())
		}
	default:
		return zoneOf(asTime(v))
	}
	return own, odd
}

// zoneOf is zones for one time. Package time makes a zone for each time that it
// reads, unless it is UTC, the local zone, or a whole number of hours from UTC.
// A zone with a name was made by other code, for many times.
func zoneOf(t time.Time) (own int, odd bool) {
	if l := t.Location(); l == time.UTC {
		return 0, false
	}
	name, offset := t.Zone()
	if name == "" && offset%3600 != 0 {
		own = 1
	}
	return own, offset%60 != 0
}

func asTime(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}
