package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/clone"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

var (
	timeType   = reflect.TypeFor[time.Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
)

// An analysis turns a type into nodes and records what is special about it.
type analysis struct {
	nodes map[reflect.Type]*node
	// inexact: some values differ from their JSON form.
	inexact bool
	// recursive: the type contains itself.
	recursive bool
	// private: there is a private field.
	private bool
	// open are the types being analysed.
	open map[reflect.Type]bool
}

func (a *analysis) build(t reflect.Type, path string) (*node, error) {
	if n, ok := a.nodes[t]; ok {
		a.recursive = a.recursive || a.open[t]
		return n, nil
	}
	n := &node{typ: t}
	a.nodes[t] = n
	a.open[t] = true
	defer delete(a.open, t)
	if err := a.fill(n, t, path); err != nil {
		return nil, err
	}
	return n, nil
}

func (a *analysis) fill(n *node, t reflect.Type, path string) (err error) {
	if opaque, err := a.ownMethods(n, t, path); opaque || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if t == numberType {
			// It is written as a number, and an empty one as 0.
			a.inexact = true
			return nil
		}
		n.scalar = t.Kind()
		return nil
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return refuse(path, "is of type %s, an interface that JSON cannot read back: use a concrete type or any", t)
		}
		a.inexact = true
		return nil
	case reflect.Struct:
		n.shape = object
		return a.fillObject(n, t, path, false)
	case reflect.Pointer:
		n.shape = pointer
		if err := checkPointer(t, path); err != nil {
			return err
		}
		n.elem, err = a.build(t.Elem(), path)
		return err
	case reflect.Array:
		n.shape = array
		n.elem, err = a.build(t.Elem(), path+"[]")
		return err
	case reflect.Slice:
		if isBytes(t) {
			return nil
		}
		n.shape = slice
		n.elem, err = a.build(t.Elem(), path+"[]")
		return err
	case reflect.Map:
		n.shape = mapping
		if err := a.checkKey(t.Key(), path); err != nil {
			return err
		}
		n.timeKeys = t.Key() == timeType
		if err := checkInMap(t.Elem(), path+"[]"); err != nil {
			return err
		}
		n.elem, err = a.build(t.Elem(), path+"[]")
		return err
	default:
		return refuse(path, "is of type %s, which JSON cannot keep: keep it outside the state", t)
	}
}

// isBytes reports whether encoding/json writes t as base64.
func isBytes(t reflect.Type) bool {
	if t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	m := methodsOf(t.Elem())
	return !m.writes() && !m.reads()
}

// checkPointer refuses pointers to types that have their own null: after
// reading null, it is unknown which of the two is nil.
func checkPointer(t reflect.Type, path string) error {
	e := t.Elem()
	switch e.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		if e == rawType || !clone.MarshalsItself(e) {
			return refuse(path, "is of type %s, and JSON has the same null for both kinds of nil: use %s", t, e)
		}
	}
	return nil
}

func (a *analysis) fillObject(n *node, t reflect.Type, path string, top bool) error {
	n.byName = make(map[string]int)
	for _, f := range jsonwalk.Fields(t) {
		at := path + "." + f.Path
		if f.Problem != "" {
			return refuse(at, "%s: %s", f.Problem, f.Fix)
		}
		if other, ok := n.byName[f.Name]; ok {
			return refuse(at, "has the JSON name %q like %s: give them different names", f.Name, n.fields[other].Path)
		}
		if err := checkWords(&f, at, top); err != nil {
			return err
		}
		fn, err := a.build(f.Type, at)
		if err != nil {
			return err
		}
		a.inexact = a.inexact || losesEmpty(&f)
		f.Quoted = f.Quoted && !writesItself(f.Type)
		private := f.Has(wordPrivate)
		a.private = a.private || private
		n.byName[f.Name] = len(n.fields)
		n.spell(&f)
		n.fields = append(n.fields, field{Field: f, node: fn, private: private, signed: isSigned(&f)})
	}
	return nil
}

// writesItself reports whether t, or what it points to, encodes itself. The
// string option of a json tag does not change that.
func writesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return methodsOf(t).writes()
}

// losesEmpty reports whether the tag makes JSON omit values that are not the
// zero value.
func losesEmpty(f *jsonwalk.Field) bool {
	if k := f.Type.Kind(); f.OmitEmpty && (k == reflect.Map || k == reflect.Slice) {
		return true
	}
	if !f.OmitZero || f.Type == timeType {
		return false
	}
	return reflect.PointerTo(f.Type).Implements(isZeroer) || !isSigned(f) && holdsFloats(f.Type)
}

// A path is the path of a Go field, as in Cart.Items[].Done.
func refuse(path, format string, args ...any) error {
	return fmt.Errorf("%s "+format, append([]any{path}, args...)...)
}
