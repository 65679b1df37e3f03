package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stay-go/stay/internal/testseed"
)

type modelSub struct {
	X int    `json:"x"`
	Y string `json:"y"`
}

type modelInner struct {
	A   int       `json:"a"`
	Sub modelSub  `json:"sub"`
	P   *modelSub `json:"p"`
	T   []string  `json:"t"`
}

type modelState struct {
	N  int                   `json:"n"`
	S  string                `json:"s"`
	B  bool                  `json:"b"`
	In modelInner            `json:"in"`
	P  *modelInner           `json:"p"`
	Q  *modelInner           `json:"q"`
	L  []modelInner          `json:"l"`
	D  map[string]modelInner `json:"d"`
	PL []*modelSub           `json:"pl"`
	LL [][]int               `json:"ll"`
	A  [2]modelSub           `json:"a"`
	X  any                   `json:"x"`
}

func modelInitial() *modelState {
	return &modelState{
		N: 1, S: "initial", B: true,
		In: modelInner{A: 2, Sub: modelSub{3, "sub"}, P: &modelSub{4, "p"}, T: []string{"t"}},
		P:  &modelInner{A: 5, P: &modelSub{6, "pp"}, T: []string{}},
		L:  []modelInner{{A: 7, T: []string{"l"}}},
		D:  map[string]modelInner{"d": {A: 8}},
		PL: []*modelSub{nil, {9, "pl"}},
		LL: [][]int{{1}, nil},
		A:  [2]modelSub{{10, "a"}, {11, "b"}},
		X:  map[string]any{"x": 12.0},
	}
}

// A spec says what the model knows about a type. It is written by hand, so that
// model and code share nothing.
type spec struct {
	kind   string // int, string, bool, struct, pointer, list, map, any
	fields map[string]*spec
	elem   *spec
	length int // of an array, 0 for a slice
}

var (
	intSpec    = &spec{kind: "int"}
	stringSpec = &spec{kind: "string"}
	subSpec    = &spec{kind: "struct", fields: map[string]*spec{"x": intSpec, "y": stringSpec}}
	innerSpec  = &spec{kind: "struct", fields: map[string]*spec{
		"a": intSpec, "sub": subSpec, "p": {kind: "pointer", elem: subSpec}, "t": {kind: "list", elem: stringSpec},
	}}
	stateSpec = &spec{kind: "struct", fields: map[string]*spec{
		"n": intSpec, "s": stringSpec, "b": {kind: "bool"}, "in": innerSpec,
		"p":  {kind: "pointer", elem: innerSpec},
		"q":  {kind: "pointer", elem: innerSpec},
		"l":  {kind: "list", elem: innerSpec},
		"d":  {kind: "map", elem: innerSpec},
		"pl": {kind: "list", elem: &spec{kind: "pointer", elem: subSpec}},
		"ll": {kind: "list", elem: &spec{kind: "list", elem: intSpec}},
		"a":  {kind: "list", elem: subSpec, length: 2},
		"x":  {kind: "any"},
	}}
)

func (s *spec) zero() any {
	switch s.kind {
	case "int":
		return 0.0
	case "string":
		return ""
	case "bool":
		return false
	case "struct":
		v := map[string]any{}
		for name, f := range s.fields {
			v[name] = f.zero()
		}
		return v
	case "list":
		if s.length == 0 {
			return nil
		}
		var v []any
		for range s.length {
			v = append(v, s.elem.zero())
		}
		return v
	}
	return nil
}

var errModel = errors.New("does not fit")

// merge does with generic values what loading does: it lays stored over initial.
// keep says that unknown fields stay.
func (s *spec) merge(initial, stored any, keep bool) (any, error) {
	if stored == nil {
		return s.zero(), nil
	}
	switch s.kind {
	case "any":
		return stored, nil
	case "int":
		n, ok := stored.(float64)
		if !ok || n != float64(int(n)) {
			return nil, errModel
		}
	case "string":
		if _, ok := stored.(string); !ok {
			return nil, errModel
		}
	case "bool":
		if _, ok := stored.(bool); !ok {
			return nil, errModel
		}
	case "pointer":
		if initial == nil {
			initial = s.elem.zero()
		}
		return s.elem.merge(initial, stored, keep)
	case "struct":
		members, ok := stored.(map[string]any)
		if !ok {
			return nil, errModel
		}
		merged := maps.Clone(initial.(map[string]any))
		for name, value := range members {
			f, known := s.fields[name]
			if !known {
				if keep {
					merged[name] = value
				}
				continue
			}
			var err error
			if merged[name], err = f.merge(merged[name], value, keep); err != nil {
				return nil, err
			}
		}
		return merged, nil
	case "list":
		items, ok := stored.([]any)
		if !ok || s.length > 0 && len(items) > s.length {
			return nil, errModel
		}
		merged := []any{}
		for _, item := range items {
			m, err := s.elem.merge(s.elem.zero(), item, false)
			if err != nil {
				return nil, err
			}
			merged = append(merged, m)
		}
		for len(merged) < s.length {
			merged = append(merged, s.elem.zero())
		}
		return merged, nil
	case "map":
		members, ok := stored.(map[string]any)
		if !ok {
			return nil, errModel
		}
		merged := map[string]any{}
		for name, item := range members {
			m, err := s.elem.merge(s.elem.zero(), item, false)
			if err != nil {
				return nil, err
			}
			merged[name] = m
		}
		return merged, nil
	}
	return stored, nil
}

// random returns a stored value that fits mostly.
func (s *spec) random(r *rand.Rand) any {
	switch p := r.IntN(100); {
	case p < 8:
		return nil
	case p < 9:
		return []any{"wrong", 1.5, true, []any{1.5}, map[string]any{"wrong": 1.0}}[r.IntN(5)]
	}
	switch s.kind {
	case "int":
		return float64(r.IntN(2000) - 1000)
	case "string":
		return []string{"", "text", "ü\n\"<>&", "\ufffd", "null"}[r.IntN(5)]
	case "bool":
		return r.IntN(2) == 0
	case "pointer":
		return s.elem.random(r)
	case "struct":
		v := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.fields)) {
			if r.IntN(2) == 0 {
				v[name] = s.fields[name].random(r)
			}
		}
		for r.IntN(4) == 0 {
			v[[]string{"N", "new", "ünknown", "<&>", ""}[r.IntN(5)]] = randomAny(r, 2)
		}
		return v
	case "list":
		v := []any{}
		for range r.IntN(4) {
			v = append(v, s.elem.random(r))
		}
		return v
	case "map":
		v := map[string]any{}
		for range r.IntN(3) {
			v[fmt.Sprint("k", r.IntN(5))] = s.elem.random(r)
		}
		return v
	}
	return randomAny(r, 3)
}

func randomAny(r *rand.Rand, depth int) any {
	switch k := r.IntN(6); {
	case k == 0:
		return nil
	case k == 1:
		return r.IntN(2) == 0
	case k == 2:
		return "any"
	case k == 3 || depth == 0:
		return float64(r.IntN(100)) / 4
	case k == 4:
		return []any{randomAny(r, depth-1)}
	}
	return map[string]any{"x": randomAny(r, depth-1)}
}

// Decoding agrees with a model written on generic values, and what was decoded,
// encoded and decoded again stays the same to the byte.
//
// Proves M1, M2.
func TestDecodeAgreesWithModel(t *testing.T) {
	r := rand.New(rand.NewPCG(testseed.New(t), 1))
	s := of(t, modelInitial())
	initial := generic(t, encode(t, s, modelInitial(), nil))
	fits := 0
	for range 3000 {
		stored := stateSpec.random(r)
		b, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		modelErr := errModel
		if stored != nil {
			want, modelErr = stateSpec.merge(initial, stored, true)
		}
		v, extra, err := s.Decode(b)
		if (err != nil) != (modelErr != nil) {
			t.Fatalf("%s: decode says %v, the model %v", b, err, modelErr)
		}
		if err != nil {
			continue
		}
		fits++
		first := encode(t, s, v, extra)
		if got := generic(t, first); !reflect.DeepEqual(got, want) {
			t.Fatalf("stored %s\ngot    %s\nwant   %v", b, first, want)
		}
		v2, extra2 := decode[modelState](t, s, first)
		if !reflect.DeepEqual(v2, v) {
			t.Fatalf("stored %s\nread   %+v\nagain  %+v", b, v, v2)
		}
		if second := encode(t, s, v2, extra2); second != first {
			t.Fatalf("stored %s\nfirst  %s\nsecond %s", b, first, second)
		}
	}
	if fits < 300 {
		t.Errorf("only %d of the values fitted: the test proves too little", fits)
	}
}

func generic(t *testing.T, b string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(b), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
