package staytest

import (
	"encoding/json"
	"reflect"
	"time"
)

// sample returns the JSON of a state in which no field is zero that can be
// anything else: the initial state, filled up.
func (g *golden) sample() string {
	initial, err := g.state.Decode(g.state.Version(), []byte("{}"))
	if err != nil {
		return err.Error() // cannot happen: the initial state is valid
	}
	text := indented(initial)
	fill(reflect.ValueOf(initial).Elem(), map[reflect.Type]bool{})
	if b, err := json.Marshal(initial); err == nil {
		if v, err := g.state.Decode(g.state.Version(), b); err == nil {
			text = indented(v)
		}
	}
	return text
}

// fill sets the zero fields of v. It leaves alone what has its own rules, and
// does not enter a struct that it is already in.
func fill(v reflect.Value, open map[reflect.Type]bool) {
	t := v.Type()
	switch {
	case t == timeType:
		if v.IsZero() {
			v.Set(reflect.ValueOf(time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)))
		}
		return
	case marshalsItself(t) || open[t]:
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		open[t] = true
		for i := range t.NumField() {
			// The fields of an embedded struct can be set, exported or not.
			if f := t.Field(i); f.IsExported() || f.Anonymous {
				fill(v.Field(i), open)
			}
		}
		delete(open, t)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		fill(v.Elem(), open)
	case reflect.Slice:
		if v.Len() == 0 && !open[t.Elem()] {
			v.Set(reflect.MakeSlice(t, 1, 1))
		}
		fillItems(v, open)
	case reflect.Array:
		fillItems(v, open)
	case reflect.Map:
		if v.Len() == 0 && !open[t.Elem()] {
			key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			fill(key, open)
			fill(elem, open)
			v.Set(reflect.MakeMap(t))
			v.SetMapIndex(key, elem)
		}
	default:
		fillScalar(v)
	}
}

func fillItems(v reflect.Value, open map[reflect.Type]bool) {
	for i := range v.Len() {
		fill(v.Index(i), open)
	}
}

func fillScalar(v reflect.Value) {
	if !v.IsZero() {
		return
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1.5)
	case v.Kind() == reflect.Interface && v.NumMethod() == 0:
		v.Set(reflect.ValueOf("x"))
	}
}
