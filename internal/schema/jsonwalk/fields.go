package jsonwalk

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A Field is a field of a struct as JSON sees it: a direct field, or one that
// an embedded struct promotes.
type Field struct {
	// Name is the name in JSON.
	Name string
	// Index leads to the field; see reflect.Value.FieldByIndex.
	Index []int
	// Path is the Go name of the field, Base.ID if it is promoted.
	Path string
	Type reflect.Type
	// Tagged says that Name comes from a json tag.
	Tagged bool
	// Quoted says that the string option applies: the value is written as
	// JSON within a JSON string.
	Quoted              bool
	OmitEmpty, OmitZero bool
	// Stay holds the words of the stay tag, and those of the embedded fields
	// that lead here.
	Stay []string
	// Lost says that encoding/json neither writes nor reads the field.
	Lost bool
	// Problem says why JSON does not keep the field faithfully, and Fix how to
	// fix it. Both are empty if it does.
	Problem, Fix string
}

// Has reports whether the field is tagged with the word.
func (f *Field) Has(word string) bool { return slices.Contains(f.Stay, word) }

// Fields returns the fields of the struct type t in the order of their
// declaration. Fields with the same name are all returned; see [Dominant].
func Fields(t reflect.Type) []Field {
	var w fieldWalk
	w.walk(t, nil, "", nil)
	return w.fields
}

type fieldWalk struct {
	fields []Field
	// open are the struct types that are being walked through: embedded
	// pointers may lead back to them.
	open []reflect.Type
}

func (w *fieldWalk) walk(t reflect.Type, index []int, path string, stay []string) {
	if slices.Contains(w.open, t) {
		return
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Name == "_" {
			continue
		}
		f := newField(sf)
		f.Index = append(slices.Clone(index), i)
		f.Path = path + sf.Name
		f.Stay = append(slices.Clone(stay), f.Stay...)
		embedded, pointer := embeddedStruct(sf)
		if !embedded || f.Tagged || f.Lost {
			w.fields = append(w.fields, f)
			continue
		}
		if pointer {
			lost := f
			lost.Lost = true
			lost.Problem, lost.Fix = "is an embedded pointer, and JSON cannot tell nil from an empty struct", "embed the struct itself or name the field"
			w.fields = append(w.fields, lost)
			sf.Type = sf.Type.Elem()
		}
		w.walk(sf.Type, f.Index, f.Path+".", f.Stay)
	}
}

// embeddedStruct reports whether sf embeds a struct or a pointer to one.
func embeddedStruct(sf reflect.StructField) (embedded, pointer bool) {
	if !sf.Anonymous {
		return false, false
	}
	if sf.Type.Kind() == reflect.Pointer {
		return sf.Type.Elem().Kind() == reflect.Struct, true
	}
	return sf.Type.Kind() == reflect.Struct, false
}

func newField(sf reflect.StructField) Field {
	f := Field{Name: sf.Name, Type: sf.Type}
	if words := sf.Tag.Get("stay"); words != "" {
		for word := range strings.SplitSeq(words, ",") {
			f.Stay = append(f.Stay, strings.TrimSpace(word))
		}
	}
	embedded, pointer := embeddedStruct(sf)
	tag := sf.Tag.Get("json")
	name, options, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-":
		f.Lost, f.Problem, f.Fix = true, `is tagged json:"-"`, "give it a name in JSON or keep it outside the state"
		return f
	case !sf.IsExported() && (!embedded || pointer):
		f.Lost, f.Problem, f.Fix = true, "is unexported", "export it or keep it outside the state"
		return f
	case name != "" && !validName(name):
		f.Problem, f.Fix = "has a name in its json tag that encoding/json ignores", "use letters, digits and signs other than quotes, backslash and comma"
	case name != "":
		f.Name, f.Tagged = name, true
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.OmitEmpty = true
		case "omitzero":
			f.OmitZero = true
		case "string":
			f.Quoted = quotable(sf.Type)
		}
	}
	return f
}

// validName reports whether encoding/json accepts the name in a tag.
func validName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return true
}

// quotable reports whether the string option has a meaning for t.
func quotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return false
}

// Dominant leaves out the fields that JSON does not see: lost ones and, if
// several have the same name, those that encoding/json ignores (the shallowest
// wins, then the only tagged one, then none).
func Dominant(fields []Field) []Field {
	var seen []Field
	for _, f := range fields {
		if !f.Lost && dominates(f, fields) {
			seen = append(seen, f)
		}
	}
	return seen
}

func dominates(f Field, fields []Field) bool {
	for _, o := range fields {
		if o.Lost || o.Name != f.Name || slices.Equal(o.Index, f.Index) {
			continue
		}
		if len(o.Index) < len(f.Index) || len(o.Index) == len(f.Index) && (o.Tagged || !f.Tagged) {
			return false
		}
	}
	return true
}
