package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// readKey sets the map key v from the name of a member.
func readKey(name string, v reflect.Value) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = normal.Time(*t)
		}
		return nil
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(name)
		return nil
	case v.CanInt():
		if i, err := strconv.ParseInt(name, 10, 64); err == nil && !v.OverflowInt(i) {
			v.SetInt(i)
			return nil
		}
	case v.CanUint():
		if u, err := strconv.ParseUint(name, 10, 64); err == nil && !v.OverflowUint(u) {
			v.SetUint(u)
			return nil
		}
	}
	return fmt.Errorf("the name %q where a %s is needed", name, v.Type())
}

// within adds a step to the path of err.
func within(step string, err error) error { return jsonwalk.Within(step, err) }

// quote returns s as a JSON string. It cannot fail for the names of fields.
func quote(s string) []byte {
	b, _ := json.Marshal(s)
	return b
}
