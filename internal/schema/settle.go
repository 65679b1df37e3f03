package schema

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/stay-go/stay/internal/clone"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// Encode returns the JSON of v, as encoding/json writes it, but for times in
// zones with seconds; see package normal. At each level the unknown fields in
// extra follow, which may be nil. It drops unknown fields below a pointer that is
// nil in v.
//
// The error says what JSON cannot hold and names the field: a NaN, a year beyond
// 9999, a value that contains itself, or what the type's own methods refuse. A
// panic in them is an error too.
func (s *Schema) Encode(v any, extra *Extra) (b []byte, err error) {
	defer recovered(&err)
	if b, err = s.write(v); err != nil {
		return nil, err
	}
	// Only now it is known that v does not contain itself.
	if w := s.written(v); w != v {
		if b, err = s.write(w); err != nil {
			return nil, err
		}
	}
	if extra == nil {
		return b, nil
	}
	return s.splice(b, extra), nil
}

// write returns the JSON of v as encoding/json writes it.
func (s *Schema) write(v any) ([]byte, error) {
	w, _ := s.writers.Get().(*writer)
	if w == nil {
		w = &writer{}
		w.json = json.NewEncoder(w)
	}
	if err := w.json.Encode(v); err != nil {
		return nil, s.blame(v, err) // a writer that has failed is not reused
	}
	b := bytes.TrimSuffix(w.written, []byte("\n"))
	w.written = nil
	s.writers.Put(w)
	return b, nil
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
// result is the same value for the run's caller to keep: v itself if JSON changes
// nothing, otherwise a copy of what it changes. bytes is about what settled takes in
// memory. An error means that encoded could not be read back as what it was
// written from, and must not be stored.
func (s *Schema) Settle(v, from any, encoded []byte) (settled, result any, bytes int, err error) {
	defer recovered(&err)
	if !s.exact || replaced(encoded) {
		if result, _, err = s.decode(&input{Cursor: *jsonwalk.NewCursor(encoded), strict: true}, encoded); err != nil {
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
	v = s.normal(v)
	settled, bytes = s.plan.Own(v, from)
	return settled, v, bytes + s.unseen(encoded), nil
}

// Keep returns v, the result of decoding encoded, or a copy of it that takes
// less memory: lists have no spare capacity. bytes is about what it takes in
// memory.
func (s *Schema) Keep(v any, encoded []byte) (kept any, bytes int, err error) {
	defer recovered(&err)
	kept, bytes = s.plan.Keep(v)
	return kept, bytes + s.unseen(encoded), nil
}

// unseen is about how much memory a value takes in addition to what its copy
// has seen: what the methods of types hold, which is assumed to be twice the
// length of the value's encoding.
func (s *Schema) unseen(encoded []byte) int {
	if s.plan.Opaque() {
		return 2 * len(encoded)
	}
	return 0
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
