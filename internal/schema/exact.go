package schema

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/normal"
)

// normalise puts the times of a struct that has read itself into their normal
// form, unless the struct would then write something else: package time gives
// such times the zone of this machine if it happens to fit.
func (n *node) normalise(v reflect.Value) {
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
