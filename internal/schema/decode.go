package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// Decode reads a stored value and merges it over the initial value. Struct
// fields merge recursively: an absent field has its initial value, at any
// depth. A pointer to a struct is a copy of the initial one if it is absent,
// merged over it (over zero if that is nil) if it is present, and nil if it is
// null. Everything else is replaced as a whole, and null is the zero value.
// Names must match exactly. Fields that S does not know are returned in extra,
// otherwise nil.
//
// Anything except one JSON object whose values fit is an error. So are a name
// that occurs twice in a struct, a list that is longer than its array and a
// panic in a type's own UnmarshalJSON. After an error, v and extra are nil.
func (s *Schema) Decode(b []byte) (v any, extra *Extra, err error) {
	return s.decode(&input{Cursor: *jsonwalk.NewCursor(b)}, b)
}

// An input is JSON that is being read.
type input struct {
	jsonwalk.Cursor
	// strict: what would be lost in reading is an error. What was just written
	// is read so, while a record stays readable that has come from elsewhere.
	strict bool
	// strays are noted if there is a list for them.
	strays *[]Stray
}

func (s *Schema) decode(c *input, b []byte) (v any, extra *Extra, err error) {
	if err := jsonwalk.Check(b); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			v, extra = nil, nil
		}
	}()
	defer recovered(&err)
	if c.Kind() != '{' {
		return nil, nil, fmt.Errorf("%s where an object is needed", kindName(c.Kind()))
	}
	v = s.Initial()
	if extra, err = s.top.readObject(c, reflect.ValueOf(v).Elem()); err != nil {
		return nil, nil, err
	}
	return s.normal(v), extra, nil
}

// read reads the value at the cursor into v, which holds its initial value.
func (n *node) read(c *input, v reflect.Value, quoted bool) (*Extra, error) {
	if n.merges() && c.Kind() != 'n' {
		if n.shape == pointer {
			if v.IsNil() {
				v.Set(reflect.New(n.elem.typ))
			}
			return n.elem.readObject(c, v.Elem())
		}
		return n.readObject(c, v)
	}
	v.SetZero()
	return nil, n.replace(c, v, quoted)
}

// replace reads the value at the cursor into v, which is zero. It drops the
// unknown fields of structs that are reached this way: they have no place that
// survives a change of the list or map around them.
func (n *node) replace(c *input, v reflect.Value, quoted bool) error {
	if c.Kind() == 'n' {
		raw := c.Skip()
		if n.readsNull {
			// A type may have its own value that is written as null. A type
			// that does not know null is zero.
			if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
				v.SetZero()
			}
		}
		return nil
	}
	switch n.shape {
	case object:
		_, err := n.readObject(c, v)
		return err
	case pointer:
		v.Set(reflect.New(n.elem.typ))
		return n.elem.replace(c, v.Elem(), quoted)
	case slice:
		return n.readSlice(c, v)
	case array:
		return n.readArray(c, v)
	case mapping:
		return n.readMap(c, v)
	default:
		return n.readLeaf(c, v, quoted)
	}
}

func (n *node) readObject(c *input, v reflect.Value) (*Extra, error) {
	if c.Kind() != '{' {
		return nil, fmt.Errorf("%s where an object is needed", kindName(c.Kind()))
	}
	var extra Extra
	seen := make([]bool, len(n.fields))
	var unknown map[string]bool
	var strays []stray
	for c.Enter(); c.More(); {
		quoted := c.Name()
		i, known := n.position(quoted)
		if !known {
			name := jsonwalk.Unquote(quoted)
			if unknown[name] {
				return nil, fmt.Errorf("the name %q occurs twice", name)
			}
			if unknown == nil {
				unknown = make(map[string]bool)
			}
			unknown[name] = true
			extra.add(quoted, c.Skip())
			if c.strays != nil {
				if i, ok := n.spelled[spelling(name)]; ok {
					strays = append(strays, stray{name, i})
				}
			}
			continue
		}
		f := &n.fields[i]
		if seen[i] {
			return nil, fmt.Errorf("the name %q occurs twice", f.Name)
		}
		seen[i] = true
		below, err := f.node.read(c, v.FieldByIndex(f.Index), f.Quoted)
		if err != nil {
			return nil, within(f.Name, err)
		}
		if below != nil {
			extra.put(i, below)
		}
	}
	for _, s := range strays {
		if !seen[s.field] {
			*c.strays = append(*c.strays, n.stray(s))
		}
	}
	return extra.orNil(), nil
}

func (n *node) readSlice(c *input, v reflect.Value) error {
	if c.Kind() != '[' {
		return fmt.Errorf("%s where a list is needed", kindName(c.Kind()))
	}
	v.Set(reflect.MakeSlice(n.typ, 0, 0))
	i := 0
	for c.Enter(); c.More(); i++ {
		if i == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(i + 1)
		if err := n.elem.replace(c, v.Index(i), false); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

func (n *node) readArray(c *input, v reflect.Value) error {
	if c.Kind() != '[' {
		return fmt.Errorf("%s where a list is needed", kindName(c.Kind()))
	}
	i := 0
	for c.Enter(); c.More(); i++ {
		if i == v.Len() {
			return fmt.Errorf("a list of more than %d where an array is needed", v.Len())
		}
		if err := n.elem.replace(c, v.Index(i), false); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

func (n *node) readMap(c *input, v reflect.Value) error {
	if c.Kind() != '{' {
		return fmt.Errorf("%s where an object is needed", kindName(c.Kind()))
	}
	v.Set(reflect.MakeMap(n.typ))
	key, elem := reflect.New(n.typ.Key()).Elem(), reflect.New(n.elem.typ).Elem()
	for c.Enter(); c.More(); {
		name := jsonwalk.Unquote(c.Name())
		key.SetZero()
		elem.SetZero()
		if err := readKey(name, key); err != nil {
			return err
		}
		if err := n.elem.replace(c, elem, false); err != nil {
			return within(name, err)
		}
		if c.strict && v.MapIndex(key).IsValid() {
			return fmt.Errorf("two keys have the name %q in JSON", name)
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

func (n *node) readLeaf(c *input, v reflect.Value, quoted bool) error {
	first, raw := c.Kind(), c.Skip()
	if quoted {
		if first != '"' {
			return fmt.Errorf("%s where a quoted value is needed", kindName(first))
		}
		raw = []byte(jsonwalk.Unquote(raw))
	}
	if n.scalar != reflect.Invalid && !quoted {
		return n.readScalar(first, raw, v)
	}
	if c.strict && n.typ.Kind() == reflect.Interface {
		if err := normal.CheckAny(raw); err != nil {
			return err
		}
	}
	err := json.Unmarshal(raw, v.Addr().Interface())
	if err == nil {
		n.normalise(v)
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s where a %s is needed", mismatch.Value, mismatch.Type)
	}
	return err
}

// readScalar reads the common types without the cost of json.Unmarshal, and by
// the same rules.
func (n *node) readScalar(first byte, raw []byte, v reflect.Value) error {
	fits := false
	switch n.scalar {
	case reflect.String:
		if fits = first == '"'; fits {
			v.SetString(jsonwalk.Unquote(raw))
		}
	case reflect.Bool:
		if fits = first == 't' || first == 'f'; fits {
			v.SetBool(first == 't')
		}
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(string(raw), n.typ.Bits())
		if fits = err == nil; fits {
			v.SetFloat(f)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(string(raw), 10, n.typ.Bits())
		if fits = err == nil; fits {
			v.SetUint(u)
		}
	default:
		i, err := strconv.ParseInt(string(raw), 10, n.typ.Bits())
		if fits = err == nil; fits {
			v.SetInt(i)
		}
	}
	switch {
	case fits:
		return nil
	case isNumber(first) && n.scalar != reflect.String && n.scalar != reflect.Bool:
		return fmt.Errorf("the number %s where a %s is needed", excerpt(raw), n.typ)
	}
	return fmt.Errorf("%s where a %s is needed", kindName(first), n.typ)
}

func isNumber(first byte) bool { return first == '-' || '0' <= first && first <= '9' }

// kindName names the kind of JSON value that begins with the byte.
func kindName(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
