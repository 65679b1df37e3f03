package testkit

import (
	"sync"
	"time"
)

// A Clock that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock is a clock that stands at noon of a day in 2026.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance lets d pass.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
