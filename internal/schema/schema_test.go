package schema_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/schema"
)

func of(t testing.TB, initial any) *schema.Schema {
	t.Helper()
	s, err := schema.Of(initial)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode[S any](t testing.TB, s *schema.Schema, stored string) (*S, *schema.Extra) {
	t.Helper()
	v, extra, err := s.Decode([]byte(stored))
	if err != nil {
		t.Fatalf("decode %s: %v", stored, err)
	}
	return v.(*S), extra
}

func encode(t testing.TB, s *schema.Schema, v any, extra *schema.Extra) string {
	t.Helper()
	b, err := s.Encode(v, extra)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settle runs what follows a run: encode, then settle.
func settle(t testing.TB, s *schema.Schema, v any) any {
	t.Helper()
	settled, _, _, err := s.Settle(v, nil, []byte(encode(t, s, v, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return settled
}

type prefs struct {
	Theme string             `json:"theme"`
	Size  int                `json:"size"`
	Sub   struct{ X, Y int } `json:"sub"`
}

type base struct {
	ID string `json:"id" stay:"key"`
}

type entry struct {
	Title string   `json:"title"`
	Tags  []string `json:"tags"`
	Note  string   `json:"note,omitempty" stay:"private"`
}

type state struct {
	base
	Label  string           `json:"label" stay:"preserve"`
	Count  int              `json:"count"`
	Prefs  prefs            `json:"prefs"`
	Opt    *prefs           `json:"opt"`
	None   *prefs           `json:"none"`
	List   []entry          `json:"list"`
	Map    map[string]entry `json:"map" stay:"preserve"`
	Arr    [2]int           `json:"arr"`
	Num    *int             `json:"num"`
	Quoted int64            `json:"quoted,string"`
	Any    any              `json:"any"`
	When   time.Time        `json:"when"`
	Secret string           `json:"secret" stay:"private"`
	Ints   map[int]string   `json:"ints"`
	Bytes  []byte           `json:"bytes"`
}

func initialState() *state {
	n := 3
	s := &state{
		Label: "My Counter", Count: 1,
		Prefs: prefs{Theme: "light", Size: 10},
		Opt:   &prefs{Theme: "opt", Size: 20},
		List:  []entry{{Title: "first", Tags: []string{"a"}}},
		Map:   map[string]entry{"k": {Title: "mapped"}},
		Arr:   [2]int{1, 2},
		Num:   &n, Quoted: 9, Any: "any",
	}
	s.Prefs.Sub.X = 1
	return s
}

// What is stored is laid over the initial value.
//
// Proves A10, M1.
func TestDecodeMerges(t *testing.T) {
	s := of(t, initialState())
	for _, c := range []struct {
		name, stored string
		want         func(*state)
	}{
		{"nothing stored", `{}`, func(*state) {}},
		{"absent fields are initial", `{"count":5}`, func(v *state) { v.Count = 5 }},
		{"structs merge", `{"prefs":{"size":11,"sub":{"Y":2}}}`, func(v *state) { v.Prefs.Size, v.Prefs.Sub.Y = 11, 2 }},
		{"promoted fields", `{"id":"u1"}`, func(v *state) { v.ID = "u1" }},
		{"pointer merges over a copy", `{"opt":{"size":1}}`, func(v *state) { v.Opt.Size = 1 }},
		{"pointer null is nil", `{"opt":null}`, func(v *state) { v.Opt = nil }},
		{"nil pointer merges over zero", `{"none":{"size":1}}`, func(v *state) { v.None = &prefs{Size: 1} }},
		{"empty object makes a pointer", `{"none":{}}`, func(v *state) { v.None = &prefs{} }},
		{"slices are replaced", `{"list":[{"title":"x"}]}`, func(v *state) { v.List = []entry{{Title: "x"}} }},
		{"empty slice stays empty", `{"list":[]}`, func(v *state) { v.List = []entry{} }},
		{"null slice is nil", `{"list":null}`, func(v *state) { v.List = nil }},
		{"maps are replaced", `{"map":{"j":{"tags":[]}}}`, func(v *state) { v.Map = map[string]entry{"j": {Tags: []string{}}} }},
		{"null in a map", `{"map":{"j":null}}`, func(v *state) { v.Map = map[string]entry{"j": {}} }},
		{"arrays are replaced", `{"arr":[7]}`, func(v *state) { v.Arr = [2]int{7, 0} }},
		{"null is zero", `{"count":null,"label":null,"prefs":null,"arr":null,"any":null,"quoted":null,"when":null,"num":null}`, func(v *state) {
			v.Count, v.Label, v.Prefs, v.Arr, v.Any, v.Quoted, v.Num = 0, "", prefs{}, [2]int{}, nil, 0, nil
		}},
		{"quoted numbers", `{"quoted":"-12"}`, func(v *state) { v.Quoted = -12 }},
		{"integer keys", `{"ints":{"-1":"a"}}`, func(v *state) { v.Ints = map[int]string{-1: "a"} }},
		{"pointer to a number", `{"num":4}`, func(v *state) { *v.Num = 4 }},
		{"any", `{"any":{"a":[1,"b",null]}}`, func(v *state) { v.Any = map[string]any{"a": []any{1.0, "b", nil}} }},
		{"base64", `{"bytes":"aGk="}`, func(v *state) { v.Bytes = []byte("hi") }},
		{"escapes and spaces", " { \"c\\u006funt\" : 8 , \"label\":\"a\\nb\" } \n", func(v *state) { v.Count, v.Label = 8, "a\nb" }},
		{"names match exactly", `{"COUNT":9,"list":[{"Title":"x"}]}`, func(v *state) { v.List = []entry{{}} }},
	} {
		want := initialState()
		c.want(want)
		got, _ := decode[state](t, s, c.stored)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\ngot  %+v\nwant %+v", c.name, c.stored, got, want)
		}
	}
	if !reflect.DeepEqual(s.Initial(), initialState()) {
		t.Error("decoding changed the initial value")
	}
}

// What does not fit is an error that says where, and no value at all.
//
// Proves M3.
func TestDecodeErrors(t *testing.T) {
	s := of(t, initialState())
	for stored, want := range map[string]string{
		``:                               "unexpected end",
		`null`:                           "null where an object is needed",
		`[]`:                             "a list where an object is needed",
		`{} {}`:                          "after top-level value",
		`{"count":1`:                     "unexpected end",
		`{"count":"1"}`:                  "count: a string where a int is needed",
		`{"count":1.5}`:                  "count: the number 1.5",
		`{"count":99999999999999999999}`: "count: the number 9999",
		`{"label":1}`:                    "label: a number where a string",
		`{"prefs":[]}`:                   "prefs: a list where an object",
		`{"prefs":{"sub":{"X":true}}}`:   "prefs.sub.X: a boolean",
		`{"opt":7}`:                      "opt: a number where an object",
		`{"list":{}}`:                    "list: an object where a list",
		`{"list":[{},{"tags":["a",1]}]}`: "list[1].tags[1]: a number",
		`{"map":[]}`:                     "map: a list where an object",
		`{"map":{"k":{"title":[]}}}`:     "map.k.title: a list",
		`{"arr":[1,2,3]}`:                "arr: a list of more than 2",
		`{"quoted":12}`:                  "quoted: a number where a quoted value",
		`{"quoted":"x"}`:                 "quoted: ",
		`{"ints":{"x":"a"}}`:             `ints: the name "x"`,
		`{"when":"yesterday"}`:           "when: ",
		`{"bytes":"%"}`:                  "bytes: ",
		`{"count":1,"count":2}`:          `the name "count" occurs twice`,
		`{"new":1,"new":2}`:              `the name "new" occurs twice`,
		strings.Repeat(`{"any":`, 20000): "exceeded max depth",
	} {
		v, extra, err := s.Decode([]byte(stored))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v lacks %q", stored, err, want)
		}
		if v != nil || extra != nil {
			t.Errorf("%.60s: a partial result", stored)
		}
	}
}

// Nothing that Decode, Initial or Clone return aliases the initial value, the
// stored bytes or each other.
//
// Proves K4, M1.
func TestNothingIsShared(t *testing.T) {
	initial := initialState()
	s := of(t, initial)
	initial.Map["k"] = entry{Title: "changed by the caller"}
	*initial.Num = 99
	initial.Opt.Theme = "changed"
	stored := []byte(`{"bytes":"aGk=","any":{"a":"b"},"new":{"x":"yes"}}`)
	v1, extra, _ := s.Decode(stored)
	for i := range stored {
		stored[i] = '#'
	}
	scribble := func(v *state) {
		v.Map["k"], v.List[0].Tags[0], *v.Num, v.Opt.Theme = entry{}, "scribbled", -1, "scribbled"
	}
	if got := encode(t, s, v1, extra); !strings.HasSuffix(got, `"new":{"x":"yes"}}`) || strings.Contains(got, "#") {
		t.Errorf("the stored bytes are shared: %s", got)
	}
	scribble(v1.(*state))
	scribble(s.Clone(s.Initial()).(*state))
	scribble(settle(t, s, s.Initial()).(*state))
	scribble(s.Initial().(*state))
	if got := s.Initial(); !reflect.DeepEqual(got, initialState()) {
		t.Errorf("the initial value changed: %+v", got)
	}
}

// Unknown fields are written back where they were.
//
// Proves M2.
func TestUnknownFieldsAreKept(t *testing.T) {
	s := of(t, initialState())
	stored := `{"zz":[1, 2],"prefs":{"new":{"deep":true},"sub":{"Z":1}},"none":{"n2":"x"},"opt":{"gone":1},"list":[{"lost":1}],"Count":"other case"}`
	v, extra := decode[state](t, s, stored)
	v.Opt = nil
	v.Count = 6
	got := encode(t, s, v, extra)
	for _, want := range []string{`"zz":[1, 2]`, `"new":{"deep":true}`, `"Z":1`, `"n2":"x"`, `"Count":"other case"`, `"count":6`, `"opt":null`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	for _, gone := range []string{"lost", "gone"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s still has %s", got, gone)
		}
	}
	v2, extra2 := decode[state](t, s, got)
	if !reflect.DeepEqual(v, v2) {
		t.Errorf("second decode differs: %+v", v2)
	}
	if again := encode(t, s, v2, extra2); again != got {
		t.Errorf("the bytes are not stable:\n%s\n%s", got, again)
	}
	if _, extra := decode[state](t, s, `{"count":1}`); extra != nil {
		t.Error("extra without unknown fields")
	}
}

// A struct that JSON leaves out because it is zero keeps what is unknown in it.
//
// Proves M2.
func TestUnknownFieldsOfOmittedStructs(t *testing.T) {
	type in struct{ A int }
	type st struct {
		V in  `json:"v,omitzero"`
		P *in `json:"p,omitempty"`
		N int
	}
	s := of(t, &st{})
	v, extra := decode[st](t, s, `{"v":{"A":1,"u":2},"p":{"u":3}}`)
	v.V.A, v.P = 0, nil
	if got := encode(t, s, v, extra); got != `{"N":0,"v":{"u":2}}` {
		t.Errorf("got %s", got)
	}
	e := of(t, &struct{}{})
	x, extra := decode[struct{}](t, e, `{"a":1}`)
	if got := encode(t, e, x, extra); got != `{"a":1}` {
		t.Errorf("empty struct: %s", got)
	}
}

// Reset keeps preserved and key fields, ResetAll key fields only, and what they
// keep is copied.
//
// Proves B7, K0, K8.
func TestReset(t *testing.T) {
	s := of(t, initialState())
	v := s.Initial().(*state)
	v.ID, v.Label, v.Count, v.Map["new"], v.Secret = "u", "kept", 9, entry{Title: "t"}, "x"
	r := s.Reset(v).(*state)
	want := initialState()
	want.ID, want.Label, want.Map["new"] = "u", "kept", entry{Title: "t"}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("Reset: %+v", r)
	}
	r.Map["new"] = entry{}
	if v.Map["new"].Title != "t" {
		t.Error("Reset shares a map")
	}
	want = initialState()
	want.ID = "u"
	if all := s.ResetAll(v); !reflect.DeepEqual(all, want) {
		t.Errorf("ResetAll: %+v", all)
	}
	if k, p := s.KeyFields(), s.PreservedFields(); !reflect.DeepEqual(k, []string{"base.ID"}) || !reflect.DeepEqual(p, []string{"Label", "Map"}) {
		t.Errorf("key %v, preserved %v", k, p)
	}
	to := s.Initial().(*state)
	to.Count = 4
	if s.CopyKeyFields(to, v); to.ID != "u" || to.Count != 4 || to.Label != "My Counter" {
		t.Errorf("CopyKeyFields: %+v", to)
	}
}

// Private and unknown fields are not shown, at any depth.
//
// Proves W7.
func TestPublic(t *testing.T) {
	s := of(t, initialState())
	v, extra := decode[state](t, s, `{"secret":"s3","list":[{"note":"n3","title":"<b>"}],"map":{"k":{"note":"n4"}},"prefs":{"new":"u5"},"zz":"u6"}`)
	full := encode(t, s, v, extra)
	b, err := s.Public([]byte(full), extra)
	if err != nil || !json.Valid(b) {
		t.Fatalf("%s: %v", b, err)
	}
	for _, hidden := range []string{"s3", "n3", "n4", "u5", "u6", "secret", "note", "zz"} {
		if bytes.Contains(b, []byte(hidden)) || !strings.Contains(full, hidden) {
			t.Errorf("%s in %s, from %s", hidden, b, full)
		}
	}
	var shown map[string]any
	if err := json.Unmarshal(b, &shown); err != nil || len(shown) != 15 || shown["label"] != "My Counter" {
		t.Errorf("shown: %v", shown)
	}

	type open struct{ A, B int }
	o := of(t, &open{})
	enc := []byte(encode(t, o, &open{1, 2}, nil))
	if b, _ := o.Public(enc, nil); &b[0] != &enc[0] {
		t.Error("nothing to hide, but the bytes were copied")
	}
	ov, ox := decode[open](t, o, `{"A":1,"C":3}`)
	if b, _ := o.Public([]byte(encode(t, o, ov, ox)), ox); string(b) != `{"A":1,"B":0}` {
		t.Errorf("unknown field shown: %s", b)
	}
}

// Proves W7.
func TestPrivateOnEmbeddedStruct(t *testing.T) {
	type Audit struct{ By, Why string }
	type st struct {
		Audit `stay:"private"`
		N     int
	}
	s := of(t, &st{})
	if b, _ := s.Public([]byte(encode(t, s, &st{Audit{"a", "b"}, 1}, nil)), nil); string(b) != `{"N":1}` {
		t.Errorf("got %s", b)
	}
}

// A Schema may be used by several goroutines at once.
func TestConcurrentUse(t *testing.T) {
	s := of(t, initialState())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				v, extra, err := s.Decode([]byte(`{"count":2,"new":1,"opt":{"new":2}}`))
				if err != nil {
					t.Error(err)
					return
				}
				v.(*state).Map["k"] = entry{Title: "mine"}
				b, err := s.Encode(v, extra)
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, _, err := s.Settle(s.Reset(v), v, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestFlat(t *testing.T) {
	if !of(t, &struct{ A, B int }{}).Flat() || of(t, initialState()).Flat() {
		t.Error("a struct without references is flat, one with them is not")
	}
}

func TestInitialAndEmptyStruct(t *testing.T) {
	s := of(t, &struct{}{})
	if got := encode(t, s, s.Initial(), nil); got != "{}" {
		t.Error(got)
	}
	n := of(t, &struct{ Big *big.Int }{big.NewInt(7)})
	if got := encode(t, n, n.Initial(), nil); got != `{"Big":7}` {
		t.Error(got)
	}
}

// For people who look after a program, what clients may not see is masked: names
// stay, at any depth, also those of fields that the type does not know.
func TestMaskedKeepsNames(t *testing.T) {
	type item struct {
		Name string `json:"name"`
		Cost int    `json:"cost" stay:"private"`
	}
	type state struct {
		Items  []item          `json:"items"`
		ByName map[string]item `json:"byName"`
		Secret *item           `json:"secret" stay:"private"`
	}
	sch, err := schema.Of(&state{})
	if err != nil {
		t.Fatal(err)
	}
	v, extra, err := sch.Decode([]byte(`{"items":[{"name":"tea","cost":3}],"byName":{"a":{"name":"b","cost":4}},"secret":{"name":"x","cost":5},"later":"hidden"}`))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := sch.Encode(v, extra)
	if err != nil {
		t.Fatal(err)
	}
	masked, err := sch.Masked(encoded, extra)
	const m = schema.Mask
	if want := `{"items":[{"name":"tea","cost":` + m + `}],"byName":{"a":{"name":"b","cost":` + m + `}},"secret":` + m + `,"later":` + m + `}`; err != nil || string(masked) != want {
		t.Errorf("%s, %v, want %s", masked, err, want)
	}
}
