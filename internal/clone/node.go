package clone

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/stay-go/stay/internal/footprint"
	"github.com/stay-go/stay/internal/normal"
)

// A node copies values of one type. Nodes form a graph: the node of a type
// that contains itself, through slices or maps, is its own descendant.
type node struct {
	// flat: an assignment is a deep copy.
	flat bool
	// own: unshare calls methods of the type.
	own bool
	// unshare gets a settable value that is a shallow copy and replaces
	// everything in it that is still shared. from is the value at the same
	// place in the value whose strings stay, invalid if there is none. unshare
	// returns how many bytes the copy takes in memory in addition to v itself,
	// as far as it sees them; strings count if they are not flat. It is nil if
	// flat.
	unshare func(v, from reflect.Value, at place) (bytes int)

	size   int // of a value in its place
	fields []field
	key    *node
	elem   *node
}

// A place is where in a value a copy is made, and how.
type place struct {
	depth int
	own   bool // strings are copied too
}

// A field is a field of a struct that is not flat.
type field struct {
	index int
	node  *node
}

func (n *node) unshareStruct(v, from reflect.Value, at place) (bytes int) {
	var old reflect.Value
	for _, f := range n.fields {
		if from.IsValid() {
			old = from.Field(f.index)
		}
		bytes += f.node.unshare(v.Field(f.index), old, at)
	}
	return bytes
}

func (n *node) unshareArray(v, from reflect.Value, at place) (bytes int) {
	for i := range v.Len() {
		bytes += n.elem.unshare(v.Index(i), item(from, i), at)
	}
	return bytes
}

// item returns the item at i of a list, invalid if there is none.
func item(from reflect.Value, i int) reflect.Value {
	if !from.IsValid() || i >= from.Len() {
		return reflect.Value{}
	}
	return from.Index(i)
}

func (n *node) unsharePointer(v, from reflect.Value, at place) (bytes int) {
	if v.IsNil() {
		return 0
	}
	bytes = footprint.Bytes(n.elem.size)
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	if !n.elem.flat {
		if from.IsValid() {
			from = from.Elem() // invalid if it is nil
		}
		bytes += n.elem.unshare(c.Elem(), from, at.deeper())
	}
	v.Set(c)
	return bytes
}

func (n *node) unshareSlice(v, from reflect.Value, at place) (bytes int) {
	if v.IsNil() {
		return 0
	}
	bytes = footprint.Bytes(v.Len() * n.elem.size)
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(c, v)
	if !n.elem.flat {
		at = at.deeper()
		for i := range c.Len() {
			bytes += n.elem.unshare(c.Index(i), item(from, i), at)
		}
	}
	v.Set(c)
	return bytes
}

// unshareMap does not look for the value that from has under the same key:
// finding it costs as much as new strings.
func (n *node) unshareMap(v, _ reflect.Value, at place) (bytes int) {
	if v.IsNil() {
		return 0
	}
	bytes = footprint.Map(v.Len(), n.key.size, n.elem.size)
	at = at.deeper()
	t := v.Type()
	c := reflect.MakeMapWithSize(t, v.Len())
	key := reflect.New(t.Key()).Elem()
	elem := reflect.New(t.Elem()).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		elem.SetIterValue(it)
		if !n.key.flat {
			bytes += n.key.unshare(key, reflect.Value{}, at)
		}
		if !n.elem.flat {
			bytes += n.elem.unshare(elem, reflect.Value{}, at)
		}
		c.SetMapIndex(key, elem)
	}
	v.Set(c)
	return bytes
}

// unshareString gives v its own string, unless it is the one in from or strings
// are shared.
func unshareString(v, from reflect.Value, at place) (bytes int) {
	s := v.String()
	if bytes = footprint.Bytes(len(s)); !at.own {
		return bytes
	}
	if from.IsValid() {
		if f := from.String(); len(f) == len(s) && unsafe.StringData(f) == unsafe.StringData(s) {
			return bytes
		}
	}
	v.SetString(strings.Clone(s))
	return bytes
}

// unshareAny copies the value in an any. Its type is not known before, so it is
// looked at each time.
func unshareAny(v, _ reflect.Value, at place) (bytes int) {
	if v.IsNil() {
		return 0
	}
	c, bytes := copyAny(v.Interface(), at)
	v.Set(reflect.ValueOf(&c).Elem()) // nil where JSON has null
	return bytes
}

// The memory of values that an any holds by pointer, and of each place in a
// list.
const (
	boxedNumber = 8
	boxedString = 16
	boxedList   = 24
	boxSize     = 16
	stringSize  = 16
)

func copyAny(v any, at place) (c any, bytes int) {
	switch x := v.(type) {
	case nil, bool:
		return v, 0
	case float64:
		return v, boxedNumber
	case string:
		bytes = boxedString + footprint.Bytes(len(x))
		if at.own {
			return strings.Clone(x), bytes
		}
		return v, bytes
	case json.Number:
		bytes = boxedString + footprint.Bytes(len(x))
		if at.own {
			return json.Number(strings.Clone(string(x))), bytes
		}
		return v, bytes
	case []any:
		if x == nil {
			return v, 0
		}
		at = at.deeper()
		bytes = boxedList + footprint.Bytes(len(x)*boxSize)
		c := make([]any, len(x))
		for i, e := range x {
			elem, more := copyAny(e, at)
			c[i] = elem
			bytes += more
		}
		return c, bytes
	case map[string]any:
		if x == nil {
			return v, 0
		}
		at = at.deeper()
		bytes = footprint.Map(len(x), stringSize, boxSize)
		c := make(map[string]any, len(x))
		for k, e := range x {
			elem, more := copyAny(e, at)
			bytes += footprint.Bytes(len(k)) + more
			if at.own {
				k = strings.Clone(k)
			}
			c[k] = elem
		}
		return c, bytes
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = normal.CheckAny(b)
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		panic(fmt.Errorf("clone: a %T in an any cannot be copied: %w", v, err))
	}
	return copyAny(c, at) // for its size
}

// deeper counts a level of nesting. It allows one more than MaxDepth, because a
// pointer at the end of the chain is no level in JSON. A value that is too deep
// is cyclic or practically so; a panic can be recovered from, unlike a stack
// overflow.
func (p place) deeper() place {
	if p.depth > MaxDepth {
		panic(fmt.Errorf("clone: the value is cyclic or nested deeper than %d levels", MaxDepth))
	}
	p.depth++
	return p
}
