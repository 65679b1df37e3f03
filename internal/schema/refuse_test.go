package schema_test

import (
	"encoding/json"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/schema"
)

type writeOnly struct{ A int }

func (writeOnly) MarshalText() ([]byte, error) { return []byte("w"), nil }

type readOnlyStruct struct{ A int }

func (*readOnlyStruct) UnmarshalText([]byte) error { return nil }

type intKey int

func (intKey) MarshalText() ([]byte, error) { return []byte("k"), nil }

type tagged struct {
	Time time.Time `stay:"private"`
}

func (tagged) MarshalJSON() ([]byte, error)  { return []byte("{}"), nil }
func (*tagged) UnmarshalJSON(b []byte) error { return nil }

// lossy forgets what it was given.
type lossy struct{ N int }

func (l lossy) MarshalJSON() ([]byte, error)  { return json.Marshal(l.N + 1) }
func (l *lossy) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &l.N) }

type node struct {
	Kids []*node
	Next *node
}

type Stamp struct{ time.Time }

type Named struct{ A, B int }

type plain int

type ptrText struct{ A int }

func (*ptrText) MarshalText() ([]byte, error) { return []byte("p"), nil }
func (*ptrText) UnmarshalText([]byte) error   { return nil }

type named2 struct{ A int }

// A state that would not read back as it was written is refused at
// registration, with the path of the field and the fix.
//
// Proves M5.
func TestRefusals(t *testing.T) {
	cyclic := &struct{ Kids []any }{Kids: make([]any, 1)}
	cyclic.Kids[0] = cyclic.Kids
	type deepTag struct {
		Items []struct {
			ID string `stay:"key"`
		}
	}
	for _, c := range []struct {
		name    string
		initial any
		want    []string
	}{
		{"no struct", new(int), []string{"int", "is not a struct", "use a struct"}},
		{"no pointer", struct{}{}, []string{"is not a struct"}},
		{"map", &map[string]int{}, []string{"map[string]int", "is not a struct"}},
		{"nil", nil, []string{"is not a struct"}},
		{"marshals itself", &time.Time{}, []string{"Time", "marshals itself", "field"}},
		{"embedded marshaler as state", &struct {
			time.Time
			N int
		}{}, []string{"marshals itself", "name the embedded field"}},
		{"unexported", &struct{ a int }{}, []string{"struct.a", "unexported", "export it"}},
		{"unexported deeper", &struct{ U []url.URL }{[]url.URL{}}, []string{"struct.U[].User.username", "unexported"}},
		{"embedded unexported type", &struct{ plain }{}, []string{"struct.plain", "unexported"}},
		{"json dash", &struct {
			A int `json:"-"`
		}{}, []string{"struct.A", `json:"-"`, "name in JSON"}},
		{"omitempty", &struct {
			A int `json:",omitempty"`
		}{1}, []string{"struct.A", "remove omitempty"}},
		{"omitempty map", &struct {
			A map[string]int `json:",omitempty"`
		}{map[string]int{}}, []string{"struct.A", "remove omitempty"}},
		{"omitzero below a pointer", &struct {
			P *struct {
				T time.Time `json:"t,omitzero"`
			}
		}{&struct {
			T time.Time `json:"t,omitzero"`
		}{time.Unix(1, 0)}}, []string{"struct.P.T", "omitzero"}},
		{"interface", &struct{ E error }{}, []string{"struct.E", "error", "concrete type or any"}},
		{"chan", &struct{ M map[string][]chan int }{}, []string{"struct.M[][]", "chan int", "outside"}},
		{"func", &struct{ F func() }{}, []string{"struct.F", "func()"}},
		{"complex", &struct{ C complex64 }{}, []string{"struct.C", "complex64"}},
		{"uintptr", &struct{ U uintptr }{}, []string{"struct.U", "uintptr"}},
		{"lock", &struct{ Mu sync.Mutex }{}, []string{"struct.Mu", "unexported"}},
		{"pointer to pointer", &struct{ P **int }{}, []string{"struct.P", "same null", "use *int"}},
		{"pointer to slice", &struct{ P *[]int }{}, []string{"struct.P", "use []int"}},
		{"pointer to map", &struct{ P *map[string]int }{}, []string{"struct.P", "use map[string]int"}},
		{"pointer to any", &struct{ P *any }{}, []string{"struct.P", "use interface {}"}},
		{"pointer to raw", &struct{ P *json.RawMessage }{}, []string{"struct.P", "use json.RawMessage"}},
		{"embedded pointer", &struct{ *Named }{}, []string{"struct.Named", "embedded pointer", "name the field"}},
		{"same name", reflect.New(reflect.StructOf([]reflect.StructField{
			{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
			{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
		})).Interface(), []string{"struct.B", `"x"`, "struct", "different names"}},
		{"hidden by embedding", &struct {
			Named
			A int
		}{}, []string{"struct.A", "Named.A", "different names"}},
		{"ambiguous", &struct {
			Named
			named2
		}{}, []string{"struct.named2.A", "Named.A", "different names"}},
		{"bool keys", &struct{ M map[bool]int }{}, []string{"struct.M", "bool", "strings, integers"}},
		{"float keys", &struct{ M map[float64]int }{}, []string{"struct.M", "float64"}},
		{"struct keys", &struct{ M map[Named]int }{}, []string{"struct.M", "Named"}},
		{"any keys", &struct{ M map[any]int }{}, []string{"struct.M", "keys"}},
		{"write-only keys", &struct{ M map[intKey]int }{}, []string{"struct.M", "intKey"}},
		{"pointer keys", &struct{ M map[*netip.Addr]int }{}, []string{"struct.M", "keys"}},
		{"links", &node{}, []string{"node.Next", "slice, a map or ids"}},
		{"writes only", &struct{ W writeOnly }{}, []string{"struct.W", "no method that reads it back", "UnmarshalJSON"}},
		{"reads only", &struct{ R readOnlyStruct }{}, []string{"struct.R", "no method that writes it", "MarshalJSON"}},
		{"marshaler in a map", &struct {
			M map[string]struct{ B [1]big.Int }
		}{}, []string{"struct.M[].B[]", "big.Int", "pointers in the map"}},
		{"text marshaler in a map", &struct{ M map[string]ptrText }{}, []string{"struct.M[]", "ptrText", "pointers in the map"}},
		{"embedded marshaler", &struct {
			In struct {
				time.Time
				N int
			}
		}{}, []string{"struct.In.Time", "embedded", "name the field"}},
		{"tag inside a marshaler", &struct{ T tagged }{}, []string{"struct.T.Time", "without effect"}},
		{"json name", &struct {
			A int `json:"a\\b"`
		}{}, []string{"struct.A", "json tag", "letters"}},
		{"unknown word", &struct {
			A int `stay:"presrve"`
		}{}, []string{"struct.A", `"presrve"`, "preserve, key or private"}},
		{"key below", &deepTag{}, []string{"deepTag.Items[].ID", `"key"`, "field of the state"}},
		{"preserve below", &struct {
			P struct {
				X int `stay:"preserve,private"`
			}
		}{}, []string{"struct.P.X", `"preserve"`}},
		{"NaN", &struct{ F float64 }{math.NaN()}, []string{"initial struct", "NaN"}},
		{"late year", &struct{ T time.Time }{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"initial struct", "year"}},
		{"cyclic value", cyclic, []string{"initial struct", "cycle"}},
		{"invalid UTF-8", &struct{ S string }{"\xff"}, []string{"initial struct", "changes when written as JSON"}},
		{"lossy type", &struct{ L lossy }{}, []string{"initial struct", "changes when written as JSON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := schema.Of(c.initial)
			if err == nil || s != nil {
				t.Fatalf("accepted: %v", s)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

// What looks like the refused but keeps its values is accepted.
//
// Proves M5.
func TestAccepted(t *testing.T) {
	type tree struct {
		Name string `json:"name,omitempty"`
		Kids []*tree
		Subs map[string]tree
	}
	for name, initial := range map[string]any{
		"empty": &struct{}{},
		"blank": &struct {
			_ [0]func()
			A int
		}{},
		"names that differ by case": &struct {
			A int `json:"a"`
			B int `json:"A"`
		}{1, 2},
		"tree":                 &tree{Kids: []*tree{{Name: "kid"}}},
		"pointer to marshaler": &struct{ P *net.IP }{&net.IP{1, 2, 3, 4}},
		"text keys":            &struct{ M map[netip.Addr]int }{map[netip.Addr]int{netip.MustParseAddr("::1"): 1}},
		"only embedded":        &struct{ S Stamp }{Stamp{time.Unix(5, 0)}},
		"omitempty in a list": &struct {
			L []struct {
				A int `json:",omitempty"`
			}
		}{make([]struct {
			A int `json:",omitempty"`
		}, 1)},
		"omitempty without effect": &struct {
			T Named `json:",omitempty"`
		}{Named{1, 2}},
		"any": &struct{ A any }{map[string]any{"x": 1}},
	} {
		if _, err := schema.Of(initial); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
