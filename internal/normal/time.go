// Package normal knows the form that values have once they were written as JSON
// and read again, where encoding/json would leave it to chance: to the machine
// that reads, or to digits that it rounds.
package normal

import (
	"sync/atomic"
	"time"
)

const (
	day    = 24 * 60 * 60
	latest = day/60 - 1 // minutes that JSON can hold between a zone and UTC
)

// zones has a location for each offset that JSON can hold, made when it is
// first needed. Two times are == only if their locations are one and the same.
var zones [2*latest + 1]atomic.Pointer[time.Location]

// Time returns the same instant as JSON keeps it: without a monotonic clock
// reading, in UTC or at a fixed distance from it of whole minutes. Neither the
// rules of a zone, which may shift the clock in summer, nor the zone of the
// machine are part of it, so that calculations give the same everywhere. Two
// equal results are ==.
//
// A distance with seconds, as that of zones before they were unified, is taken
// for the next one of whole minutes to the east: encoding/json drops the
// seconds, which would make it another instant. One of more than a day stays;
// JSON refuses it.
func Time(t time.Time) time.Time {
	if t.Location() == time.UTC {
		return t.UTC() // without a clock reading
	}
	_, offset := t.Zone()
	switch {
	case offset <= -day || day <= offset:
		return t.Round(0)
	case offset > 0:
		offset += 59
	}
	return t.In(zone(min(max(offset/60, -latest), latest)))
}

// Odd reports whether encoding/json would make another instant of t.
func Odd(t time.Time) bool {
	if t.Location() == time.UTC {
		return false
	}
	_, offset := t.Zone()
	return offset%60 != 0
}

// zone returns the location so many minutes east of UTC.
func zone(minutes int) *time.Location {
	if minutes == 0 {
		return time.UTC
	}
	at := &zones[minutes+latest]
	if l := at.Load(); l != nil {
		return l
	}
	at.CompareAndSwap(nil, time.FixedZone("", minutes*60))
	return at.Load()
}
