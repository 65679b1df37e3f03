package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// checkAny refuses what an any cannot keep of the value at the cursor: numbers
// that are rounded, as they become a float64, and names that occur twice.
func checkAny(c *jsonwalk.Cursor) error {
	switch first := c.Kind(); {
	case first == '{':
		seen := make(map[string]bool)
		for c.Enter(); c.More(); {
			name := jsonwalk.Unquote(c.Name())
			if seen[name] {
				return fmt.Errorf("the name %q occurs twice", name)
			}
			seen[name] = true
			if err := checkAny(c); err != nil {
				return within(name, err)
			}
		}
		return nil
	case first == '[':
		i := 0
		for c.Enter(); c.More(); i++ {
			if err := checkAny(c); err != nil {
				return within(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	case !isNumber(first):
		c.Skip()
		return nil
	}
	if number := c.Skip(); !normal.Exact(number) {
		return fmt.Errorf("the number %s loses digits in an any, which has a float64 for it: use a string, or a field with a type of its own", excerpt(number))
	}
	return nil
}

// normalise puts the times into their normal form that a leaf has read: package
// time gives them the zone of this machine where that happens to fit.
func (n *node) normalise(v reflect.Value) {
	if n.typ == timeType {
		t := v.Addr().Interface().(*time.Time)
		*t = normal.Time(*t)
		return
	}
	if len(n.times) == 0 {
		return
	}
	changed := false
	before := reflect.New(n.typ).Elem()
	before.Set(v)
	for _, index := range n.times {
		t := v.FieldByIndex(index).Addr().Interface().(*time.Time)
		// A zone with a name is what the type has chosen.
		if l := t.Location(); l == time.Local || l.String() == "" {
			now := normal.Time(*t)
			changed = changed || now != *t
			*t = now
		}
	}
	if changed && !sameWritten(before, v) {
		v.Set(before)
	}
}

// sameWritten reports whether two values of a type that writes itself are the
// same in JSON.
func sameWritten(a, b reflect.Value) bool {
	x, err1 := json.Marshal(a.Addr().Interface())
	y, err2 := json.Marshal(b.Addr().Interface())
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// timesIn returns where a struct that reads itself has times that can be reached.
func timesIn(t reflect.Type) (indexes [][]int) {
	if t.Kind() != reflect.Struct || t == timeType {
		return nil
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		switch {
		case !sf.IsExported():
		case sf.Type == timeType:
			indexes = append(indexes, []int{i})
		default:
			for _, below := range timesIn(sf.Type) {
				indexes = append(indexes, append([]int{i}, below...))
			}
		}
	}
	return indexes
}
