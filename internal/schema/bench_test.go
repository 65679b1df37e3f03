package schema_test

import (
	"testing"
	"time"
)

type benchFlat struct {
	Count int    `json:"count"`
	Name  string `json:"name"`
	On    bool   `json:"on"`
}

type benchItem struct {
	SKU   string    `json:"sku"`
	Tags  []string  `json:"tags"`
	Added time.Time `json:"added"`
}

type benchMixed struct {
	User   string            `json:"user"`
	Items  []benchItem       `json:"items"`
	Prefs  map[string]string `json:"prefs"`
	Counts map[string]int    `json:"counts"`
	Last   *benchItem        `json:"last"`
}

func mixed() *benchMixed {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return &benchMixed{
		User:   "ada",
		Items:  []benchItem{{"a-1", []string{"x", "y"}, now}, {"b-2", []string{"z"}, now}},
		Prefs:  map[string]string{"theme": "dark", "lang": "en"},
		Counts: map[string]int{"visits": 12},
		Last:   &benchItem{"b-2", []string{"z"}, now},
	}
}

// The states are a flat one of about 30 bytes of JSON and one of about 260.
func BenchmarkSchema(b *testing.B) {
	for _, c := range []struct {
		name    string
		initial any
		v       any
	}{
		{"flat", &benchFlat{}, &benchFlat{1, "ada", true}},
		{"mixed", &benchMixed{}, mixed()},
	} {
		s := of(b, c.initial)
		encoded, err := s.Encode(c.v, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Encode(c.v, nil)
			}
		})
		b.Run("clone/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Clone(c.v)
			}
		})
		b.Run("settle/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _, _ = s.Settle(c.v, c.v, encoded)
			}
		})
		b.Run("decode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = s.Decode(encoded)
			}
		})
	}
}
