package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var validField = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// structOf makes the type that a schema describes. A nested object is a
// pointer if its initial value is null. The fields named get a tag.
func structOf(schema, initial json.RawMessage, tagged map[string]string) (reflect.Type, error) {
	var fields, values map[string]json.RawMessage
	if err := json.Unmarshal(schema, &fields); err != nil {
		return nil, fmt.Errorf("schema %s: %w", schema, err)
	}
	if initial != nil {
		if err := json.Unmarshal(initial, &values); err != nil {
			return nil, fmt.Errorf("initial %s: %w", initial, err)
		}
	}
	for name := range tagged {
		if fields[name] == nil {
			return nil, fmt.Errorf("the schema has no field %q", name)
		}
	}
	var out []reflect.StructField
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if !validField.MatchString(name) {
			return nil, fmt.Errorf("%q is no name for a field", name)
		}
		typ, err := typeOf(fields[name], values[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		tag := fmt.Sprintf("json:%q", name)
		if word := tagged[name]; word != "" {
			tag += fmt.Sprintf(" stay:%q", word)
		}
		out = append(out, reflect.StructField{Name: "F" + strconv.Itoa(i), Type: typ, Tag: reflect.StructTag(tag)})
	}
	return reflect.StructOf(out), nil
}

func typeOf(schema, initial json.RawMessage) (reflect.Type, error) {
	var word string
	if json.Unmarshal(schema, &word) != nil {
		null := initial != nil && isNull(initial)
		if null {
			initial = nil
		}
		typ, err := structOf(schema, initial, nil)
		if err == nil && null {
			typ = reflect.PointerTo(typ)
		}
		return typ, err
	}
	switch word {
	case "string":
		return reflect.TypeFor[string](), nil
	case "int":
		return reflect.TypeFor[int](), nil
	case "bool":
		return reflect.TypeFor[bool](), nil
	case "[]string":
		return reflect.TypeFor[[]string](), nil
	case "map":
		return reflect.TypeFor[map[string]string](), nil
	}
	return nil, fmt.Errorf("the type %q is not known", word)
}

// fieldOf finds the field with a JSON name.
func fieldOf(t reflect.Type, name string) (int, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("json") == name {
			return i, true
		}
	}
	return 0, false
}

// valueOf reads a complete value: every field of every struct is there.
func valueOf(raw json.RawMessage, t reflect.Type) (reflect.Value, error) {
	if err := complete(raw, t); err != nil {
		return reflect.Value{}, err
	}
	v := reflect.New(t)
	if err := decode(raw, v.Interface()); err != nil {
		return reflect.Value{}, err
	}
	return v.Elem(), nil
}

func complete(raw json.RawMessage, t reflect.Type) error {
	if len(raw) == 0 {
		return errors.New("there is no value")
	}
	if isNull(raw) {
		if k := t.Kind(); k != reflect.Pointer && k != reflect.Slice && k != reflect.Map {
			return fmt.Errorf("null is no %v", t)
		}
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return err
	}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("json")
		if err := complete(values[name], t.Field(i).Type); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// errAbsent is what an operation fails with on its way through a null, to a
// list element or to a map entry that is not there.
var errAbsent = errors.New("nothing is there")

// A place is where a path leads to in the values of a struct type.
type place struct {
	path  string
	steps []string // names of fields, an index or a map key at the end
	typ   reflect.Type
	entry bool // of a map
	index int  // of a list; -1 = none
}

// placeOf looks a path up in a struct type.
func placeOf(t reflect.Type, path string) (place, error) {
	p := place{path: path, steps: strings.Split(path, "."), typ: t, index: -1}
	for i, step := range p.steps {
		if p.typ.Kind() == reflect.Pointer {
			p.typ = p.typ.Elem()
		}
		switch p.typ.Kind() {
		case reflect.Struct:
			f, ok := fieldOf(p.typ, step)
			if !ok {
				return place{}, fmt.Errorf("path %q: no field %q", path, step)
			}
			p.typ = p.typ.Field(f).Type
			continue
		case reflect.Map:
			p.entry = true
		case reflect.Slice:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 {
				return place{}, fmt.Errorf("path %q: %q is no index", path, step)
			}
			p.index = n
		default:
			return place{}, fmt.Errorf("path %q: a %v has no %q", path, p.typ, step)
		}
		p.typ = p.typ.Elem()
		if i != len(p.steps)-1 {
			return place{}, fmt.Errorf("path %q: nothing lies below %q", path, step)
		}
	}
	return p, nil
}

// holder returns the addressable value that the last step is taken from, or
// for a field the field itself.
func (p place) holder(root reflect.Value) (reflect.Value, error) {
	v := root
	for _, step := range p.steps {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, fmt.Errorf("path %q: %w", p.path, errAbsent)
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			break
		}
		i, _ := fieldOf(v.Type(), step)
		v = v.Field(i)
	}
	if p.index >= 0 {
		if p.index >= v.Len() {
			return reflect.Value{}, fmt.Errorf("path %q: %w", p.path, errAbsent)
		}
		v = v.Index(p.index)
	}
	return v, nil
}

func (p place) key() reflect.Value { return reflect.ValueOf(p.steps[len(p.steps)-1]) }

// get returns the value at the place in root, which must not be changed.
func (p place) get(root reflect.Value) (reflect.Value, error) {
	v, err := p.holder(root)
	if err != nil || !p.entry {
		return v, err
	}
	if v = v.MapIndex(p.key()); !v.IsValid() {
		return v, fmt.Errorf("path %q: %w", p.path, errAbsent)
	}
	return v, nil
}

// set assigns.
func (p place) set(root, value reflect.Value) error {
	v, err := p.holder(root)
	switch {
	case err != nil:
		return err
	case !p.entry:
		v.Set(value)
	default:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(p.key(), value)
	}
	return nil
}

// remove removes a map entry and gives a field its zero value.
func (p place) remove(root reflect.Value) error {
	v, err := p.holder(root)
	switch {
	case err != nil:
		return err
	case !p.entry:
		v.SetZero()
	case !v.IsNil():
		v.SetMapIndex(p.key(), reflect.Value{})
	}
	return nil
}

// copyOf returns a value that shares no pointer, list or map with v.
func copyOf(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(copyOf(v.Elem()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(copyOf(v.Field(i)))
		}
	case v.Kind() == reflect.Slice && !v.IsNil():
		out.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v))
	case v.Kind() == reflect.Map && !v.IsNil():
		out.Set(reflect.MakeMap(v.Type()))
		for key, value := range v.Seq2() {
			out.SetMapIndex(key, value)
		}
	default:
		out.Set(v)
	}
	return out
}
