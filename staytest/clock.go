package staytest

import (
	"sync"
	"time"
)

// A Clock stands still until the test moves it: give its Now to
// stay.Options.Clock. It decides when sessions and states expire. Waiting, for
// example for a timeout, happens in real time; use testing/synctest for that.
// Its methods may be called concurrently. The zero Clock is at the zero time.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a Clock at noon of 1 January 2026, UTC.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)}
}

// Now returns the Clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the Clock forward by d, or back if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
