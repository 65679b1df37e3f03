package memstore

import (
	"iter"
	"slices"
	"time"
)

// due indexes keys by the minute in which their record expires. Writing a
// record again costs nothing if its minute stays the same, and minutes that are
// over hold only expired records.
type due struct {
	minutes []int64 // those in keys, ascending
	keys    map[int64]map[string]struct{}
}

func newDue() due {
	return due{keys: make(map[int64]map[string]struct{})}
}

const msPerMinute = 60_000

// minute returns the minute of a time. It also rounds down before 1970.
func minute(t time.Time) int64 {
	ms := t.UnixMilli()
	m := ms / msPerMinute
	if ms%msPerMinute < 0 {
		m--
	}
	return m
}

// move moves a key from the minute of one expiry to that of another. The zero
// time means no minute.
func (d *due) move(key string, from, to time.Time) {
	if from.IsZero() != to.IsZero() || minute(from) != minute(to) {
		d.remove(key, from)
		d.add(key, to)
	}
}

func (d *due) add(key string, t time.Time) {
	if t.IsZero() {
		return
	}
	m := minute(t)
	keys := d.keys[m]
	if keys == nil {
		keys = make(map[string]struct{})
		d.keys[m] = keys
		at, _ := slices.BinarySearch(d.minutes, m)
		d.minutes = slices.Insert(d.minutes, at, m)
	}
	keys[key] = struct{}{}
}

func (d *due) remove(key string, t time.Time) {
	if t.IsZero() {
		return
	}
	m := minute(t)
	delete(d.keys[m], key)
	if len(d.keys[m]) == 0 {
		delete(d.keys, m)
		at, _ := slices.BinarySearch(d.minutes, m)
		d.minutes = slices.Delete(d.minutes, at, at+1)
	}
}

// before yields the keys of the minutes that are over at now, oldest minute
// first.
func (d *due) before(now time.Time) iter.Seq[string] {
	return func(yield func(string) bool) {
		current := minute(now)
		for _, m := range d.minutes {
			if m >= current {
				return
			}
			for key := range d.keys[m] {
				if !yield(key) {
					return
				}
			}
		}
	}
}
