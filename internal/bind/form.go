package bind

import (
	"encoding"
	"fmt"
	"maps"
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
// the field; address.city names a field of a nested struct, items[0].name one of
// an item of a list. Items are numbered as the client likes: only the order
// counts. A name in another notation for a field is an error that says how to
// write it.
//
// Fields are strings, booleans (on, yes, true and 1; off, no, false, 0 and the
// empty string; the last of several counts), numbers within the range of their
// type, times (RFC 3339 and the forms of HTML's inputs), types with
// UnmarshalText, []byte for the text as it is, any for one string or a list of
// strings, and lists of these for names that occur several times, with or
// without [] behind the name. The space around numbers and times is left out. An
// empty value that is not a text means an absent value: for a pointer and a
// field with omitempty or omitzero, which become zero, and in a list, which
// leaves it out. Otherwise it does not fit, because the field is required.
//
// A name that leads to a field tagged stay:"private" or stay:"key" is an error.
// So is a name that dst does not have, unless it is [Foreign] or ignore returns
// true for it, and a name that leads to something that a form cannot hold.
//
// The error is [*Errors] for values that do not fit, another [*Error], or the
// program's; see [Binder.Value]. A form of more than [MaxValues] values is too
// large.
func (b *Binder) Form(values url.Values, dst any, ignore func(name string) bool) (err error) {
	v, d, err := b.target(dst)
	if err != nil {
		return err
	}
	size, err := formSize(values)
	if err != nil {
		return err
	}
	defer recovered(&err)
	f := &former{making: making{b: b, allowance: allowanceFor(size)}}
	fresh := reflect.New(v.Type())
	fresh.Elem().Set(v)
	if f.to, err = f.settle(fresh.Elem()); err != nil {
		return err
	}
	switch n := d.behind(); {
	case n.index != nil:
		err = f.fields(n, values, ignore)
	case n.typ.Kind() == reflect.Map && n.typ.Key().Kind() == reflect.String:
		err = f.entries(n, values)
	case len(values) > 0:
		err = fmt.Errorf("bind: a form cannot be bound to a %s", n.typ)
	}
	if err := f.result(err, fresh.Interface()); err != nil {
		return err
	}
	v.Set(fresh.Elem())
	return nil
}

// formSize returns the length of all names and values.
func formSize(values url.Values) (size int, err error) {
	count := 0
	for name, list := range values {
		if count += max(1, len(list)); count > MaxValues {
			return 0, tooManyValues()
		}
		for _, value := range list {
			size += len(name) + len(value)
		}
	}
	return size, nil
}

// A former makes the value of one form.
type former struct {
	making
	collection
	to reflect.Value // a struct or a map
}

// fields binds a form to a struct.
func (f *former) fields(n *node, values url.Values, ignore func(name string) bool) error {
	find := finder{root: n}
	places, unknown, err := find.all(values)
	if err != nil {
		return err
	}
	for _, name := range unknown {
		if !Foreign(name) && (ignore == nil || !ignore(shorten(name))) {
			return fault("unknown").of(name)
		}
	}
	for _, p := range places {
		at, err := f.locate(p)
		if err == nil {
			err = f.setField(p.node, at, p.values, p.optional)
		}
		if e, ok := err.(*Error); ok && e.Misfit {
			at.SetZero()
			err = f.collect(e.of(p.name))
		} else if ok && e.Key == "as_json" {
			err = e.of(p.name)
		} else if err != nil {
			err = within(err, p.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// locate makes the values on the way to a place.
func (f *former) locate(p *place) (at reflect.Value, err error) {
	at = f.to
	for _, s := range p.steps {
		if s.index != nil {
			at, err = f.at(at, s.index)
		} else {
			at, err = f.item(at, s)
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

// item returns an item of a list, and makes the list before its first item.
func (f *former) item(v reflect.Value, s step) (reflect.Value, error) {
	v, err := f.settle(v)
	if err != nil {
		return v, err
	}
	if !s.list.made {
		if err := f.replace(s.list.node, v); err != nil {
			return v, err
		}
		count := len(s.list.numbers)
		if err := f.take(count, v.Type().Elem().Size()); err != nil {
			return v, err
		}
		v.Set(reflect.MakeSlice(v.Type(), count, count))
		s.list.made = true
	}
	return v.Index(s.list.place(s.item)), nil
}

// entries binds a form to a map, in which every name is allowed.
func (f *former) entries(n *node, values url.Values) error {
	if !f.to.IsNil() {
		if err := f.replace(n, f.to); err != nil {
			return err
		}
		f.to.Set(copyMap(f.to, 0))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) == 0 || strings.HasPrefix(name, "_") {
			continue
		}
		if f.to.IsNil() {
			f.to.Set(reflect.MakeMap(n.typ))
		}
		elem := reflect.New(n.elem.typ).Elem()
		if err := f.takeEntry(f.to.Len(), 0, n.typ.Key().Size(), n.elem.typ.Size()); err != nil {
			return err
		}
		err := f.setField(n.elem, elem, values[name], false)
		if e, ok := err.(*Error); ok {
			err = e.of(name)
			if e.Misfit {
				err = f.collect(e)
				elem.SetZero()
			}
		}
		if err != nil {
			return err
		}
		f.to.SetMapIndex(reflect.ValueOf(name).Convert(n.typ.Key()), elem)
	}
	return nil
}

// setField sets v to the values of one name.
func (f *former) setField(n *node, v reflect.Value, values []string, optional bool) error {
	t := n.typ
	last := len(values) - 1
	if n.trims() {
		values = trimmed(values)
	}
	switch {
	case !n.fitsForm():
		return fault("as_json")
	case n.isList():
		return f.setList(n, v, values)
	case t.Kind() == reflect.Interface:
		if err := f.replace(n, v); err != nil {
			return err
		}
		if t.NumMethod() == 0 && len(values) > 1 {
			several := make([]any, len(values))
			for i, value := range values {
				several[i] = value
			}
			v.Set(reflect.ValueOf(several))
			return nil
		}
	case n.behind().isBool():
		values = values[last:] // the others are hidden companions of a checkbox
	}
	switch {
	case len(values) > 1:
		return misfit("several", len(values))
	case optional && values[0] == "" && !n.behind().holdsEmpty():
		v.SetZero()
		return nil
	}
	return f.setValue(n, v, values[0])
}

func (f *former) setList(n *node, v reflect.Value, values []string) error {
	if !n.elem.holdsEmpty() && n.elem.typ.Kind() != reflect.Pointer {
		values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
	}
	if err := f.take(len(values), n.elem.typ.Size()); err != nil {
		return err
	}
	list := reflect.MakeSlice(n.typ, len(values), len(values))
	for i, value := range values {
		if err := f.setValue(n.elem, list.Index(i), value); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// trims reports whether the space around values of n means nothing, as around
// numbers and times.
func (n *node) trims() bool {
	if n = n.behind(); n.isList() {
		n = n.elem.behind()
	}
	return !n.holdsEmpty() && !n.isBool()
}

// trimmed returns values without the space around them.
func trimmed(values []string) []string {
	spaced := func(value string) bool { return len(value) != len(strings.TrimSpace(value)) }
	if !slices.ContainsFunc(values, spaced) {
		return values
	}
	trimmed := make([]string, len(values))
	for i, value := range values {
		trimmed[i] = strings.TrimSpace(value)
	}
	return trimmed
}

// fitsForm reports whether a form can hold n.
func (n *node) fitsForm() bool {
	n = n.behind()
	if n.isList() {
		return !n.elem.behind().isList() && n.elem.fitsForm()
	}
	switch n.typ.Kind() {
	case reflect.Slice:
		return !n.json || n.text
	case reflect.Array, reflect.Struct, reflect.Map:
		return n.text
	case reflect.Interface:
		return n.typ.NumMethod() == 0
	}
	return n.text || !n.json
}

// isBool reports whether n is a boolean that does not read itself.
func (n *node) isBool() bool { return n.typ.Kind() == reflect.Bool && !n.json && !n.text }

// holdsEmpty reports whether an empty text can be a value of n. A type that
// reads itself decides about that itself.
func (n *node) holdsEmpty() bool {
	switch n.typ.Kind() {
	case reflect.String:
		return n.typ != numberType
	case reflect.Slice, reflect.Interface:
		return true
	}
	return n.text && n.typ != timeType
}

// setValue sets v to the meaning of one value of a form.
func (f *former) setValue(n *node, v reflect.Value, value string) error {
	if n.typ.Kind() == reflect.Pointer {
		if value == "" && n.elem.typ.Kind() != reflect.String {
			v.SetZero()
			return nil
		}
		if err := f.take(1, n.elem.typ.Size()); err != nil {
			return err
		}
		p := reflect.New(n.elem.typ)
		if err := f.setValue(n.elem, p.Elem(), value); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if value == "" && n.trims() {
		return misfit("required")
	}
	if n.text {
		if err := f.unshare(v); err != nil {
			return err
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(value)); err != nil {
			if n.typ == timeType {
				return setTime(v, value)
			}
			return unfit(err)
		}
		settleTime(v)
		return nil
	}
	if setBasic(v, value) {
		return nil
	}
	key, args := keyFor(n.typ, value)
	return misfit(key, args...)
}

// Truth returns the boolean that a value of a form means, if it means one.
func Truth(value string) (on, ok bool) {
	switch value {
	case "on", "yes", "true", "1":
		return true, true
	case "off", "no", "false", "0", "":
		return false, true
	}
	return false, false
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
		on, ok := Truth(value)
		v.SetBool(on)
		return ok
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
