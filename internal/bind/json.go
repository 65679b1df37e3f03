package bind

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// JSON binds one JSON value to dst. Names must match exactly and occur once in
// a struct. A name of a field tagged stay:"private" or stay:"key" is an error,
// and so is an unknown name unless ignore returns true for it; a nil ignore
// leaves out none. Otherwise the rules are those of encoding/json, except that
// lists and values of maps are always new, and keep nothing of what was there
// before; that a time may have the forms of HTML, and never gets the zone of
// this machine; and that an integer that an any would round is an error.
//
// The error is [*Errors] for values that do not fit, another [*Error], or the
// program's; see [Binder.Value]. It is malformed if data is empty, is not JSON,
// has something after the value or is nested deeper than 1000 levels.
func (b *Binder) JSON(data []byte, dst any, ignore func(name string) bool) (err error) {
	v, d, err := b.target(dst)
	if err != nil {
		return err
	}
	if err := jsonwalk.Check(data); err != nil {
		message := "is not valid JSON: " + err.Error()
		if len(data) == 0 {
			message = "is empty, where JSON is needed"
		}
		return &Error{Key: "json", Message: "the payload " + message, Malformed: true, Err: err}
	}
	lengths, err := survey(data)
	if err != nil {
		return err
	}
	defer recovered(&err)
	r := &reader{making: making{b: b, allowance: allowanceFor(len(data))}, c: jsonwalk.NewCursor(data), lengths: lengths, ignore: ignore}
	fresh := reflect.New(v.Type())
	fresh.Elem().Set(v)
	err = r.value(d.node, fresh.Elem(), false)
	if e, ok := err.(*Error); ok && len(e.path) > 0 {
		err = r.collect(err)
	}
	if err := r.result(err, fresh.Interface()); err != nil {
		return err
	}
	v.Set(fresh.Elem())
	return nil
}

// A reader reads one payload of JSON.
type reader struct {
	making
	collection
	c       *jsonwalk.Cursor
	lengths []length // of the lists and objects ahead
	ignore  func(name string) bool
	path    []any // where the value is, the outermost first; kept only for ignore
}

// length returns how many members the next value has, which is a list or an
// object; 0 if they are few.
func (r *reader) length() int {
	for len(r.lengths) > 0 && r.lengths[0].pos < r.c.Offset() {
		r.lengths = r.lengths[1:]
	}
	if len(r.lengths) > 0 && r.lengths[0].pos == r.c.Offset() {
		return r.lengths[0].members
	}
	return 0
}

// value reads the next value into v. v itself is not yet part of anything else,
// but what v points to may be.
func (r *reader) value(n *node, v reflect.Value, quoted bool) error {
	first := r.c.Kind()
	switch {
	case quoted && first != 'n':
		return r.quoted(n, v)
	case n.json:
		return r.own(v)
	case first == 'n':
		return r.null(n, v)
	case n.text:
		return r.text(n, v)
	}
	switch n.typ.Kind() {
	case reflect.Pointer:
		return r.pointer(n, v)
	case reflect.Interface:
		return r.any(n, v)
	case reflect.Struct:
		return r.object(n, v)
	case reflect.Map:
		return r.mapping(n, v)
	case reflect.Slice, reflect.Array:
		return r.list(n, v)
	}
	if raw := r.c.Skip(); !setScalar(v, first, raw) {
		key, args := keyFor(n.typ, string(raw))
		return misfit(key, args...)
	}
	return nil
}

// unlike is the error for a value of another kind than the type's.
func unlike(n *node) error { return misfit(keyOf(n.typ)) }

// null sets v to nil. It leaves a v alone that cannot be nil.
func (r *reader) null(n *node, v reflect.Value) error {
	r.c.Skip()
	switch n.typ.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		if err := r.replace(n, v); err != nil {
			return err
		}
		v.SetZero()
	}
	return nil
}

// own lets a type decode itself.
func (r *reader) own(v reflect.Value) error {
	if err := r.unshare(v); err != nil {
		return err
	}
	raw := r.c.Skip()
	if err := r.takeText(len(raw)); err != nil {
		return err
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw); err != nil {
		if v.Type() == timeType {
			return setTime(v, strings.Trim(string(raw), `"`))
		}
		return unfit(err)
	}
	settleTime(v)
	return nil
}

func (r *reader) text(n *node, v reflect.Value) error {
	if r.c.Kind() != '"' {
		return unlike(n)
	}
	if err := r.unshare(v); err != nil {
		return err
	}
	raw := r.c.Skip()
	if err := r.takeText(len(raw)); err != nil {
		return err
	}
	text := []byte(jsonwalk.Unquote(raw))
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
		return unfit(err)
	}
	settleTime(v)
	return nil
}

// quoted reads a value that the string option of a json tag has put in quotes.
func (r *reader) quoted(n *node, v reflect.Value) error {
	first, raw := r.c.Kind(), r.c.Skip()
	if first == '"' {
		if inner := []byte(jsonwalk.Unquote(raw)); isLiteral(inner) {
			sub := reader{making: r.making, c: jsonwalk.NewCursor(inner)}
			err := sub.value(n, v, false)
			r.making = sub.making
			return err
		}
	}
	return misfit(quoted + keyOf(n.typ))
}

// isLiteral reports whether text is exactly one JSON value that is no list or
// object.
func isLiteral(text []byte) bool {
	if len(text) == 0 || jsonwalk.Check(text) != nil {
		return false
	}
	first := jsonwalk.NewCursor(text).Kind()
	return first != '{' && first != '[' && len(jsonwalk.NewCursor(text).Skip()) == len(text)
}

func (r *reader) pointer(n *node, v reflect.Value) error {
	p, err := r.pointee(v)
	if err != nil {
		return err
	}
	if err := r.value(n.elem, p.Elem(), false); err != nil {
		return err
	}
	v.Set(p)
	return nil
}

func (r *reader) object(n *node, v reflect.Value) error {
	if r.c.Kind() != '{' {
		r.c.Skip()
		return unlike(n)
	}
	var few [64]bool
	seen := few[:]
	if len(n.fields) > len(few) {
		seen = make([]bool, len(n.fields))
	}
	for r.c.Enter(); r.c.More(); {
		quoted := r.c.Name()
		f, i := n.byQuoted(quoted)
		switch {
		case f == nil:
			name := jsonwalk.Unquote(quoted)
			if n.reserved[name] || !r.ignored(name) {
				return within(fault("unknown"), name)
			}
			r.c.Skip()
			continue
		case seen[i]:
			return within(fault("twice"), f.Name)
		}
		seen[i] = true
		at, err := r.at(v, f.Index)
		if err == nil {
			err = r.member(f, at)
		}
		if err != nil {
			return within(err, f.Name)
		}
	}
	return nil
}

// member reads the next value into the field of a struct. If it does not fit,
// the misfit is collected, and reading goes on behind it.
func (r *reader) member(f *field, at reflect.Value) error {
	start, ahead, before := *r.c, r.lengths, len(r.misfits)
	if f.optional && f.isTime() && r.c.Kind() == '"' && string(r.c.Skip()) == `""` {
		at.SetZero() // an empty date input of a page, in JSON
		return nil
	}
	*r.c = start
	if r.ignore != nil {
		r.path = append(r.path, f.Name)
	}
	err := r.value(f.node, at, f.Quoted)
	r.leave()
	if len(r.misfits) > before {
		r.inside(before, f.Name)
	}
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok && e.Misfit && len(r.misfits) < maxErrors {
		*r.c, r.lengths = start, ahead
		r.c.Skip()
		at.SetZero()
		err = r.collect(within(err, f.Name))
	}
	return err
}

// inside adds the name of a part to the misfits from index before on.
func (r *reader) inside(before int, part any) {
	for _, e := range r.misfits[before:] {
		e.path = append(e.path, part)
	}
}

// leave removes the last part of the path.
func (r *reader) leave() {
	if r.ignore != nil {
		r.path = r.path[:len(r.path)-1]
	}
}

// ignored reports whether an unknown name is to be left out.
func (r *reader) ignored(name string) bool {
	if r.ignore == nil {
		return false
	}
	path := make([]any, 0, len(r.path)+1)
	path = append(append(path, r.path...), name)
	slices.Reverse(path)
	return r.ignore(join(path))
}

func (r *reader) mapping(n *node, v reflect.Value) error {
	if r.c.Kind() != '{' {
		r.c.Skip()
		return unlike(n)
	}
	if err := r.replace(n, v); err != nil {
		return err
	}
	size, keySize, elemSize := r.length(), n.typ.Key().Size(), n.elem.typ.Size()
	if err := r.takeMap(size, keySize, elemSize); err != nil {
		return err
	}
	v.Set(copyMap(v, size))
	var key, elem reflect.Value
	i := 0
	for r.c.Enter(); r.c.More(); i++ {
		name := jsonwalk.Unquote(r.c.Name())
		if err := r.takeEntry(i, size, keySize, elemSize); err != nil {
			return err
		}
		if i == 0 {
			key, elem = reflect.New(n.typ.Key()).Elem(), reflect.New(n.elem.typ).Elem()
		}
		key.SetZero()
		elem.SetZero()
		if err := setKey(key, name); err != nil {
			return within(err, name)
		}
		if err := r.part(n.elem, elem, func() any { return name }); err != nil {
			return err
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

func setKey(key reflect.Value, name string) error {
	if u, ok := key.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(name)); err != nil {
			return unfit(err)
		}
		settleTime(key)
		return nil
	}
	switch {
	case key.Kind() == reflect.String:
		key.SetString(name)
		return nil
	case key.CanInt():
		i, err := strconv.ParseInt(name, 10, key.Type().Bits())
		key.SetInt(i)
		if err == nil {
			return nil
		}
	case key.CanUint():
		u, err := strconv.ParseUint(name, 10, key.Type().Bits())
		key.SetUint(u)
		if err == nil {
			return nil
		}
	}
	what, args := keyFor(key.Type(), name)
	return misfit(named+what, args...)
}

// part reads the next value, which is an item of a list or a value of a map.
// name returns its name, and is called only if that is needed.
func (r *reader) part(n *node, v reflect.Value, name func() any) error {
	before := len(r.misfits)
	if r.ignore != nil {
		r.path = append(r.path, name())
	}
	err := r.value(n, v, false)
	r.leave()
	if len(r.misfits) > before {
		r.inside(before, name())
	}
	if err != nil {
		return within(err, name())
	}
	return nil
}

func (r *reader) list(n *node, v reflect.Value) error {
	first := r.c.Kind()
	if first == '"' && n.typ.Kind() == reflect.Slice && n.elem.typ.Kind() == reflect.Uint8 {
		return r.bytes(n, v)
	}
	if first != '[' {
		r.c.Skip()
		return unlike(n)
	}
	if err := r.replace(n, v); err != nil {
		return err
	}
	if n.typ.Kind() == reflect.Array {
		v.SetZero()
	} else {
		v.Set(n.empty)
		if err := r.grow(v, r.length()); err != nil {
			return err
		}
	}
	i := 0
	for r.c.Enter(); r.c.More(); i++ {
		switch {
		case n.typ.Kind() == reflect.Slice:
			if i == v.Cap() {
				if err := r.grow(v, max(1, i)); err != nil {
					return err
				}
			}
			v.SetLen(i + 1)
		case i == v.Len():
			return misfit("too_many", i)
		}
		if err := r.part(n.elem, v.Index(i), func() any { return i }); err != nil {
			return err
		}
	}
	return nil
}

// grow makes room for more items of the slice v.
func (r *reader) grow(v reflect.Value, more int) error {
	if err := r.take(v.Len()+more, v.Type().Elem().Size()); err != nil {
		return err
	}
	v.Grow(more)
	return nil
}
