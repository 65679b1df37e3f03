package bind_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
)

// The message says that a number must be whole. It has the range only if that
// is the reason, and never the range of 64 bits, which says nothing to a visitor.
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
		F32 float32
		F64 float64
		P   *int8
		Q   int8 `json:",string"`
		M   map[int8]int
		N   map[uint8]int
		W   map[int64]int
	}
	for _, c := range []struct{ field, value, want string }{
		{"I8", `128`, "I8: must be a whole number from -128 to 127"},
		{"I8", `-129`, "I8: must be a whole number from -128 to 127"},
		{"I16", `32768`, "I16: must be a whole number from -32768 to 32767"},
		{"I32", `2147483648`, "I32: must be a whole number from -2147483648 to 2147483647"},
		{"I64", `9223372036854775808`, "I64: is too large"},
		{"I64", `-99999999999999999999`, "I64: is too small"},
		{"U8", `256`, "U8: must be a whole number from 0 to 255"},
		{"U8", `-1`, "U8: must be a whole number from 0 to 255"},
		{"U16", `65536`, "U16: must be a whole number from 0 to 65535"},
		{"U32", `4294967296`, "U32: must be a whole number from 0 to 4294967295"},
		{"U64", `18446744073709551616`, "U64: is too large"},
		{"U64", `-1`, "U64: is too small"},
		{"U8", `99999999999999999999`, "U8: must be a whole number from 0 to 255"},
		{"F32", `1e39`, "F32: is too large"},
		{"F64", `-1e309`, "F64: is too small"},
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
		`{"I8":"1000"}`:                    "I8: must be a whole number",
		`{"I8":[1000]}`:                    "I8: must be a whole number",
		`{"U8":true}`:                      "U8: must be a whole number",
		`{"Q":1}`:                          "Q: must be a whole number, in quotes",
		`{"Q":"x"}`:                        "Q: must be a whole number, in quotes",
		`{"Q":"128"}`:                      "Q: must be a whole number from -128 to 127",
		`{"M":{"128":1}}`:                  "M.128: must have a name that is a whole number from -128 to 127",
		`{"N":{"-1":1}}`:                   "N.-1: must have a name that is a whole number from 0 to 255",
		`{"W":{"99999999999999999999":1}}`: "W.99999999999999999999: has a name that is too large",
		`{"M":{"x":1}}`:                    "M.x: must have a name that is a whole number",
		`{"M":{"-":1}}`:                    "M.-: must have a name that is a whole number",
		`{"M":{"":1}}`:                     "M.: must have a name that is a whole number",
		`{"M":{"1":"1e1"}}`:                "M.1: must be a whole number",
	} {
		if err := binder.JSON([]byte(body), new(numbers), nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	for value, want := range map[string]string{"+128": "I8: must be a whole number from -128 to 127", "-+1": "I8: must be a whole number", "x": "I8: must be a whole number", "--1": "I8: must be a whole number"} {
		if err := binder.Form(url.Values{"I8": {value}}, new(numbers), nil); err == nil || err.Error() != want {
			t.Errorf("%q in a form: %v, want %s", value, err, want)
		}
	}
	ends := `{"I8":-128,"U8":255,"I64":-9223372036854775808,"U64":18446744073709551615,"M":{"127":0}}`
	if err := binder.JSON([]byte(ends), new(numbers), nil); err != nil {
		t.Errorf("%s: %v", ends, err)
	}
}

// An empty number or time in a form is no value. People are told that it is
// required, unless the field may be empty. The space that people type around a
// value means nothing.
//
// Proves B8.
func TestAnEmptyNumberOrTimeIsRequiredUnlessItsFieldMayBeEmpty(t *testing.T) {
	type form struct {
		Count  int         `json:"count"`
		Price  float64     `json:"price"`
		Exact  json.Number `json:"exact"`
		Day    time.Time   `json:"day"`
		Text   string      `json:"text"`
		On     bool        `json:"on"`
		Free   int         `json:"free,omitempty"`
		Spare  *int        `json:"spare"`
		Counts []int       `json:"counts"`
		Items  []struct {
			Count int `json:"count"`
		} `json:"items"`
	}
	for _, empty := range []string{"", " ", "\u00a0\t"} {
		for _, name := range []string{"count", "price", "exact", "day", "items[0].count"} {
			err := binder.Form(url.Values{name: {empty}}, new(form), nil)
			all := (*bind.Errors)(nil)
			if want := name + ": is required"; !errors.As(err, &all) || err.Error() != want || all.List[0].Key != "required" {
				t.Errorf("%s with %q: %v, want %s", name, empty, err, want)
			}
		}
		got := form{Free: 1, Spare: new(int), Counts: []int{1}}
		values := url.Values{"text": {empty}, "on": {""}, "free": {empty}, "spare": {empty}, "counts": {empty}}
		if err := binder.Form(values, &got, nil); err != nil || got.Free != 0 || got.Spare != nil || len(got.Counts) != 0 || got.Text != empty {
			t.Errorf("%q: %+v, %v", empty, got, err)
		}
	}
	var got form
	values := url.Values{
		"count": {" 5 "}, "price": {"\t1.5\n"}, "exact": {" 7"}, "day": {" 2026-11-28 "}, "text": {" x "}, "spare": {" 3"}, "counts": {" 1 ", "2"},
	}
	if err := binder.Form(values, &got, nil); err != nil {
		t.Fatal(err)
	}
	if got.Count != 5 || got.Price != 1.5 || got.Exact != "7" || got.Day.Day() != 28 || got.Text != " x " || *got.Spare != 3 || !slices.Equal(got.Counts, []int{1, 2}) {
		t.Errorf("%+v", got)
	}
	if err := binder.Form(url.Values{"count": {"1 000"}}, &got, nil); err == nil || err.Error() != "count: must be a whole number" {
		t.Errorf("space inside a number: %v", err)
	}
}
