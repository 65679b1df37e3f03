package bind

import (
	"errors"
	"fmt"
	"reflect"
)

// A making makes the value of one payload. It begins with a copy of what the
// destination holds, and copies everything that this points to before it
// changes it. So a refused payload changes nothing, neither here nor for others
// who hold parts of the value.
type making struct {
	allowance
	b *Binder
	// made are the pointers in structs that point to values made here.
	made map[uintptr]bool
}

// pointee returns a pointer to a copy of what v points to, or to a zero value
// if v is nil.
func (m *making) pointee(v reflect.Value) (reflect.Value, error) {
	t := v.Type().Elem()
	if v.IsNil() {
		if err := m.take(1, t.Size()); err != nil {
			return v, err
		}
	}
	p := reflect.New(t)
	if !v.IsNil() {
		p.Elem().Set(v.Elem())
	}
	return p, nil
}

// settle follows pointers, and replaces each by a pointer to a copy first.
func (m *making) settle(v reflect.Value) (reflect.Value, error) {
	for v.Kind() == reflect.Pointer {
		if !m.made[v.Pointer()] {
			p, err := m.pointee(v)
			if err != nil {
				return v, err
			}
			if m.made == nil {
				m.made = make(map[uintptr]bool)
			}
			m.made[p.Pointer()] = true
			v.Set(p)
		}
		v = v.Elem()
	}
	return v, nil
}

// at returns the field of a struct that the index leads to.
func (m *making) at(v reflect.Value, index []int) (reflect.Value, error) {
	for _, i := range index {
		var err error
		if v, err = m.settle(v); err != nil {
			return v, err
		}
		v = v.Field(i)
	}
	return v, nil
}

// replace returns an error if replacing the value of v would lose something
// that only the program may set, or give it to something else. A client cannot
// say which of its items are which of the existing ones.
func (m *making) replace(n *node, v reflect.Value) error {
	if m.keeps(n, v) {
		return fault("kept")
	}
	return nil
}

func (m *making) keeps(n *node, v reflect.Value) bool {
	switch n.typ.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return false
		}
		held := v.Elem()
		return m.keeps(m.b.destination(held.Type()).node, held)
	case reflect.Slice, reflect.Map:
		return n.guarded && v.Len() > 0
	}
	return n.guarded && !v.IsZero()
}

// unshare replaces v, whose type decodes itself, by a copy that shares nothing:
// the type's methods may write to everything that it points to.
func (m *making) unshare(v reflect.Value) error {
	if v.IsZero() {
		return nil
	}
	plan := m.b.planOf(v.Type())
	if plan == nil {
		return fmt.Errorf("bind: the destination holds a %s that is not empty, which cannot be copied and may be shared: bind to an empty one", v.Type())
	}
	if !plan.Flat() {
		v.Set(reflect.ValueOf(plan.Copy(v.Addr().Interface())).Elem())
	}
	return nil
}

// copyMap returns a new map with the entries of v and room for more.
func copyMap(v reflect.Value, more int) reflect.Value {
	c := reflect.MakeMapWithSize(v.Type(), v.Len()+more)
	for it := v.MapRange(); it.Next(); {
		c.SetMapIndex(it.Key(), it.Value())
	}
	return c
}

// within adds to an error which part it is about: the member with the name, or
// the item with the index.
func within(err error, part any) error {
	var e *Error
	if errors.As(err, &e) && !e.TooLarge {
		e.path = append(e.path, part)
	}
	return err
}

// located adds the field that the error is about, in the form that clients
// know: address.city, items[2].price.
func located(err error) error {
	var e *Error
	if !errors.As(err, &e) || len(e.path) == 0 {
		return err
	}
	e.Field, e.path = join(e.path), nil
	return err
}

// join returns the name of a path whose last part comes first. It shortens a
// long name.
func join(path []any) string {
	var name []byte
	for i := len(path) - 1; i >= 0 && len(name) <= maxField; i-- {
		switch part := path[i].(type) {
		case int:
			name = fmt.Appendf(name, "[%d]", part)
		case string:
			if len(name) > 0 {
				name = append(name, '.')
			}
			name = append(name, part[:min(len(part), maxField+1)]...)
		}
	}
	return shorten(string(name))
}
