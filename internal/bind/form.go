package bind

import (
	"bytes"
	"encoding"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Form binds a form to dst, a pointer to a struct or to a map from strings to
// strings, lists of strings or any.
//
// The names are those of JSON: the name in the json tag, otherwise the name of
// the field; address.city names a field of a nested struct. Fields are strings,
// booleans (on, true and 1; false, 0 and the empty string), numbers within the
// range of their type, types with UnmarshalText such as time.Time, []byte for
// the text as it is, any for one string or a list of strings, pointers to
// these, which stay nil when the value is empty (except for strings), and lists
// of these for names that occur several times. A number may not be empty unless
// it is a pointer.
//
// A name that dst does not have is an error, also if its field is tagged
// stay:"private" or stay:"key". So are several values for a field that is no
// list, and values that do not fit. Names that begin with an underscore and
// that dst does not have are ignored: frameworks send their own names that way,
// such as _csrf or _method.
//
// The error is an [*Error], or is the program's; see [Binder.Value]. A form of
// more than [MaxValues] values is too large.
func (b *Binder) Form(values url.Values, dst any) (err error) {
	v, d, err := b.target(dst)
	if err != nil {
		return err
	}
	size, count := 0, 0
	names := make([]string, 0, min(len(values), MaxValues))
	for name, list := range values {
		if count += max(1, len(list)); count > MaxValues {
			return tooManyValues()
		}
		for _, value := range list {
			size += len(name) + len(value)
		}
		names = append(names, name)
	}
	// Sorted, so that of several mistakes always the same one is reported.
	slices.Sort(names)
	defer recovered(&err)
	f := &former{making: making{b: b, allowance: allowanceFor(size)}}
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	if err := f.begin(d.node, fresh); err != nil {
		return located(err)
	}
	for _, name := range names {
		if err := f.set(name, values[name]); err != nil {
			return located(err)
		}
	}
	v.Set(fresh)
	return nil
}

func tooManyValues() error {
	return &Error{Message: fmt.Sprintf("the form has more than %d values", MaxValues), TooLarge: true}
}

// ParseForm parses a form as net/url does, but refuses one with more than
// [MaxValues] values, because each value takes far more memory than its text.
func ParseForm(data []byte) (url.Values, error) {
	if bytes.Count(data, []byte{'&'}) >= MaxValues {
		return nil, tooManyValues()
	}
	return url.ParseQuery(string(data))
}

// A former makes the value of one form.
type former struct {
	making
	node *node         // of to
	to   reflect.Value // a struct or a map
}

// begin prepares to fill v.
func (f *former) begin(n *node, v reflect.Value) (err error) {
	if f.to, err = f.settle(v); err != nil {
		return err
	}
	for n.typ.Kind() == reflect.Pointer {
		n = n.elem
	}
	f.node = n
	if n.typ.Kind() == reflect.Map && !f.to.IsNil() {
		if err := f.replace(n, f.to); err != nil {
			return err
		}
		f.to.Set(copyMap(f.to, 0))
	}
	return nil
}

// set binds the values of one name.
func (f *former) set(name string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	n, to := f.node, f.to
	switch {
	case n.index != nil:
		member, at, err := f.find(name)
		if err != nil {
			return err
		}
		if member != nil {
			return f.setField(member, at, name, values)
		}
		if strings.HasPrefix(name, "_") {
			return nil
		}
		return invalid(name, "is not a field")
	case n.typ.Kind() == reflect.Map && n.typ.Key().Kind() == reflect.String:
		if strings.HasPrefix(name, "_") {
			return nil
		}
		if to.IsNil() {
			to.Set(reflect.MakeMap(n.typ))
		}
		elem := reflect.New(n.elem.typ).Elem()
		if err := f.takeEntry(to.Len(), 0, n.typ.Key().Size(), n.elem.typ.Size()); err != nil {
			return err
		}
		if err := f.setField(n.elem, elem, name, values); err != nil {
			return err
		}
		to.SetMapIndex(reflect.ValueOf(name).Convert(n.typ.Key()), elem)
		return nil
	}
	return fmt.Errorf("bind: a form cannot be bound to a %s", n.typ)
}

// find returns the field that a dotted name leads to, nil if there is none. It
// makes the structs on the way only if the whole name is valid.
func (f *former) find(name string) (*node, reflect.Value, error) {
	var path [][]int
	n, rest := f.node, name
	for range maxDots {
		if member, _ := n.byName(rest); member != nil {
			at := f.to
			for _, index := range append(path, member.Index) {
				var err error
				if at, err = f.at(at, index); err != nil {
					return nil, at, err
				}
			}
			return member.node, at, nil
		}
		head, tail, dotted := strings.Cut(rest, ".")
		member, _ := n.byName(head)
		if !dotted || member == nil {
			return nil, reflect.Value{}, nil
		}
		path = append(path, member.Index)
		n, rest = member.node, tail
		for n.typ.Kind() == reflect.Pointer {
			n = n.elem
		}
		if n.index == nil {
			return nil, reflect.Value{}, nil
		}
	}
	return nil, reflect.Value{}, invalid(name, "is nested too deeply")
}

func (f *former) setField(n *node, v reflect.Value, name string, values []string) error {
	t := n.typ
	if t.Kind() == reflect.Interface {
		if err := f.replace(n, v); err != nil {
			return within(err, name)
		}
	}
	list := t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && !n.json && !n.text
	if list {
		if err := f.take(len(values), t.Elem().Size()); err != nil {
			return err
		}
		s := reflect.MakeSlice(t, len(values), len(values))
		for i, value := range values {
			if err := f.setValue(n.elem, s.Index(i), name, value); err != nil {
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
	return f.setValue(n, v, name, values[0])
}

// setValue sets v to the meaning of one value of a form.
func (f *former) setValue(n *node, v reflect.Value, name, value string) error {
	if n.typ.Kind() == reflect.Pointer {
		if value == "" && n.elem.typ.Kind() != reflect.String {
			return nil
		}
		if err := f.take(1, n.elem.typ.Size()); err != nil {
			return err
		}
		p := reflect.New(n.elem.typ)
		if err := f.setValue(n.elem, p.Elem(), name, value); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if n.text {
		if err := f.unshare(v); err != nil {
			return err
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(value)); err != nil {
			return unfit(name, err)
		}
		settleTime(v)
		return nil
	}
	if n.json || !setBasic(v, value) {
		return invalid(name, "must be %s", describeForm(v.Type(), value))
	}
	return nil
}

// setBasic reports whether value fits.
func setBasic(v reflect.Value, value string) bool {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		if t == numberType && !isNumber(value) {
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

func describeForm(t reflect.Type, text string) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Struct, reflect.Map, reflect.Interface:
		return "sent as JSON: a form cannot hold it"
	case reflect.String:
		return "a number"
	}
	return describeInstead(t, text)
}
