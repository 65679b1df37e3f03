package bind_test

import (
	"net/url"
	"testing"
)

// The message says that a number must be whole. It has the range only if that
// is the reason.
//
// Proves B8.
func TestTheRangeOfAWholeNumberIsToldOnlyWhereItIsTheReason(t *testing.T) {
	type numbers struct {
		I8  int8
		I16 int16
		I32 int32
		I64 int64
		U8  uint8
		U16 uint16
		U32 uint32
		U64 uint64
		P   *int8
		Q   int8 `json:",string"`
		M   map[int8]int
		N   map[uint8]int
	}
	for _, c := range []struct{ field, value, want string }{
		{"I8", `128`, "I8: must be a whole number from -128 to 127"},
		{"I8", `-129`, "I8: must be a whole number from -128 to 127"},
		{"I16", `32768`, "I16: must be a whole number from -32768 to 32767"},
		{"I32", `2147483648`, "I32: must be a whole number from -2147483648 to 2147483647"},
		{"I64", `9223372036854775808`, "I64: must be a whole number from -9223372036854775808 to 9223372036854775807"},
		{"U8", `256`, "U8: must be a whole number from 0 to 255"},
		{"U8", `-1`, "U8: must be a whole number from 0 to 255"},
		{"U16", `65536`, "U16: must be a whole number from 0 to 65535"},
		{"U32", `4294967296`, "U32: must be a whole number from 0 to 4294967295"},
		{"U64", `18446744073709551616`, "U64: must be a whole number from 0 to 18446744073709551615"},
		{"P", `1000`, "P: must be a whole number from -128 to 127"},
		{"I8", `1.5`, "I8: must be a whole number"},
		{"I8", `1e9`, "I8: must be a whole number"},
		{"U8", `1.5`, "U8: must be a whole number"},
		{"P", `1.5`, "P: must be a whole number"},
	} {
		if err := binder.JSON([]byte(`{"`+c.field+`":`+c.value+`}`), new(numbers), nil); err == nil || err.Error() != c.want {
			t.Errorf("%s as JSON: %v, want %s", c.value, err, c.want)
		}
		if err := binder.Form(url.Values{c.field: {c.value}}, new(numbers), nil); err == nil || err.Error() != c.want {
			t.Errorf("%s in a form: %v, want %s", c.value, err, c.want)
		}
	}
	for body, want := range map[string]string{
		`{"I8":"1000"}`:     "I8: must be a whole number",
		`{"I8":[1000]}`:     "I8: must be a whole number",
		`{"U8":true}`:       "U8: must be a whole number",
		`{"Q":1}`:           "Q: must be a whole number, in quotes",
		`{"Q":"x"}`:         "Q: must be a whole number, in quotes",
		`{"Q":"128"}`:       "Q: must be a whole number from -128 to 127",
		`{"M":{"128":1}}`:   "M.128: must have a name that is a whole number from -128 to 127",
		`{"N":{"-1":1}}`:    "N.-1: must have a name that is a whole number from 0 to 255",
		`{"M":{"x":1}}`:     "M.x: must have a name that is a whole number",
		`{"M":{"-":1}}`:     "M.-: must have a name that is a whole number",
		`{"M":{"":1}}`:      "M.: must have a name that is a whole number",
		`{"M":{"1":"1e1"}}`: "M.1: must be a whole number",
	} {
		if err := binder.JSON([]byte(body), new(numbers), nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	for value, want := range map[string]string{"": "I8: must be a whole number", "x": "I8: must be a whole number", "--1": "I8: must be a whole number"} {
		if err := binder.Form(url.Values{"I8": {value}}, new(numbers), nil); err == nil || err.Error() != want {
			t.Errorf("%q in a form: %v, want %s", value, err, want)
		}
	}
	ends := `{"I8":-128,"U8":255,"I64":-9223372036854775808,"U64":18446744073709551615,"M":{"127":0}}`
	if err := binder.JSON([]byte(ends), new(numbers), nil); err != nil {
		t.Errorf("%s: %v", ends, err)
	}
}
