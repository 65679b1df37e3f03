package bind

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

var timeType = reflect.TypeFor[time.Time]()

// Text returns the message with a key in English. A key with the prefix
// "quoted." is about a number or boolean in quotes, one with "name." about a
// name in a map.
func Text(key string, args ...any) string {
	if base, ok := strings.CutPrefix(key, quoted); ok {
		return Text(base, args...) + ", in quotes"
	}
	if base, ok := strings.CutPrefix(key, named); ok {
		return "must have a name that is " + strings.TrimPrefix(Text(base, args...), "must be ")
	}
	return fmt.Sprintf(format(key), args...)
}

const (
	quoted = "quoted."
	named  = "name."
)

// format is the table of messages. web.Options.Message documents the keys that
// a person who fills in a form may see.
func format(key string) string {
	switch key {
	case "text":
		return "must be text"
	case "number":
		return "must be a number"
	case "whole_number":
		return "must be a whole number"
	case "whole_number_between":
		return "must be a whole number from %v to %v"
	case "boolean":
		return "must be true or false"
	case "date":
		return "must be a date"
	case "list":
		return "must be a list"
	case "object":
		return "must be an object"
	case "nothing":
		return "must be left out: it cannot be sent"
	case "base64":
		return "must be text in base64"
	case "refused":
		return "is not valid"
	case "several":
		return "has %v values where one is needed"
	case "too_many":
		return "has more than %v items"
	case "digits":
		return "is a number with more digits than can be kept here: send it as a string"
	case "too_great":
		return "is a number that is too great"
	case "unknown":
		return "is not a field"
	case "twice":
		return "occurs twice"
	case "two_ways":
		return "is sent both as a whole and in numbered parts"
	case "notation":
		return "must be written as %v"
	case "as_json":
		return "must be sent as JSON: a form cannot hold it"
	case "kept":
		return "cannot be replaced: a part of it is not for clients to set"
	case "too_deep":
		return "is nested too deeply"
	case "unreadable":
		return "cannot be read"
	}
	return key
}

// keyFor returns the key of the message about text, which does not fit t. The
// message includes the range of t if text is a whole number, so that only its
// size can be the reason.
func keyFor(t reflect.Type, text string) (key string, args []any) {
	digits := strings.TrimPrefix(text, "-")
	whole := digits != "" && strings.Trim(digits, "0123456789") == ""
	switch v := reflect.Zero(t); {
	case whole && v.CanInt():
		most := int64(math.MaxInt64) >> (64 - t.Bits())
		return "whole_number_between", []any{-most - 1, most}
	case whole && v.CanUint():
		return "whole_number_between", []any{0, uint64(math.MaxUint64) >> (64 - t.Bits())}
	}
	return keyOf(t), nil
}

// keyOf returns the key of the message that names what fits t.
func keyOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		if t == numberType {
			return "number"
		}
		return "text"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "whole_number"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Struct, reflect.Map:
		if t == timeType {
			return "date"
		}
		return "object"
	case reflect.Pointer:
		return keyOf(t.Elem())
	}
	return "nothing"
}
