package bind

import (
	"encoding/base64"
	"reflect"
	"strconv"
	"time"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// setScalar sets v to a JSON value that begins with the byte first, and reports
// whether it fits.
func setScalar(v reflect.Value, first byte, raw []byte) bool {
	t := v.Type()
	switch {
	case t == numberType:
		s := string(raw)
		if first == '"' {
			s = jsonwalk.Unquote(raw)
		}
		v.SetString(s)
		return isNumber(s)
	case t.Kind() == reflect.String:
		if first == '"' {
			v.SetString(jsonwalk.Unquote(raw))
		}
		return first == '"'
	case t.Kind() == reflect.Bool:
		v.SetBool(first == 't')
		return first == 't' || first == 'f'
	case v.CanInt():
		i, err := strconv.ParseInt(string(raw), 10, t.Bits())
		v.SetInt(i)
		return err == nil
	case v.CanUint():
		u, err := strconv.ParseUint(string(raw), 10, t.Bits())
		v.SetUint(u)
		return err == nil
	case v.CanFloat():
		f, err := strconv.ParseFloat(string(raw), t.Bits())
		v.SetFloat(f)
		return err == nil
	}
	return false
}

// isNumber reports whether s is a number in the form that JSON writes.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && isLiteral([]byte(s))
}

// settleTime gives a time that has just read itself the zone that it was
// written with. Package time gives it the zone of this machine if the two have
// the same offset at that moment, and calculations would use the rules of that
// zone.
func settleTime(v reflect.Value) {
	if t, ok := v.Addr().Interface().(*time.Time); ok {
		*t = normal.Time(*t)
	}
}

// setTime sets v, a time.Time, to a text in one of the forms that HTML's inputs
// send. They have no zone and count as UTC.
func setTime(v reflect.Value, text string) error {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			v.Set(reflect.ValueOf(normal.Time(t)))
			return nil
		}
	}
	return misfit("date")
}

// bytes reads base64.
func (r *reader) bytes(n *node, v reflect.Value) error {
	text := []byte(jsonwalk.Unquote(r.c.Skip()))
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	size, err := base64.StdEncoding.Decode(b, text)
	if err != nil {
		e := misfit("base64")
		e.Err = err
		return e
	}
	if err := r.replace(n, v); err != nil {
		return err
	}
	v.SetBytes(b[:size])
	return nil
}

// any reads into an interface. If it holds a pointer, any reads into what that
// points to, as for a pointer. An empty interface without a pointer gets what
// JSON makes of the value.
func (r *reader) any(n *node, v reflect.Value) error {
	if held := v.Elem(); held.Kind() == reflect.Pointer && !held.IsNil() {
		d := r.b.destination(held.Type())
		if d.mistake != nil {
			return d.mistake
		}
		p := reflect.New(held.Type()).Elem()
		p.Set(held)
		if err := r.value(d.node, p, false); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if err := r.replace(n, v); err != nil {
		return err
	}
	if n.typ.NumMethod() > 0 {
		r.c.Skip()
		return unlike(n)
	}
	x, err := r.generic()
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(&x).Elem())
	return nil
}

const (
	anySize    = 16
	stringSize = 16
	sliceSize  = 24
)

// generic reads the next value as encoding/json reads it into an any.
func (r *reader) generic() (any, error) {
	switch r.c.Kind() {
	case '{':
		return r.genericMap()
	case '[':
		return r.genericList()
	case '"':
		return jsonwalk.Unquote(r.c.Skip()), r.take(1, stringSize)
	case 't':
		r.c.Skip()
		return true, nil
	case 'f':
		r.c.Skip()
		return false, nil
	case 'n':
		r.c.Skip()
		return nil, nil
	}
	raw := r.c.Skip()
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil:
		key, args := keyFor(reflect.TypeFor[float64](), string(raw))
		return nil, misfit(key, args...)
	case !normal.ExactInteger(raw): // the id of one thing must not become that of another
		return nil, misfit("digits")
	}
	return f, r.take(1, 8)
}

func (r *reader) genericMap() (any, error) {
	size := r.length()
	if err := r.takeMap(size, stringSize, anySize); err != nil {
		return nil, err
	}
	m := make(map[string]any, size)
	i := 0
	for r.c.Enter(); r.c.More(); i++ {
		name := jsonwalk.Unquote(r.c.Name())
		if err := r.takeEntry(i, size, stringSize, anySize); err != nil {
			return nil, err
		}
		x, err := r.generic()
		if err != nil {
			return nil, within(err, name)
		}
		m[name] = x
	}
	return m, nil
}

func (r *reader) genericList() (any, error) {
	size := r.length()
	if err := r.take(1, sliceSize+uintptr(size)*anySize); err != nil {
		return nil, err
	}
	list := make([]any, 0, size)
	for r.c.Enter(); r.c.More(); {
		if len(list) == cap(list) {
			if err := r.take(2*len(list)+1, anySize); err != nil {
				return nil, err
			}
		}
		x, err := r.generic()
		if err != nil {
			return nil, within(err, len(list))
		}
		list = append(list, x)
	}
	return list, nil
}
