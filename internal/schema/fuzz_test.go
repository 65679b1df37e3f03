package schema_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/stay-go/stay/internal/schema"
)

type fuzzState struct {
	modelState
	Quoted  *int64           `json:"quoted,string"`
	Float   float64          `json:"float"`
	Small   int8             `json:"small"`
	Bytes   []byte           `json:"bytes"`
	Raw     json.RawMessage  `json:"raw"`
	Number  json.Number      `json:"number"`
	Omitted []string         `json:"omitted,omitempty"`
	Keys    map[int8]*string `json:"keys"`
	Hidden  string           `json:"hidden" stay:"private"`
	Tree    []fuzzTree       `json:"tree"`
}

type fuzzTree struct {
	Kids   []*fuzzTree `json:"kids"`
	Secret string      `json:"secret" stay:"private"`
}

// A stored value is refused as a whole, or read as a value that stays the same
// when it is written, read, settled and copied, and keeps its unknown fields.
// Clients see neither these nor private fields.
//
// Proves M1, M2, M3, M5.
func FuzzDecode(f *testing.F) {
	s := of(f, &fuzzState{modelState: *modelInitial(), Number: "1", Float: 0.5})
	for _, seed := range []string{
		`{}`, `{"n":1,"new":[1]}`, `{"p":{"p":{"u":1},"z":2},"q":null}`, `{"l":[{"u":1}],"a":[null]}`,
		`{"quoted":"1","float":-0,"small":-128,"bytes":"aGk=","raw":[ 1 ],"number":1e5}`,
		`{"omitted":[],"keys":{"-1":null},"hidden":"x","tree":[{"kids":[{"secret":"s"}]}]}`,
		`{"s":"\ufffd\ud800","\u006e":2,"x":{"a":[{}]}}`, `{"n":1}{`, "{\"s\":\"\xff\",\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		v, extra, err := s.Decode(stored)
		if err != nil {
			if v != nil || extra != nil {
				t.Fatal("a partial result")
			}
			return
		}
		first, err := s.Encode(v, extra)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		v2, extra2, err := s.Decode(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := s.Encode(v2, extra2)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
		settled, _, _, err := s.Settle(v, nil, first)
		if err != nil || !reflect.DeepEqual(settled, v2) {
			t.Fatalf("%v\n%+v\n%+v", err, settled, v2)
		}
		if c := s.Clone(settled); !reflect.DeepEqual(c, settled) {
			t.Fatalf("copy differs: %+v\n%+v", c, settled)
		}
		keepsUnknown(t, stored, first)
		shown, err := s.Public(first, extra)
		if err != nil || !json.Valid(shown) {
			t.Fatalf("%s: %v", shown, err)
		}
		d := json.NewDecoder(bytes.NewReader(shown))
		d.DisallowUnknownFields()
		var public fuzzState
		if err := d.Decode(&public); err != nil || public.Hidden != "" {
			t.Fatalf("shown: %s: %v", shown, err)
		}
	})
}

// keepsUnknown checks that the unknown fields of the top level were written.
func keepsUnknown(t *testing.T, stored, written []byte) {
	t.Helper()
	var before, after map[string]json.RawMessage
	if json.Unmarshal(stored, &before) != nil || json.Unmarshal(written, &after) != nil || !utf8.Valid(stored) {
		return
	}
	for name := range before {
		if _, ok := after[name]; !ok && name != "omitted" {
			t.Fatalf("%q was lost: %s became %s", name, stored, written)
		}
	}
}

// A value that an update left reads the same after it was written.
//
// Proves M5.
func FuzzSettle(f *testing.F) {
	f.Add(1, "text", 0.5, []byte("b"), true, uint8(3))
	f.Add(-7, "\xff\ufffd<", math.Copysign(0, -1), []byte(nil), false, uint8(0))
	f.Add(0, `\ufffd`, 1e300, []byte{}, true, uint8(255))
	s := of(f, &modelState{})
	bs := of(f, &struct {
		F float64
		B []byte
		M map[string]float64
		P *string
	}{})
	f.Fuzz(func(t *testing.T, n int, text string, x float64, b []byte, flag bool, bits uint8) {
		v := s.Initial().(*modelState)
		v.N, v.S, v.B, v.X = n, text, flag, n
		if bits&1 != 0 {
			v.P = &modelInner{A: n, T: []string{text}}
		}
		if bits&2 != 0 {
			v.D = map[string]modelInner{text: {Sub: modelSub{n, text}}}
		}
		if bits&4 != 0 {
			v.X = map[string]any{text: []any{x, text, nil, modelSub{n, text}}}
		}
		if bits&8 != 0 {
			v.LL = [][]int{nil, {}, {n}}
		}
		settleSame(t, s, v)
		e := bs.Initial()
		ev := reflect.ValueOf(e).Elem()
		ev.Field(0).SetFloat(x)
		ev.Field(1).SetBytes(b)
		ev.Field(2).Set(reflect.ValueOf(map[string]float64{text: x}))
		if flag {
			ev.Field(3).Set(reflect.ValueOf(&text))
		}
		settleSame(t, bs, e)
	})
}

func settleSame(t *testing.T, s *schema.Schema, v any) {
	t.Helper()
	encoded, err := s.Encode(v, nil)
	if err != nil {
		return // NaN
	}
	settled, _, _, err := s.Settle(v, nil, encoded)
	if err != nil {
		t.Fatalf("%s: %v", encoded, err)
	}
	decoded, _, err := s.Decode(encoded)
	if err != nil || !reflect.DeepEqual(settled, decoded) {
		t.Fatalf("%s: %v\nsettled %+v\ndecoded %+v", encoded, err, settled, decoded)
	}
}
