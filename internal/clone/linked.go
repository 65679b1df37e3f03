package clone

import (
	"fmt"
	"reflect"
)

// checkLinked refuses types that reach themselves through struct fields, arrays
// and pointers alone. Such a structure is a list or a graph whose values may be
// cyclic; neither a copy nor JSON preserves its meaning. A type that contains
// itself through a slice or a map, such as a tree of comments, is fine.
func checkLinked(t reflect.Type) error {
	c := linkChecker{state: make(map[reflect.Type]progress)}
	c.roots = append(c.roots, root{t, TypeName(t)})
	for len(c.roots) > 0 {
		r := c.roots[0]
		c.roots = c.roots[1:]
		if err := c.visit(r.typ, r.path); err != nil {
			return err
		}
	}
	return nil
}

type progress uint8

const (
	unseen progress = iota
	onPath
	done
)

// A root is a type that was reached through a slice or a map, where a new
// search begins.
type root struct {
	typ  reflect.Type
	path string
}

type linkChecker struct {
	state map[reflect.Type]progress
	roots []root
}

func (c *linkChecker) visit(t reflect.Type, path string) error {
	switch c.state[t] {
	case onPath:
		return fmt.Errorf("%s leads back to %s through pointers: use a slice, a map or ids instead of links", path, t)
	case done:
		return nil
	}
	if t == timeType || ownClone(t) != nil {
		return nil
	}
	c.state[t] = onPath
	defer func() { c.state[t] = done }()
	switch t.Kind() {
	case reflect.Pointer:
		return c.visit(t.Elem(), path)
	case reflect.Array:
		return c.visit(t.Elem(), path+"[]")
	case reflect.Slice, reflect.Map:
		if c.state[t.Elem()] == unseen {
			c.roots = append(c.roots, root{t.Elem(), path + "[]"})
		}
	case reflect.Struct:
		if MarshalsItself(t) {
			return nil
		}
		for i := range t.NumField() {
			if sf := t.Field(i); sf.IsExported() || sf.Anonymous {
				if err := c.visit(sf.Type, path+"."+sf.Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
