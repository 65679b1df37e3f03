package clone_test

import (
	"fmt"
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

func BenchmarkOwnFlat(b *testing.B) {
	p, src := plan[flatState](b), &flatState{1, "ada", true}
	b.ReportAllocs()
	for b.Loop() {
		p.Own(src, src)
	}
}

func BenchmarkOwnMixed(b *testing.B) {
	p, src := plan[mixedState](b), mixed()
	b.ReportAllocs()
	for b.Loop() {
		p.Own(src, src)
	}
}

func BenchmarkCopyMixed(b *testing.B) {
	p, src := plan[mixedState](b), mixed()
	b.ReportAllocs()
	for b.Loop() {
		p.Copy(src)
	}
}

// A list of 1,000 items to which one is appended, as a log or a chat keeps
// them: what is new is owned, and nothing else.
func BenchmarkList(b *testing.B) {
	type entry struct {
		ID, Author, Text string
		N                int
	}
	type list struct{ Entries []entry }
	p := plan[list](b)
	all := make([]entry, 1000)
	for i := range all {
		all[i] = entry{fmt.Sprint("id-", i), fmt.Sprint("author-", i), fmt.Sprint("what somebody has to say ", i), i}
	}
	from := owned(p, &list{all}, nil)
	changed := p.Copy(from).(*list)
	changed.Entries = append(changed.Entries, entry{"id", "author", "text", 1})
	moved := &list{changed.Entries[1:]} // the first one left, so that no other is where it was
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"copy", func() { p.Copy(changed) }},
		{"own", func() { p.Own(changed, from) }},
		{"own/moved", func() { p.Own(moved, from) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
		})
	}
}
