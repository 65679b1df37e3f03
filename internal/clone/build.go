package clone

import (
	"fmt"
	"reflect"
	"time"
)

// A builder makes the nodes of one plan, one for each type.
type builder struct {
	nodes map[reflect.Type]*node
	// order lists the types in the order in which they were begun.
	order []reflect.Type
	// owning: the copies may get strings of their own.
	owning bool
	// opaque: not all memory of the values is seen.
	opaque bool
}

var timeType = reflect.TypeFor[time.Time]()

// build returns the node of t. A type that is met again while it is being built
// gets the unfinished node. That node is not flat, because only a slice, a map
// or a pointer leads back.
func (b *builder) build(t reflect.Type, path string) (*node, error) {
	if n, ok := b.nodes[t]; ok {
		return n, nil
	}
	n := &node{}
	b.nodes[t] = n
	b.order = append(b.order, t)
	if err := b.fill(n, t, path); err != nil {
		return nil, err
	}
	n.size = int(t.Size())
	if n.unshare == nil {
		n.flat = true
	}
	b.opaque = b.opaque || n.own
	return n, nil
}

func (b *builder) fill(n *node, t reflect.Type, path string) error {
	if t == timeType {
		return nil
	}
	byItself := ownClone(t)
	if byItself != nil && !b.owning {
		n.own, n.unshare = true, byItself
		return nil
	}
	begun := len(b.order)
	err := b.byKind(n, t, path)
	if err == nil {
		return nil
	}
	// If a type cannot be copied field by field, it may still copy itself, or
	// encode and decode itself. The nodes below are unfinished or lead to
	// unfinished ones.
	if byItself == nil {
		if !MarshalsItself(t) {
			return err
		}
		byItself = roundTrip(t)
	}
	for _, below := range b.order[begun:] {
		delete(b.nodes, below)
	}
	b.order = b.order[:begun]
	*n = node{own: true, unshare: byItself}
	return nil
}

// byKind fills n for a type that is copied part by part.
func (b *builder) byKind(n *node, t reflect.Type, path string) (err error) {
	switch t.Kind() {
	case reflect.String:
		if b.owning {
			n.unshare = unshareString
		}
		return nil
	case reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Struct:
		return b.fillStruct(n, t, path)
	case reflect.Array:
		if n.elem, err = b.build(t.Elem(), path+"[]"); err == nil && !n.elem.flat {
			n.unshare = n.unshareArray
		}
		return err
	case reflect.Pointer:
		n.unshare = n.unsharePointer
		n.elem, err = b.build(t.Elem(), path)
		return err
	case reflect.Slice:
		n.unshare = n.unshareSlice
		n.elem, err = b.build(t.Elem(), path+"[]")
		return err
	case reflect.Map:
		n.unshare = n.unshareMap
		if n.key, err = b.buildKey(t.Key(), path); err != nil {
			return err
		}
		n.elem, err = b.build(t.Elem(), path+"[]")
		return err
	case reflect.Interface:
		if t.NumMethod() == 0 {
			n.unshare = unshareAny
			return nil
		}
		return refuse(path, t, "use a concrete type or any")
	default:
		return refuse(path, t, "keep it outside the state")
	}
}

// buildKey refuses keys whose copy would be a different key.
func (b *builder) buildKey(t reflect.Type, path string) (*node, error) {
	if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
		return nil, fmt.Errorf("%s is a map with keys of type %s, and a copy of such a key is not equal to it: use strings or numbers as keys", path, t)
	}
	return b.build(t, path+"[key]")
}

func (b *builder) fillStruct(n *node, t reflect.Type, path string) error {
	if fromSync(t) {
		return refuse(path, t, "keep it outside the state")
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Name == "_" {
			continue
		}
		at := path + "." + sf.Name
		f, err := b.build(sf.Type, at)
		if err != nil {
			return err
		}
		if f.flat {
			continue
		}
		if !sf.IsExported() && (!sf.Anonymous || sf.Type.Kind() != reflect.Struct || f.own) {
			if b.owning && holdsOnlyStrings(sf.Type) {
				b.opaque = true
				continue // out of reach, but others cannot change it either
			}
			return fmt.Errorf("%s is unexported and holds references, so it cannot be copied: export it, or give %s a Clone method", at, TypeName(t))
		}
		n.fields = append(n.fields, field{index: i, node: f})
	}
	if len(n.fields) > 0 {
		n.unshare = n.unshareStruct
	}
	return nil
}

// holdsOnlyStrings reports whether an assignment of a t shares only strings.
func holdsOnlyStrings(t reflect.Type) bool {
	b := builder{nodes: make(map[reflect.Type]*node)}
	n, err := b.build(t, "")
	return err == nil && n.flat
}

// fromSync reports whether copying a value of t would copy a lock.
func fromSync(t reflect.Type) bool {
	return t.PkgPath() == "sync" || t.PkgPath() == "sync/atomic"
}

func refuse(path string, t reflect.Type, fix string) error {
	return fmt.Errorf("%s is of type %s, which cannot be copied: %s", path, t, fix)
}
