package schema_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// A negative zero that the tag leaves out is zero at once, at any place.
//
// Proves M5.
func TestNegativeZerosThatAreLeftOut(t *testing.T) {
	type state struct {
		F      float64             `json:",omitempty"`
		G      float32             `json:",omitzero"`
		Pair   [2]float64          `json:",omitzero"`
		Struct struct{ F float64 } `json:",omitzero"`
		Kept   float64
	}
	minus := math.Copysign(0, -1)
	signs := func(s *state) (signs []bool) {
		for _, f := range []float64{s.F, float64(s.G), s.Pair[1], s.Struct.F, s.Kept} {
			signs = append(signs, math.Signbit(f))
		}
		return signs
	}
	v := &state{F: minus, G: float32(minus), Pair: [2]float64{0, minus}, Kept: minus}
	v.Struct.F = minus
	for i, negative := range signs(settle(t, of(t, &state{}), v).(*state)) {
		if negative != (i == 4) {
			t.Errorf("field %d: negative is %v", i, negative)
		}
	}
	type pair struct {
		P [2]float64 `json:",omitzero"`
	}
	if got := settle(t, of(t, &pair{}), &pair{[2]float64{0, minus}}).(*pair); math.Signbit(got.P[1]) {
		t.Error("a negative zero in an array that was left out")
	}
}

// An away time writes the name of its zone.
type away struct{ T time.Time }

func (a away) MarshalJSON() ([]byte, error) {
	return json.Marshal(a.T.UTC().Format(time.RFC3339) + " " + a.T.Location().String())
}

func (a *away) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	at, name, _ := strings.Cut(text, " ")
	l, err := time.LoadLocation(name)
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, at)
	a.T = t.In(l)
	return err
}

// A type that writes itself keeps the zone that it needs for that, be it the
// machine's.
//
// Proves M5.
func TestTypesKeepTheZoneThatTheyWrite(t *testing.T) {
	type state struct{ A away }
	for _, name := range []string{"Local", "Europe/Berlin"} {
		l, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		v := &state{away{time.Date(2026, 7, 1, 0, 0, 0, 0, l)}}
		if got := settle(t, of(t, &state{}), v).(*state); got.A.T.Location().String() != l.String() || !got.A.T.Equal(v.A.T) {
			t.Errorf("%v in %v became %v in %v", v.A.T, v.A.T.Location(), got.A.T, got.A.T.Location())
		}
	}
}

// An office time is in the zone of the office on each machine.
type office struct{ time.Time }

func (o office) MarshalJSON() ([]byte, error) { return o.UTC().MarshalJSON() }

func (o *office) UnmarshalJSON(b []byte) error {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return err
	}
	err = o.Time.UnmarshalJSON(b)
	o.Time = o.In(l)
	return err
}

// A zone that a type chooses itself is the same on each machine, and stays.
//
// Proves M5.
func TestTypesKeepTheZoneThatTheyChoose(t *testing.T) {
	type state struct{ O office }
	v := &state{office{time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}}
	if got := settle(t, of(t, &state{}), v).(*state); got.O.Location().String() != "Europe/Berlin" || !got.O.Equal(v.O.Time) {
		t.Errorf("became %v in %v", got.O, got.O.Location())
	}
}
