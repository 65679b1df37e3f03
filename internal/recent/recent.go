// Package recent remembers what an App has done in the last minutes, for
// package inspect: how much it has changed, how long its stores took, and which
// failures there were. It needs a fixed amount of memory and no goroutine.
package recent

import (
	"sync"
	"time"
)

const (
	// Step is the time that one Slot is about.
	Step = 5 * time.Second
	// Slots is how many of them are kept: ten minutes.
	Slots = 120
	// MaxFailures is how many failures are kept: the latest.
	MaxFailures = 100
)

// A Log is what is remembered. Its methods may be called concurrently. Those
// that note something do nothing on a nil Log, so that an App that nobody
// inspects pays for a comparison.
type Log struct {
	mu       sync.Mutex
	slots    [Slots + 1]Slot // by number, and the one that is being filled
	failures [MaxFailures]Failure
	failed   int // how many there were
}

// A Slot is what happened within one Step.
type Slot struct {
	number  int64 // how many Steps after 1970 it begins
	Changes int   // changes of states that ended, well or not
	Refused int   // those of them that ended with an error
	Commits Calls
	Loads   Calls
	Errors  int // failures that were reported
}

// Calls are calls of stores.
type Calls struct {
	Number, Failed int
	Took, Longest  time.Duration // all together, and one of them
}

// Mean is how long a call took.
func (c Calls) Mean() time.Duration {
	if c.Number == 0 {
		return 0
	}
	return c.Took / time.Duration(c.Number)
}

// A Failure is one that was reported to OnError or logged. It holds no text of an
// error, which may name people.
type Failure struct {
	When                        time.Time
	Code, Module, Action, Phase string
	KeyHash                     string
}

// Now is the time at which a call begins; without a Log, the clock is not read.
func (l *Log) Now() time.Time {
	if l == nil {
		return time.Time{}
	}
	return time.Now()
}

// Changed notes that a change of a state has ended.
func (l *Log) Changed(refused bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slot(time.Now())
	s.Changes++
	if refused {
		s.Refused++
	}
}

// Committed notes that a call of a store that began at a time has written, or
// has failed.
func (l *Log) Committed(began time.Time, failed bool) {
	l.called(began, failed, func(s *Slot) *Calls { return &s.Commits })
}

// Loaded notes that a call of a store that began at a time has read, or has
// failed.
func (l *Log) Loaded(began time.Time, failed bool) {
	l.called(began, failed, func(s *Slot) *Calls { return &s.Loads })
}

func (l *Log) called(began time.Time, failed bool, of func(*Slot) *Calls) {
	if l == nil || began.IsZero() { // nobody had a Log when the call began
		return
	}
	now := time.Now()
	took := now.Sub(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := of(l.slot(now))
	c.Number++
	c.Took += took
	c.Longest = max(c.Longest, took)
	if failed {
		c.Failed++
	}
}

// Failed notes a failure that was reported.
func (l *Log) Failed(f Failure) {
	if l == nil {
		return
	}
	f.When = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slot(f.When).Errors++
	l.failures[l.failed%MaxFailures] = f
	l.failed++
}

// slot returns the slot of a time. A clock that was set back writes into the
// slots that it finds. l.mu is held.
func (l *Log) slot(now time.Time) *Slot {
	number := numberOf(now)
	s := &l.slots[number%int64(len(l.slots))]
	if s.number != number {
		*s = Slot{number: number}
	}
	return s
}

func numberOf(t time.Time) int64 { return t.Unix() / int64(Step/time.Second) }

// Last returns the slots that are over, the oldest first.
func (l *Log) Last(now time.Time) []Slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Slot, Slots)
	first := numberOf(now) - Slots
	for i := range out {
		number := first + int64(i)
		if s := l.slots[number%int64(len(l.slots))]; s.number == number {
			out[i] = s
		}
	}
	return out
}

// Failures returns the latest failures, the latest first, and how many there were
// in all.
func (l *Log) Failures() (latest []Failure, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range min(l.failed, MaxFailures) {
		latest = append(latest, l.failures[(l.failed-1-i)%MaxFailures])
	}
	return latest, l.failed
}
