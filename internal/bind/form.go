package bind

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxNesting is how many dots a name in a form may have.
const maxNesting = 100

// Form binds a form to dst, a pointer to the zero value of a struct or of a
// map from strings to strings, lists of strings or any.
//
// The names are those of JSON: that of the json tag, else that of the field;
// address.city names a field of a nested struct. Fields are strings, booleans
// (on, true and 1; false, 0 and nothing), numbers within the range of their
// type, types with UnmarshalText such as time.Time, []byte for the text as it
// is, any for one string or a list of them, pointers to these, which stay nil
// when the value is empty (except for strings), and lists of these for names
// that occur several times. A number may not be empty unless it is a pointer.
//
// A name that dst does not have is an error, also if its field is tagged
// stay:"private" or stay:"key", as are several values for what is no list and
// values that do not fit. Names that begin with an underscore and that dst
// does not have are ignored: they are how frameworks send their own, such as
// _csrf or _method.
//
// The error is an [*Error], and dst is changed only if binding succeeds.
func (b *Binder) Form(values url.Values, dst any) (err error) {
	v, err := target(dst)
	if err != nil {
		return err
	}
	defer recovered(&err)
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	to := settle(fresh)
	// In order, so that of several mistakes always the same one is reported.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := b.set(to, name, values[name]); err != nil {
			return err
		}
	}
	v.Set(fresh)
	return nil
}

// settle follows pointers, making what they point to where they are nil.
func settle(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	return v
}

// set binds the values of one name to a struct or map.
func (b *Binder) set(to reflect.Value, name string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	switch {
	case to.Kind() == reflect.Struct && !reads(to.Type()):
		field, ok, err := b.find(to, name)
		if err != nil {
			return err
		}
		if ok {
			return setField(field, name, values)
		}
		if strings.HasPrefix(name, "_") {
			return nil
		}
		return invalid(name, "is not a field")
	case to.Kind() == reflect.Map && to.Type().Key().Kind() == reflect.String:
		if strings.HasPrefix(name, "_") {
			return nil
		}
		if to.IsNil() {
			to.Set(reflect.MakeMap(to.Type()))
		}
		elem := reflect.New(to.Type().Elem()).Elem()
		if err := setField(elem, name, values); err != nil {
			return err
		}
		to.SetMapIndex(reflect.ValueOf(name).Convert(to.Type().Key()), elem)
		return nil
	}
	return fmt.Errorf("bind: a form cannot be bound to a %s", to.Type())
}

// find returns the field that a dotted name leads to. It makes the structs on
// the way only when the whole name is good.
func (b *Binder) find(to reflect.Value, name string) (reflect.Value, bool, error) {
	var path [][]int
	t, rest := to.Type(), name
	for range maxNesting {
		fields := b.fieldsOf(t)
		if field := fields.byName(rest); field != nil {
			path = append(path, field.Index)
			return at(to, path), true, nil
		}
		head, tail, dotted := strings.Cut(rest, ".")
		field := fields.byName(head)
		if !dotted || field == nil {
			return reflect.Value{}, false, nil
		}
		path = append(path, field.Index)
		t, rest = field.Type, tail
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || reads(t) {
			return reflect.Value{}, false, nil
		}
	}
	return reflect.Value{}, false, invalid(name, "is nested too deeply")
}

// at follows the path, making what pointers on the way lead to.
func at(v reflect.Value, path [][]int) reflect.Value {
	for _, index := range path {
		for _, i := range index {
			v = settle(v).Field(i)
		}
	}
	return v
}

func setField(v reflect.Value, name string, values []string) error {
	t := v.Type()
	list := t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && !reads(t)
	if list {
		s := reflect.MakeSlice(t, len(values), len(values))
		for i, value := range values {
			if err := setValue(s.Index(i), name, value); err != nil {
				return err
			}
		}
		v.Set(s)
		return nil
	}
	if t.Kind() == reflect.Interface && t.NumMethod() == 0 && len(values) > 1 {
		several := make([]any, len(values))
		for i, value := range values {
			several[i] = value
		}
		v.Set(reflect.ValueOf(several))
		return nil
	}
	if len(values) > 1 {
		return invalid(name, "has %d values where one is needed", len(values))
	}
	return setValue(v, name, values[0])
}

// setValue sets v to what one value of a form means.
func setValue(v reflect.Value, name, value string) error {
	if v.Kind() == reflect.Pointer {
		if value == "" && v.Type().Elem().Kind() != reflect.String {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return setValue(v.Elem(), name, value)
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(value)); err != nil {
			return unfit(name, err)
		}
		return nil
	}
	if v.Addr().Type().Implements(jsonUnmarshaler) || !setBasic(v, value) {
		return invalid(name, "must be %s", describeForm(v.Type()))
	}
	return nil
}

// setBasic reports whether value fits.
func setBasic(v reflect.Value, value string) bool {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() && !isNumber(value) {
			return false
		}
		v.SetString(value)
		return true
	case reflect.Bool:
		on := value == "on" || value == "true" || value == "1"
		v.SetBool(on)
		return on || value == "false" || value == "0" || value == ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(value, 10, t.Bits())
		v.SetInt(i)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(value, 10, t.Bits())
		v.SetUint(u)
		return err == nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(value, t.Bits())
		v.SetFloat(f)
		// JSON could not keep the others.
		return err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(value))
			return true
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			v.Set(reflect.ValueOf(value))
			return true
		}
	}
	return false
}

func isNumber(s string) bool {
	var n json.Number
	return s != "" && s[0] != '"' && s != "null" && json.Unmarshal([]byte(s), &n) == nil && n.String() == s
}

func describeForm(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Struct, reflect.Map, reflect.Interface:
		return "sent as JSON: a form cannot hold it"
	case reflect.String:
		return "a number"
	}
	return describe(t)
}
