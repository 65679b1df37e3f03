package clone_test

import (
	"testing"
	"time"
)

type flatState struct {
	Count int
	Name  string
	On    bool
}

type item struct {
	SKU   string
	Tags  []string
	Added time.Time
}

// mixedState is about 260 bytes of JSON: items with tags and times, two maps
// and a pointer.
type mixedState struct {
	User   string
	Items  []item
	Prefs  map[string]string
	Counts map[string]int
	Last   *item
}

func mixed() *mixedState {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return &mixedState{
		User:   "ada",
		Items:  []item{{"a-1", []string{"x", "y"}, now}, {"b-2", []string{"z"}, now}},
		Prefs:  map[string]string{"theme": "dark", "lang": "en"},
		Counts: map[string]int{"visits": 12},
		Last:   &item{"b-2", []string{"z"}, now},
	}
}

func BenchmarkCopyFlat(b *testing.B) {
	p, src := plan[flatState](b), &flatState{1, "ada", true}
	b.ReportAllocs()
	for b.Loop() {
		p.Copy(src)
	}
}

func BenchmarkCopyMixed(b *testing.B) {
	p, src := plan[mixedState](b), mixed()
	b.ReportAllocs()
	for b.Loop() {
		p.Copy(src)
	}
}
