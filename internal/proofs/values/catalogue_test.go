// Package values_test proves that a value does not depend on when it was read
// last (M5): however a value comes about, memory holds the value that a new
// process on another machine would read from the store.
package values_test

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
	_ "time/tzdata"
)

// everything has a field of each type of which JSON keeps less than Go.
type everything struct {
	embedded
	When     time.Time
	Omitted  time.Time `json:"omitted,omitzero"`
	Pointer  *time.Time
	Times    []time.Time
	ByName   map[string]time.Time
	ByTime   map[time.Time]int
	Stamp    stamp
	Named    zoned
	Inner    struct{ At [2]time.Time }
	Empty    float64    `json:"empty,omitempty"`
	Zero     float32    `json:"zero,omitzero"`
	Pair     [2]float64 `json:"pair,omitzero"`
	Floats   map[string]float64
	Any      any
	Raw      json.RawMessage
	Number   json.Number
	Quoted   int64 `json:"quoted,string"`
	Unsigned uint64
	Big      *big.Int
	List     []int
	NoList   []int `json:"noList,omitempty"`
	Map      map[string][]int
	NoMap    map[string]int `json:"noMap,omitempty"`
	Bytes    []byte
	Text     string
	Short    short
	Shorts   map[short]bool
	Secret   partial
	Tree     []tree
}

type embedded struct {
	Since time.Time
	N     *float32
}

// A stamp has the methods of the time in it.
type stamp struct{ time.Time }

// A zoned time keeps its zone by name.
type zoned struct{ T time.Time }

func (z zoned) MarshalText() ([]byte, error) {
	return []byte(z.T.UTC().Format(time.RFC3339Nano) + " " + z.T.Location().String()), nil
}

func (z *zoned) UnmarshalText(b []byte) error {
	at, name, _ := strings.Cut(string(b), " ")
	l, err := time.LoadLocation(name)
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	z.T = t.In(l)
	return err
}

// A short text is written without the bytes beyond the third.
type short string

func (s short) MarshalText() ([]byte, error) { return []byte(s[:min(len(s), 3)]), nil }

func (s *short) UnmarshalText(b []byte) error { *s = short(b); return nil }

// A partial value is written without one of its fields.
type partial struct{ Kept, Dropped int }

func (p partial) MarshalJSON() ([]byte, error) { return json.Marshal(p.Kept) }

func (p *partial) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &p.Kept) }

type tree struct {
	At   *time.Time
	Kids []tree
}

func location(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

// The machines on which values are made and read.
var (
	here  = location("Europe/Berlin")
	there = location("America/New_York")
)

// A maker draws values, most of them such as JSON keeps otherwise.
type maker struct{ *rand.Rand }

func newMaker(seed, n uint64) maker { return maker{rand.New(rand.NewPCG(seed, n))} }

func pick[T any](m maker, from ...T) T { return from[m.IntN(len(from))] }

func (m maker) time() time.Time {
	at := time.Date(pick(m, 1, 1890, 1970, 2026, 9998), time.Month(1+m.IntN(12)), 1+m.IntN(28), 12, 0, 0, m.IntN(1e9), time.UTC)
	switch m.IntN(6) {
	case 0:
		return time.Now()
	case 1:
		return time.Time{}.In(m.zone())
	case 2:
		return time.Unix(m.Int64N(2e9), 0)
	}
	return at.In(m.zone())
}

func (m maker) zone() *time.Location {
	return pick(m, time.UTC, here, there, location("Asia/Kolkata"), location("Australia/Lord_Howe"), location("Africa/Monrovia"),
		time.FixedZone("", 3600), time.FixedZone("", 19800), time.FixedZone("X", -17762), time.FixedZone("", 0), time.FixedZone("", 86399))
}

func (m maker) float() float64 {
	return pick(m, 0, math.Copysign(0, -1), 0.1, 1e300, 5e-324, 1<<53, m.Float64())
}

func (m maker) float32() float32 {
	return pick(m, 0, float32(math.Copysign(0, -1)), 0.1, 1e30, 1<<24, m.Float32())
}

func (m maker) any(levels int) any {
	kinds := 12
	if levels == 0 {
		kinds = 10
	}
	at := m.time()
	switch m.IntN(kinds) {
	case 0:
		return m.float()
	case 1:
		return int(m.Int32())
	case 2:
		return pick(m, json.Number("1.50"), "1E3", "9007199254740992")
	case 3:
		return at
	case 4:
		return stamp{at}
	case 5:
		return float32(0.1)
	case 6:
		return pick(m, []int(nil), []int{}, []int{1})
	case 7:
		return map[int]string{1: "\xff"}
	case 8:
		return json.RawMessage(` { "b" : 1, "a" : [ ] } `)
	case 9:
		return nil
	case 10:
		return []any{m.any(levels - 1), m.any(levels - 1)}
	}
	return map[string]any{"x": m.any(levels - 1), "y": m.any(levels - 1)}
}

func (m maker) everything() everything {
	times := make([]time.Time, 8)
	for i := range times {
		times[i] = m.time()
	}
	n := m.float32()
	e := everything{
		embedded: embedded{Since: times[0], N: pick(m, nil, &n)},
		When:     times[1], Omitted: m.time(), Pointer: pick(m, nil, &times[2]), Times: pick(m, nil, []time.Time{}, times[3:4:6]),
		ByName: pick(m, nil, map[string]time.Time{}, map[string]time.Time{"a": times[4]}), ByTime: pick(m, nil, map[time.Time]int{m.utc(): 1}),
		Stamp: stamp{times[5]}, Named: zoned{pick(m, times[6].UTC(), times[6].In(there))},
		Empty: m.float(), Zero: m.float32(), Pair: [2]float64{m.float(), m.float()}, Floats: pick(m, nil, map[string]float64{"f": m.float()}),
		Any: m.any(3), Raw: pick(m, nil, json.RawMessage(`null`), json.RawMessage(`{ "a":1, "a":1e999 }`)), Number: pick(m, "", json.Number("1e999"), "0.10"),
		Quoted: m.Int64(), Unsigned: math.MaxUint64 - m.Uint64N(9), Big: pick(m, nil, new(big.Int).Lsh(big.NewInt(3), 100)),
		List: pick(m, nil, []int{}, []int{1}), NoList: pick(m, nil, []int{}, []int{1}), Map: pick(m, nil, map[string][]int{"a": nil, "b": {}}),
		NoMap: pick(m, nil, map[string]int{}), Bytes: pick(m, nil, []byte{}, []byte{0}), Text: pick(m, "", "a\xff", "\ufffd"),
		Short: pick(m, short(""), "ab", "abcd"), Shorts: pick(m, nil, map[short]bool{"abcd": true}), Secret: partial{m.IntN(3), m.IntN(3)},
		Tree: []tree{{At: &times[7], Kids: []tree{{Kids: []tree{}}}}},
	}
	e.Inner.At = [2]time.Time{m.time(), m.time()}
	return e
}

// utc is a time for the keys of a map.
func (m maker) utc() time.Time {
	return pick(m, m.time().UTC(), m.time().In(time.FixedZone("", 19800)))
}

// same reports whether two values are the same to every calculation: also the
// signs of zeros, and times by ==, which looks at their zones and clock readings.
func same(a, b any) bool {
	return reflect.DeepEqual(a, b) && identical(reflect.ValueOf(a), reflect.ValueOf(b))
}

func identical(a, b reflect.Value) bool {
	if a.Kind() == reflect.Struct && a.Type() == reflect.TypeFor[time.Time]() {
		return !a.CanInterface() || a.Interface() == b.Interface()
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Signbit(a.Float()) == math.Signbit(b.Float())
	case reflect.Pointer, reflect.Interface:
		return a.IsNil() || identical(a.Elem(), b.Elem())
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[zoned]() || a.Type() == reflect.TypeFor[big.Int]() {
			return true // it makes what it points to itself
		}
		for i := range a.NumField() {
			if !identical(a.Field(i), b.Field(i)) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range a.Len() {
			if !identical(a.Index(i), b.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		for it := a.MapRange(); it.Next(); {
			if other := b.MapIndex(it.Key()); !other.IsValid() || !identical(it.Value(), other) {
				return false
			}
		}
	}
	return true
}
