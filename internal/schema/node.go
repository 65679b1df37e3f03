package schema

import (
	"reflect"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// A shape says how the values of a type are written in JSON.
type shape uint8

const (
	// object: a struct, walked field by field. The zero shape is that of a
	// leaf, which is read and written as a whole.
	object shape = iota + 1
	pointer
	slice
	array
	mapping
)

// A node describes one type. Nodes form a graph: the node of a type that
// contains itself, through slices or maps, is its own descendant.
type node struct {
	shape shape
	typ   reflect.Type
	// scalar is the kind of a leaf that is a plain string, boolean or number,
	// otherwise Invalid.
	scalar reflect.Kind
	// readsNull says that the type's own UnmarshalJSON decides what null is.
	readsNull bool
	// formed says that a value with several forms is reached from here.
	formed bool
	// timeKeys: the keys of a map are times.
	timeKeys bool
	// times are where a struct that reads itself has times.
	times [][]int
	// elem is the node that a pointer, slice, array or map leads to.
	elem *node
	// fields of an object, and their positions by JSON name.
	fields []field
	byName map[string]int
	// spelled are the positions of fields by other spellings of their names.
	spelled map[string]int
}

// A field is a field of an object.
type field struct {
	jsonwalk.Field
	node    *node
	private bool
	// signed: the tag leaves out a negative zero.
	signed bool
}

// merges reports whether a value present in JSON is merged over the initial
// value instead of replacing it.
func (n *node) merges() bool {
	return n.shape == object || n.shape == pointer && n.elem.shape == object
}

// position returns the position of the field whose name in JSON is quoted.
func (n *node) position(quoted []byte) (i int, known bool) {
	if jsonwalk.Plain(quoted) {
		i, known = n.byName[string(quoted[1:len(quoted)-1])] // does not allocate
		return i, known
	}
	i, known = n.byName[jsonwalk.Unquote(quoted)]
	return i, known
}

// object returns the node of the struct that n is or points to, or nil.
func (n *node) object() *node {
	switch {
	case n.shape == object:
		return n
	case n.shape == pointer && n.elem.shape == object:
		return n.elem
	}
	return nil
}
