package clone

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// A node copies values of one type. Nodes form a graph: the node of a type
// that contains itself, through slices or maps, is its own descendant.
type node struct {
	// flat: an assignment is a deep copy.
	flat bool
	// own: unshare runs methods of the type.
	own bool
	// unshare is given a settable value that is a shallow copy and replaces
	// everything in it that is still shared. It is nil if flat.
	unshare func(v reflect.Value, depth int)

	fields []field
	key    *node
	elem   *node
}

// A field is one of a struct that is not flat.
type field struct {
	index int
	node  *node
}

func (n *node) unshareStruct(v reflect.Value, depth int) {
	for _, f := range n.fields {
		f.node.unshare(v.Field(f.index), depth)
	}
}

func (n *node) unshareArray(v reflect.Value, depth int) {
	for i := range v.Len() {
		n.elem.unshare(v.Index(i), depth)
	}
}

func (n *node) unsharePointer(v reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	if !n.elem.flat {
		n.elem.unshare(c.Elem(), deeper(depth))
	}
	v.Set(c)
}

func (n *node) unshareSlice(v reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(c, v)
	if !n.elem.flat {
		depth = deeper(depth)
		for i := range c.Len() {
			n.elem.unshare(c.Index(i), depth)
		}
	}
	v.Set(c)
}

func (n *node) unshareMap(v reflect.Value, depth int) {
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
			n.key.unshare(key, depth)
		}
		if !n.elem.flat {
			n.elem.unshare(elem, depth)
		}
		c.SetMapIndex(key, elem)
	}
	v.Set(c)
}

// unshareAny copies what an any holds. Its type is not known before, so it is
// looked at each time.
func unshareAny(v reflect.Value, depth int) {
	if v.IsNil() {
		return
	}
	v.Set(reflect.ValueOf(copyAny(v.Interface(), depth)))
}

func copyAny(x any, depth int) any {
	switch x := x.(type) {
	case bool, float64, string, json.Number:
		return x
	case []any:
		if x == nil {
			return x
		}
		depth = deeper(depth)
		c := make([]any, len(x))
		for i, e := range x {
			c[i] = copyAny(e, depth)
		}
		return c
	case map[string]any:
		if x == nil {
			return x
		}
		depth = deeper(depth)
		c := make(map[string]any, len(x))
		for k, e := range x {
			c[k] = copyAny(e, depth)
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

// deeper counts a level of nesting. It allows one more than MaxDepth, as a
// pointer at the end of the chain is no level in JSON. A value that is too deep is cyclic or as
// good as that; a panic can be recovered from, unlike a stack overflow.
func deeper(depth int) int {
	if depth > MaxDepth {
		panic(fmt.Errorf("clone: the value is cyclic or nested deeper than %d levels", MaxDepth))
	}
	return depth + 1
}
