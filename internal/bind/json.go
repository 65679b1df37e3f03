package bind

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// JSON binds one JSON value to dst. Names must match exactly and occur once in
// a struct; unknown names and names of fields tagged stay:"private" or
// stay:"key" are errors. Otherwise the rules are those of encoding/json, except
// that lists and values of maps are always new, and keep nothing of what was
// there before; that times never get the zone of this machine; and that an
// integer that an any would round is an error.
//
// The error is an [*Error], or is the program's; see [Binder.Value]. It is
// malformed if data is empty, is no JSON, has something after the value or is
// nested deeper than 1000 levels.
func (b *Binder) JSON(data []byte, dst any) (err error) {
	v, d, err := b.target(dst)
	if err != nil {
		return err
	}
	if err := jsonwalk.Check(data); err != nil {
		message := "is not valid JSON: " + err.Error()
		if len(data) == 0 {
			message = "is empty, where JSON is needed"
		}
		return &Error{Message: "the payload " + message, Malformed: true, Err: err}
	}
	lengths, err := survey(data)
	if err != nil {
		return err
	}
	defer recovered(&err)
	r := &reader{making: making{b: b, allowance: allowanceFor(len(data))}, c: jsonwalk.NewCursor(data), lengths: lengths}
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	if err := r.value(d.node, fresh, false); err != nil {
		return located(err)
	}
	v.Set(fresh)
	return nil
}

// A reader reads one payload of JSON.
type reader struct {
	making
	c       *jsonwalk.Cursor
	lengths []length // of the lists and objects ahead
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
		return invalid("", "must be %s", describeInstead(n.typ, string(raw)))
	}
	return nil
}

// misfit is the error for a value of another kind than the type's.
func misfit(n *node) error { return invalid("", "must be %s", describe(n.typ)) }

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
		return unfit("", err)
	}
	settleTime(v)
	return nil
}

func (r *reader) text(n *node, v reflect.Value) error {
	if r.c.Kind() != '"' {
		return misfit(n)
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
		return unfit("", err)
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
	return invalid("", "must be %s, in quotes", describe(n.typ))
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
		return misfit(n)
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
			return within(invalid("", "is not a field"), jsonwalk.Unquote(quoted))
		case seen[i]:
			return within(invalid("", "occurs twice"), f.Name)
		}
		seen[i] = true
		at, err := r.at(v, f.Index)
		if err == nil {
			err = r.value(f.node, at, f.Quoted)
		}
		if err != nil {
			return within(err, f.Name)
		}
	}
	return nil
}

func (r *reader) mapping(n *node, v reflect.Value) error {
	if r.c.Kind() != '{' {
		r.c.Skip()
		return misfit(n)
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
		if err := r.value(n.elem, elem, false); err != nil {
			return within(err, name)
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

func setKey(key reflect.Value, name string) error {
	if u, ok := key.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(name)); err != nil {
			return unfit("", err)
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
	return invalid("", "must have a name that is %s", describeInstead(key.Type(), name))
}

func (r *reader) list(n *node, v reflect.Value) error {
	first := r.c.Kind()
	if first == '"' && n.typ.Kind() == reflect.Slice && n.elem.typ.Kind() == reflect.Uint8 {
		return r.bytes(n, v)
	}
	if first != '[' {
		r.c.Skip()
		return misfit(n)
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
			return invalid("", "has more than %d items", i)
		}
		if err := r.value(n.elem, v.Index(i), false); err != nil {
			return within(err, i)
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

// describeInstead names what fits t in place of text, which does not fit. It
// includes the range of t if text is a whole number, so that only its size can
// be the reason.
func describeInstead(t reflect.Type, text string) string {
	digits := strings.TrimPrefix(text, "-")
	whole := digits != "" && strings.Trim(digits, "0123456789") == ""
	switch v := reflect.Zero(t); {
	case whole && v.CanInt():
		most := int64(math.MaxInt64) >> (64 - t.Bits())
		return fmt.Sprintf("a whole number from %d to %d", -most-1, most)
	case whole && v.CanUint():
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	}
	return describe(t)
}

// describe names the JSON that fits t.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		if t == numberType {
			return "a number"
		}
		return "text"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return describe(t.Elem())
	}
	return "a " + t.String()
}
