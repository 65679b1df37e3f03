package bind_test

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/stay-go/stay/internal/testseed"
)

type everything struct {
	Bool    bool
	Ints    []int16
	Int     int64 `json:"int,string"`
	Quoted  *bool `json:",string"`
	Text    string
	Texts   []string
	QText   string `json:",string"`
	Uint    uint8
	Uints   [3]uint32
	Float   float32
	Floats  map[string]float64
	ByInt   map[int8][]string
	ByUint  map[uint16]map[string]int
	ByLevel map[bool3]string
	Bytes   []byte
	Lists   [][]string
	Inner   struct {
		A *struct{ B []*string }
		C map[string]struct{ D [2]string }
	}
	*Embedded
}

type Embedded struct{ E, F string }

// bool3 is a key that reads and writes itself.
type bool3 uint8

func (b bool3) MarshalText() ([]byte, error) { return []byte(strings.Repeat("x", int(b%3))), nil }

func (b *bool3) UnmarshalText(text []byte) error {
	*b = bool3(len(text))
	return nil
}

// What encoding/json writes is read as it reads it.
func TestReadsWhatEncodingJSONWrites(t *testing.T) {
	rng := rand.New(rand.NewSource(int64(testseed.New(t))))
	for range 1000 {
		v, ok := quick.Value(reflect.TypeFor[everything](), rng)
		if !ok {
			t.Fatal("no value")
		}
		data, err := json.Marshal(v.Interface())
		if err != nil {
			t.Fatal(err)
		}
		var got, want everything
		var gotAny, wantAny any
		for _, c := range []struct{ got, want any }{{&got, &want}, {&gotAny, &wantAny}} {
			if err := json.Unmarshal(data, c.want); err != nil {
				t.Fatal(err)
			}
			err := binder.JSON(data, c.got, nil)
			if c.got == &gotAny && err != nil && strings.Contains(err.Error(), "more digits") {
				continue // which encoding/json rounds
			}
			if err != nil || !reflect.DeepEqual(c.got, c.want) {
				t.Fatalf("%s: %v\ngot  %+v\nwant %+v", data, err, c.got, c.want)
			}
		}
	}
}

// What encoding/json refuses is refused, and what is unusual is read as there.
func TestReadsAsEncodingJSON(t *testing.T) {
	for _, c := range []struct {
		dst func() any
		in  []string
	}{
		{func() any { return new(int8) }, []string{`127`, `128`, `-0`, `1.0`, `1e2`, `"1"`, `null`, `true`, `[]`, `{}`}},
		{func() any { return new(uint) }, []string{`1`, `-1`, `18446744073709551615`, `18446744073709551616`}},
		{func() any { return new(float32) }, []string{`1`, `1e39`, `1e-50`, `-0.0`, `"1"`}},
		{func() any { return new(bool) }, []string{`true`, `false`, `0`, `"true"`, `null`}},
		{func() any { return new(string) }, []string{`"a"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\\\"\/\b\f\n\r\t"`, "\"\xff\"", `1`}},
		{func() any { return new([]byte) }, []string{`"AAA="`, `"AAA"`, `""`, `[1,2]`, `[256]`, `null`, `{}`}},
		{func() any { return new(json.Number) }, []string{`1`, `"1"`, `""`, `"x"`, `" 1"`, `"1 "`, `1e5`, `null`, `true`, `"null"`, `"[1]"`}},
		{func() any { return new(any) }, []string{`1e400`, `{"a":[null,true,false,"x",1.5]}`, `[]`, `{}`, `null`}},
		{func() any { return new([]int) }, []string{`[]`, `null`, `{}`, `"x"`, `[null]`}},
		{func() any { return new(map[int8]int) }, []string{`{"1":1}`, `{"128":1}`, `{"x":1}`, `{"1":1,"1":2}`, `null`, `[]`}},
		{func() any { return new(map[uint8]int) }, []string{`{"1":1}`, `{"-1":1}`}},
		{func() any { return new(map[float64]int) }, []string{`{"1":1}`}},
		{func() any { return new(map[level]int) }, []string{`{"low":1}`, `{"high":1}`}},
		{func() any { return new(interface{ M() }) }, []string{`1`, `null`}},
		{func() any { return new(chan int) }, []string{`1`, `null`}},
		{func() any { return new(uintptr) }, []string{`1`}},
		{func() any { return new(level) }, []string{`"low"`, `"high"`, `1`, `null`, `{}`}},
		{func() any { return new([]*level) }, []string{`["low",null]`}},
		{func() any { return new(own) }, []string{`{"other":1}`, `null`, `7`}},
		{func() any {
			return new(struct {
				A int     `json:",string"`
				B *string `json:",string"`
				C level   `json:",string"`
			})
		}, []string{
			`{"A":"1"}`, `{"A":1}`, `{"A":"x"}`, `{"A":" 1"}`, `{"A":null}`, `{"A":"null"}`, `{"A":""}`, `{"A":"[1]"}`,
			`{"B":"\"x\""}`, `{"B":"x"}`, `{"B":null}`, `{"B":"null"}`, `{"C":"\"low\""}`, `{"C":"low"}`,
		}},
	} {
		for _, in := range c.in {
			got, want := c.dst(), c.dst()
			gotErr, wantErr := binder.JSON([]byte(in), got, nil), json.Unmarshal([]byte(in), want)
			if (gotErr == nil) != (wantErr == nil) {
				t.Errorf("%s for a %T: %v, encoding/json: %v", in, got, gotErr, wantErr)
			}
			if gotErr == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s for a %T: %+v, encoding/json: %+v", in, got, got, want)
			}
		}
	}
}

// Errors name the field within lists, maps and what is in quotes, also those of
// types that read themselves.
func TestErrorsNameTheField(t *testing.T) {
	type deep struct {
		P payload
		M map[string][]payload
		Q int `json:"q,string"`
		L []any
	}
	for in, want := range map[string]string{
		`{"P":{"when":"now"}}`:                         "P.when: must be a date",
		`{"M":{"a":[{},{"items":[{"city":1}]}]}}`:      "M.a[1].items[0].city: must be text",
		`{"M":{"a":[{"pair":[1,2,3]}]}}`:               "M.a[0].pair: has more than 2 items",
		`{"q":1}`:                                      "q: must be a whole number, in quotes",
		`{"q":"x"}`:                                    "q: must be a whole number, in quotes",
		`{"L":[{"a":1e999}]}`:                          "L[0].a: is too large",
		`{"L":[9007199254740993]}`:                     "L[0]: is a number with more digits than can be kept here",
		`{"P":{"level":"high"}}`:                       "P.level: is not valid",
		`{"P":{"bytes":"!"}}`:                          "P.bytes: must be text in base64",
		`{"M":{"` + strings.Repeat("x", 500) + `":1}}`: "M.xxx",
	} {
		err := binder.JSON([]byte(in), new(deep), nil)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.60s: %v, want %s", in, err, want)
		}
	}
}
