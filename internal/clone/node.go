package clone

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unsafe"
)

// A node copies values of one type. Nodes form a graph: the node of a type
// that contains itself, through slices or maps, is its own descendant.
type node struct {
	// flat: an assignment is a deep copy.
	flat bool
	// own: unshare runs methods of the type.
	own bool
	// unshare is given a settable value that is a shallow copy and replaces
	// everything in it that is still shared. from is what is at the same place
	// in the value whose strings stay, invalid if there is nothing. It is nil
	// if flat.
	unshare func(v, from reflect.Value, depth int)

	fields []field
	key    *node
	elem   *node
}

// A field is one of a struct that is not flat.
type field struct {
	index int
	node  *node
}

func (n *node) unshareStruct(v, from reflect.Value, depth int) {
	var old reflect.Value
	for _, f := range n.fields {
		if from.IsValid() {
			old = from.Field(f.index)
		}
		f.node.unshare(v.Field(f.index), old, depth)
	}
}

func (n *node) unshareArray(v, from reflect.Value, depth int) {
	for i := range v.Len() {
		n.elem.unshare(v.Index(i), item(from, i), depth)
	}
}

// item returns what is at i in a list, invalid if there is nothing.
func item(from reflect.Value, i int) reflect.Value {
	if !from.IsValid() || i >= from.Len() {
		return reflect.Value{}
	}
	return from.Index(i)
}

func (n *node) unsharePointer(v, from reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	if !n.elem.flat {
		if from.IsValid() {
			from = from.Elem() // invalid if it is nil
		}
		n.elem.unshare(c.Elem(), from, deeper(depth))
	}
	v.Set(c)
}

func (n *node) unshareSlice(v, from reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(c, v)
	if !n.elem.flat {
		depth = deeper(depth)
		for i := range c.Len() {
			n.elem.unshare(c.Index(i), item(from, i), depth)
		}
	}
	v.Set(c)
}

// unshareMap does not look for what from has under the same key: finding it
// costs as much as new strings.
func (n *node) unshareMap(v, _ reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	depth = deeper(depth)
	t := v.Type()
	c := reflect.MakeMapWithSize(t, v.Len())
	key := reflect.New(t.Key()).Elem()
	elem := reflect.New(t.Elem()).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		elem.SetIterValue(it)
		if !n.key.flat {
			n.key.unshare(key, reflect.Value{}, depth)
		}
		if !n.elem.flat {
			n.elem.unshare(elem, reflect.Value{}, depth)
		}
		c.SetMapIndex(key, elem)
	}
	v.Set(c)
}

// ownString gives v a string of its own, unless it is the one in from.
func ownString(v, from reflect.Value, _ int) {
	s := v.String()
	if from.IsValid() {
		if f := from.String(); len(f) == len(s) && unsafe.StringData(f) == unsafe.StringData(s) {
			return
		}
	}
	v.SetString(strings.Clone(s))
}

// An anyCopier copies what an any holds. Its type is not known before, so it is
// looked at each time. A true one makes new strings too.
type anyCopier bool

func (owning anyCopier) unshare(v, _ reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	v.Set(reflect.ValueOf(owning.copy(v.Interface(), depth)))
}

func (owning anyCopier) copy(x any, depth int) any {
	switch x := x.(type) {
	case bool, float64:
		return x
	case string:
		return owning.text(x)
	case json.Number:
		return json.Number(owning.text(string(x)))
	case []any:
		if x == nil {
			return x
		}
		depth = deeper(depth)
		c := make([]any, len(x))
		for i, e := range x {
			c[i] = owning.copy(e, depth)
		}
		return c
	case map[string]any:
		if x == nil {
			return x
		}
		depth = deeper(depth)
		c := make(map[string]any, len(x))
		for k, e := range x {
			c[owning.text(k)] = owning.copy(e, depth)
		}
		return c
	case nil:
		return nil
	}
	var c any
	b, err := json.Marshal(x)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		panic(fmt.Errorf("clone: a %T in an any cannot be copied: %w", x, err))
	}
	return c
}

func (owning anyCopier) text(s string) string {
	if owning {
		return strings.Clone(s)
	}
	return s
}

// deeper counts a level of nesting. It allows one more than MaxDepth, as a
// pointer at the end of the chain is no level in JSON. A value that is too deep is cyclic or as
// good as that; a panic can be recovered from, unlike a stack overflow.
func deeper(depth int) int {
	if depth > MaxDepth {
		panic(fmt.Errorf("clone: the value is cyclic or nested deeper than %d levels", MaxDepth))
	}
	return depth + 1
}
