package bind

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
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
		text := Text(base, args...)
		if must, ok := strings.CutPrefix(text, "must be "); ok {
			return "must have a name that is " + must
		}
		return "has a name that " + text
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
	case "too_large":
		return "is too large"
	case "too_small":
		return "is too small"
	case "required":
		return "is required"
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

// keyFor returns the key of the message about text, which does not fit t. If
// text is a number, only its size can be the reason. Then the message includes
// the range of t, unless that is one of 64 bits or of fractions, whose ends tell
// people nothing.
func keyFor(t reflect.Type, text string) (key string, args []any) {
	v := reflect.Zero(t)
	size := func(negative bool) string {
		if negative {
			return "too_small"
		}
		return "too_large"
	}
	switch {
	case v.CanFloat():
		if f, err := strconv.ParseFloat(text, t.Bits()); errors.Is(err, strconv.ErrRange) {
			return size(f < 0), nil
		}
	case !isWhole(text):
	case (v.CanInt() || v.CanUint()) && t.Bits() == 64:
		return size(text[0] == '-'), nil
	case v.CanInt():
		most := int64(math.MaxInt64) >> (64 - t.Bits())
		return "whole_number_between", []any{-most - 1, most}
	case v.CanUint():
		return "whole_number_between", []any{0, uint64(math.MaxUint64) >> (64 - t.Bits())}
	}
	return keyOf(t), nil
}

// isWhole reports whether text has digits only, behind a sign if there is one.
func isWhole(text string) bool {
	digits := text
	if text != "" && (text[0] == '-' || text[0] == '+') {
		digits = text[1:]
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
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
