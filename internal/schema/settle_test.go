package schema_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/normal"
)

type flags struct{ on bool }

func (f flags) IsZero() bool                  { return !f.on }
func (f flags) MarshalJSON() ([]byte, error)  { return json.Marshal(f.on) }
func (f *flags) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &f.on) }

type rounded struct{ N int }

// IsZero is true for more than the zero value.
func (r rounded) IsZero() bool { return r.N < 10 }

type email string

func (e *email) UnmarshalText(b []byte) error {
	if len(b) > 0 && !strings.Contains(string(b), "@") {
		return errors.New("no address")
	}
	*e = email(strings.ToLower(string(b)))
	return nil
}

type loose struct {
	A     any
	Raw   json.RawMessage
	Big   *big.Int
	Num   json.Number
	Empty []int   `json:"empty,omitempty"`
	R     rounded `json:"r,omitzero"`
	F     flags
	Mail  email
	S     string
	M     map[string]string
	T     time.Time
}

// A read after an update equals a read after an eviction, whatever the run has
// stored.
//
// Proves M5.
func TestSettledEqualsDecoded(t *testing.T) {
	s := of(t, &loose{Num: "0"})
	for name, change := range map[string]func(*loose){
		"integer in any":       func(v *loose) { v.A = 3 },
		"struct in any":        func(v *loose) { v.A = []Named{{1, 2}} },
		"typed map in any":     func(v *loose) { v.A = map[int]string{1: "a"} },
		"raw with spaces":      func(v *loose) { v.Raw = json.RawMessage(`{ "a" : 1 }`) },
		"null raw":             func(v *loose) { v.Raw = json.RawMessage(`null`) },
		"empty list omitted":   func(v *loose) { v.Empty = []int{} },
		"zero by its own word": func(v *loose) { v.R.N = 5 },
		"empty number":         func(v *loose) { v.Num = "" },
		"own marshaler":        func(v *loose) { v.Big, v.F.on = big.NewInt(8), true },
		"own unmarshaler":      func(v *loose) { v.Mail = "A@B" },
		"time":                 func(v *loose) { v.T = time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			v := s.Initial().(*loose)
			change(v)
			settled := settle(t, s, v)
			decoded, _ := decode[loose](t, s, encode(t, s, v, nil))
			if !reflect.DeepEqual(settled, decoded) {
				t.Errorf("settled %+v\ndecoded %+v", settled, decoded)
			}
			if again := settle(t, s, s.Clone(settled)); !reflect.DeepEqual(again, settled) {
				t.Errorf("settling twice: %+v\n%+v", again, settled)
			}
		})
	}
}

// Invalid UTF-8 is replaced at the update, also in a type that is otherwise
// copied, and a genuine U+FFFD is kept.
//
// Proves M5.
func TestSettleReplacesInvalidUTF8(t *testing.T) {
	type text struct {
		S string
		M map[string]int
	}
	s := of(t, &text{})
	v := settle(t, s, &text{"a\xffb", map[string]int{"k\xfe": 1}}).(*text)
	if v.S != "a\ufffdb" || v.M["k\ufffd"] != 1 {
		t.Errorf("%+v", v)
	}
	for _, kept := range []string{"a\ufffdb", `a\ufffdb`, "plain"} {
		if v := settle(t, s, &text{S: kept}).(*text); v.S != kept {
			t.Errorf("%q became %q", kept, v.S)
		}
	}
}

// An exact type is copied, not decoded: empty and nil stay apart, and times are
// put into their form where they are.
//
// Proves M5.
func TestSettleCopiesExactTypes(t *testing.T) {
	type exact struct {
		L    []int
		M    map[string]*int
		When time.Time
	}
	s := of(t, &exact{})
	n := 1
	v := &exact{L: []int{}, M: map[string]*int{"a": &n}, When: time.Now()}
	c := settle(t, s, v).(*exact)
	v.When = normal.Time(v.When)
	if !reflect.DeepEqual(c, v) || c.M["a"] == v.M["a"] {
		t.Errorf("%+v", c)
	}
	if d, _ := decode[exact](t, s, encode(t, s, v, nil)); d.When != c.When || d.L == nil {
		t.Errorf("%+v", d)
	}
}

// A zone with seconds, as those before zones were unified, becomes one of whole
// minutes at the update, and the time stays the same instant.
//
// Proves M5.
func TestSettleOldTimeZones(t *testing.T) {
	type dated struct {
		At   time.Time
		List []struct{ P *time.Time }
		Map  map[string]time.Time
		Kids []tree
	}
	s := of(t, &dated{})
	old := time.Date(1900, 1, 1, 12, 0, 0, 0, time.FixedZone("AMT", 19*60+32))
	for name, v := range map[string]*dated{
		"field":   {At: old},
		"pointer": {List: []struct{ P *time.Time }{{nil}, {&old}}},
		"map":     {Map: map[string]time.Time{"a": old}},
	} {
		decoded, _ := decode[dated](t, s, encode(t, s, v, nil))
		if settled := settle(t, s, v); !reflect.DeepEqual(settled, decoded) {
			t.Errorf("%s: settled %+v, decoded %+v", name, settled, decoded)
		}
		if name == "field" && !decoded.At.Equal(old) {
			t.Errorf("%v became %v", old, decoded.At)
		}
	}
}

type tree struct{ Kids []tree }

func deepTree(levels int) *tree {
	root := &tree{Kids: []tree{}}
	for range levels {
		root = &tree{Kids: []tree{*root}}
	}
	return root
}

// What could not be read back is an error at the update, never at the load.
//
// Proves M5.
func TestWhatCannotBeKeptIsAnError(t *testing.T) {
	s := of(t, &loose{Num: "0"})
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	for name, change := range map[string]func(*loose){
		"NaN: unsupported value": func(v *loose) { v.A = math.NaN() },
		"chan: unsupported type": func(v *loose) { v.A = make(chan int) },
		"cycle: cycle":           func(v *loose) { v.A = cyclic },
		"year: year":             func(v *loose) { v.T = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"raw: unexpected end":    func(v *loose) { v.Raw = json.RawMessage(`{`) },
		"number: invalid number": func(v *loose) { v.Num = "abc" },
	} {
		v := s.Initial().(*loose)
		change(v)
		_, want, _ := strings.Cut(name, ": ")
		if _, err := s.Encode(v, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := s.Initial().(*loose)
	v.Mail = "nobody"
	if _, _, _, err := s.Settle(v, nil, []byte(encode(t, s, v, nil))); err == nil || !strings.Contains(err.Error(), "Mail: no address") {
		t.Errorf("a value its type does not read: %v", err)
	}

	ts := of(t, &tree{})
	kept := deepTree(4999) // two levels of JSON for each
	if got := settle(t, ts, kept); !reflect.DeepEqual(got, kept) {
		t.Error("a deep tree changed")
	}
	deep := deepTree(5000)
	if _, _, _, err := ts.Settle(deep, nil, []byte(encode(t, ts, deep, nil))); err == nil || !strings.Contains(err.Error(), "10000 levels") {
		t.Errorf("too deep: %v", err)
	}
	type timed struct {
		At   time.Time
		Kids []timed
	}
	around := &timed{Kids: make([]timed, 1)}
	around.Kids[0].Kids = around.Kids
	if _, err := of(t, &timed{}).Encode(around, nil); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a value with times that contains itself: %v", err)
	}
	loop := &tree{Kids: make([]tree, 1)}
	loop.Kids[0].Kids = loop.Kids
	if _, err := ts.Encode(loop, nil); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a value that contains itself: %v", err)
	}
}

type panics struct{ When string }

func (p *panics) MarshalJSON() ([]byte, error) {
	if p.When == "write" {
		panic("on writing")
	}
	return json.Marshal(p.When)
}

func (p *panics) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &p.When); err != nil {
		return err
	}
	if p.When == "read" {
		panic(errors.New("on reading"))
	}
	return nil
}

// A panic in a type's own methods is an error, never the end of the process.
func TestPanicsOfOwnMethodsAreErrors(t *testing.T) {
	type st struct{ P panics }
	s := of(t, &st{})
	if _, err := s.Encode(&st{panics{"write"}}, nil); err == nil || !strings.Contains(err.Error(), "on writing") {
		t.Errorf("encode: %v", err)
	}
	v := &st{panics{"read"}}
	if got, _, _, err := s.Settle(v, nil, []byte(encode(t, s, v, nil))); err == nil || got != nil || !strings.Contains(err.Error(), "on reading") {
		t.Errorf("settle: %v, %v", got, err)
	}
	if got, _, err := s.Decode([]byte(`{"P":"read"}`)); err == nil || got != nil {
		t.Errorf("decode: %v, %v", got, err)
	}
}

// choice has a value that is written as null and is not its zero value.
type choice struct {
	None bool
	N    int
}

func (c choice) MarshalJSON() ([]byte, error) {
	if c.None {
		return []byte("null"), nil
	}
	return json.Marshal(c.N)
}

func (c *choice) UnmarshalJSON(b []byte) error {
	c.None = string(b) == "null"
	if c.None {
		return nil
	}
	return json.Unmarshal(b, &c.N)
}

// strict refuses null, and changes its value first.
type strict struct{ N int }

func (s strict) MarshalJSON() ([]byte, error) { return json.Marshal([]int{s.N}) }

func (s *strict) UnmarshalJSON(b []byte) error {
	s.N = -1
	var n []int
	if err := json.Unmarshal(b, &n); err != nil || len(n) != 1 {
		return errors.New("one number is needed")
	}
	s.N = n[0]
	return nil
}

// Null is the zero value, unless it is how a type writes another one.
//
// Proves M1, M5.
func TestNullOfTypesThatReadThemselves(t *testing.T) {
	type st struct {
		C choice
		S strict
		L []choice
		T time.Time
		R json.RawMessage
	}
	s := of(t, &st{C: choice{N: 1}, S: strict{2}, T: time.Unix(1, 0)})
	got, _ := decode[st](t, s, `{"C":null,"S":null,"L":[null,3],"T":null,"R":null}`)
	want := &st{C: choice{None: true}, L: []choice{{None: true}, {N: 3}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if settled := settle(t, s, got); !reflect.DeepEqual(settled, want) {
		t.Errorf("settled %+v", settled)
	}
}

// grade is a number that is written as text; the string option of its tag has
// no effect on that.
type grade int

func (g grade) MarshalText() ([]byte, error) { return []byte{'A' + byte(g)}, nil }

func (g *grade) UnmarshalText(b []byte) error {
	if len(b) != 1 {
		return errors.New("no grade")
	}
	*g = grade(b[0] - 'A')
	return nil
}

// One such field is enough to make a type inexact.
//
// Proves M5.
func TestWhatJSONDropsIsDroppedAtOnce(t *testing.T) {
	type list struct {
		L []int `json:",omitempty"`
	}
	if v := settle(t, of(t, &list{}), &list{[]int{}}).(*list); v.L != nil {
		t.Error("an empty list that JSON leaves out")
	}
	type zero struct {
		R rounded `json:",omitzero"`
	}
	if v := settle(t, of(t, &zero{}), &zero{rounded{5}}).(*zero); v.R.N != 0 {
		t.Error("a value that calls itself zero")
	}
	type graded struct {
		G grade `json:",string"`
	}
	if v := settle(t, of(t, &graded{}), &graded{2}).(*graded); v.G != 2 {
		t.Errorf("a grade became %d", v.G)
	}
}
