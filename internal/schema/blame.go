package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// deepestBlame is how many levels of a value are looked through for what could
// not be written. The value may contain itself.
const deepestBlame = 10

// blame returns why v could not be written, which was err, with the name of the
// field: a field that alone cannot be written either.
func (s *Schema) blame(v any, err error) (blamed error) {
	defer func() {
		if recover() != nil { // of the type's own methods
			blamed = err
		}
	}()
	return s.top.blame(reflect.ValueOf(v).Elem(), err, deepestBlame)
}

// blame returns err, or the error of the part of v that caused it, with its path.
func (n *node) blame(v reflect.Value, err error, levels int) error {
	if levels == 0 {
		return err
	}
	part := func(below *node, v reflect.Value, name string) error {
		if cause := writing(v); cause != nil {
			return within(name, below.blame(v, cause, levels-1))
		}
		return nil
	}
	var blamed error
	switch n.shape {
	case object:
		for i := range n.fields {
			f := &n.fields[i]
			at := v.FieldByIndex(f.Index)
			if omitted := (f.OmitEmpty || f.OmitZero) && at.IsZero(); !omitted && blamed == nil {
				blamed = part(f.node, at, f.Name)
			}
		}
	case pointer:
		if !v.IsNil() {
			return n.elem.blame(v.Elem(), err, levels-1)
		}
	case slice, array:
		for i := 0; i < v.Len() && blamed == nil; i++ {
			blamed = part(n.elem, v.Index(i), fmt.Sprintf("[%d]", i))
		}
	case mapping:
		for it := v.MapRange(); blamed == nil && it.Next(); {
			blamed = part(n.elem, it.Value(), fmt.Sprint(it.Key()))
		}
	}
	if blamed != nil {
		return blamed
	}
	return err
}

// writing returns why v cannot be written as JSON.
func writing(v reflect.Value) error {
	if v.CanAddr() {
		v = v.Addr()
	}
	_, err := json.Marshal(v.Interface())
	return err
}
