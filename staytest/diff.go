package staytest

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// A diff lists the differences between two JSON values of a Go type, by path.
type diff struct {
	// loss: everything that is wanted must be there, and a struct may have
	// more.
	loss  bool
	lines []string
}

// Limits of what a failure shows.
const (
	maxLines = 20
	maxValue = 200
)

// String returns the differences, a line for each.
func (d *diff) String() string {
	lines, more := d.lines, ""
	if n := len(lines) - maxLines; n > 0 {
		lines, more = lines[:maxLines], fmt.Sprintf("\n  and %d more", n)
	}
	return "  " + strings.Join(lines, "\n  ") + more
}

// nothing stands for a missing member or item.
type nothing struct{}

func (d *diff) add(path string, got, want any) {
	if path == "" {
		path = "the whole"
	}
	d.lines = append(d.lines, fmt.Sprintf("%s: got %s, want %s", path, show(got), show(want)))
}

func show(v any) string {
	if v == (nothing{}) {
		return "nothing"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(b) > maxValue {
		return strings.ToValidUTF8(string(b[:maxValue]), "") + "..."
	}
	return string(b)
}

// compare compares two values of the type t. If t is nil, the value has any
// type, or its type marshals itself.
func (d *diff) compare(path string, t reflect.Type, got, want any) {
	t = plain(t)
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			d.compareObjects(path, t, got, want)
			return
		}
	case []any:
		if got, ok := got.([]any); ok {
			d.compareLists(path, t, got, want)
			return
		}
	case nil:
		_, text := got.(string)
		if got == nil || d.loss && (text || isZero(got)) {
			return // null is read as the zero value, and a type may encode that as any text
		}
	case json.Number:
		if got, ok := got.(json.Number); ok && sameNumber(got.String(), want.String()) {
			return
		}
	case string:
		if got, ok := got.(string); ok && (got == want || t == timeType && sameTime(got, want)) {
			return
		}
	default:
		if got == want {
			return
		}
	}
	d.add(path, got, want)
}

func (d *diff) compareObjects(path string, t reflect.Type, got, want map[string]any) {
	both := maps.Clone(got)
	maps.Copy(both, want)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		below, isStruct, known := member(t, name)
		g, has := got[name]
		w, wants := want[name]
		switch {
		case has && wants:
			d.compare(at, below, g, w)
		case has && (!d.loss || !isStruct):
			d.add(at, g, nothing{})
		case wants && (!d.loss || !known || !isZero(w)): // otherwise it was left out by omitempty
			d.add(at, nothing{}, w)
		}
	}
}

func (d *diff) compareLists(path string, t reflect.Type, got, want []any) {
	var below reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		below = t.Elem()
	}
	for i := range max(len(got), len(want)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= len(got):
			d.add(at, nothing{}, want[i])
		case i >= len(want):
			d.add(at, got[i], nothing{})
		default:
			d.compare(at, below, got[i], want[i])
		}
	}
}

var timeType = reflect.TypeFor[time.Time]()

// plain returns the type that a pointer points to, and nil for types that
// marshal themselves, except time.Time.
func plain(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != timeType && marshalsItself(t) || t.Kind() == reflect.Interface {
		return nil
	}
	return t
}

// marshalsItself reports whether t or *t has its own methods to encode or
// decode JSON.
func marshalsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc([]reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}, p.Implements)
}

// member returns the type of an object's member, whether the object is a
// struct, and whether the struct has a field of that name.
func member(t reflect.Type, name string) (below reflect.Type, isStruct, known bool) {
	switch {
	case t == nil:
	case t.Kind() == reflect.Map:
		return t.Elem(), false, false
	case t.Kind() == reflect.Struct:
		for _, f := range jsonwalk.Dominant(jsonwalk.Fields(t)) {
			if f.Name == name {
				return f.Type, true, true
			}
		}
		return nil, true, false
	}
	return nil, false, false
}

// isZero reports whether v is the JSON of a zero value.
func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case json.Number:
		return sameNumber(v.String(), "0")
	case string:
		return v == "" || sameTime(v, time.Time{}.Format(time.RFC3339))
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !isZero(item) })
	case map[string]any:
		for _, item := range v {
			if !isZero(item) {
				return false
			}
		}
		return true
	}
	return false
}

func sameTime(a, b string) bool {
	x, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		return false
	}
	y, err := time.Parse(time.RFC3339Nano, b)
	return err == nil && x.Equal(y)
}

// sameNumber compares integers digit by digit, however large, and other numbers
// as floats.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(a+b, ".eE") {
		return false
	}
	x, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(b, 64)
	return err == nil && x == y
}

// parse reads one JSON value without losing digits.
func parse(b []byte) (any, error) {
	if err := jsonwalk.Check(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}
