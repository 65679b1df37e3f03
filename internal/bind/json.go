package bind

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// JSON binds one JSON value to dst, a pointer to a zero value of any type that
// encoding/json reads. Names must match exactly and occur once in a struct;
// unknown names and names of fields tagged stay:"private" or stay:"key" are
// errors. Otherwise the rules are those of encoding/json.
//
// The error is an [*Error]: malformed if data is empty, is no JSON, has
// something after the value or is nested deeper than 10000 levels. dst is
// changed only if binding succeeds.
func (b *Binder) JSON(data []byte, dst any) error {
	v, err := target(dst)
	if err != nil {
		return err
	}
	if err := jsonwalk.Check(data); err != nil {
		message := "is not valid JSON: " + err.Error()
		if len(data) == 0 {
			message = "is empty, where JSON is needed"
		}
		return &Error{Message: "the payload " + message, Malformed: true, Err: err}
	}
	if err := b.check(jsonwalk.NewCursor(data), v.Type(), nil); err != nil {
		return err
	}
	return fill(data, v)
}

// fill reads data into a new value first, so that v never holds half of it.
func fill(data []byte, v reflect.Value) (err error) {
	defer recovered(&err)
	fresh := reflect.New(v.Type())
	fresh.Elem().Set(v)
	if err := json.Unmarshal(data, fresh.Interface()); err != nil {
		return mismatch(err)
	}
	v.Set(fresh.Elem())
	return nil
}

// mismatch puts an error of encoding/json into words for clients.
func mismatch(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		e := invalid(wrong.Field, "must be %s", describe(wrong.Type))
		e.Err = err
		return e
	}
	return unfit("", err)
}

// describe names the JSON that fits t.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of %d bits that is not negative", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return describe(t.Elem())
	}
	return "a " + t.String()
}

// check walks through the value at the cursor beside the type it is for
// and checks the names of all structs. What does not have the form that the
// type expects is left to encoding/json to report.
func (b *Binder) check(c *jsonwalk.Cursor, t reflect.Type, path []step) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	first := c.Kind()
	if reads(t) {
		c.Skip()
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		if first == '{' {
			return b.checkObject(c, t, path)
		}
	case reflect.Map:
		if first == '{' {
			for c.Enter(); c.More(); {
				name := jsonwalk.Unquote(c.Name())
				if err := b.check(c, t.Elem(), append(path, step{name: name})); err != nil {
					return err
				}
			}
			return nil
		}
	case reflect.Slice, reflect.Array:
		if first == '[' {
			return b.checkList(c, t, path)
		}
	}
	c.Skip()
	return nil
}

func (b *Binder) checkObject(c *jsonwalk.Cursor, t reflect.Type, path []step) error {
	fields := b.fieldsOf(t)
	seen := make(map[*jsonwalk.Field]bool, len(fields.fields))
	for c.Enter(); c.More(); {
		name := jsonwalk.Unquote(c.Name())
		at := append(path, step{name: name})
		field := fields.byName(name)
		switch {
		case field == nil:
			return invalid(join(at), "is not a field")
		case seen[field]:
			return invalid(join(at), "occurs twice")
		}
		seen[field] = true
		if err := b.check(c, field.Type, at); err != nil {
			return err
		}
	}
	return nil
}

func (b *Binder) checkList(c *jsonwalk.Cursor, t reflect.Type, path []step) error {
	i := 0
	for c.Enter(); c.More(); i++ {
		if t.Kind() == reflect.Array && i == t.Len() {
			return invalid(join(path), "has more than %d items", i)
		}
		if err := b.check(c, t.Elem(), append(path, step{list: true, index: i})); err != nil {
			return err
		}
	}
	return nil
}
