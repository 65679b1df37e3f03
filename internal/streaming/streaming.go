// Package streaming describes open event streams to whoever inspects a program: since
// when each is open, whose it is, and whether its client is slow.
package streaming

import (
	"sync/atomic"
	"time"
)

// SlowAfter is how long a write to a client may take before the client is slow.
const SlowAfter = time.Second

// A Stream is one that is open. Its methods may be called concurrently.
type Stream struct {
	Began   time.Time
	writing atomic.Int64 // since when, in nanoseconds of Unix; 0 = it is not
	who     atomic.Pointer[Who]
}

// Who is a session, and its user: "" for a guest.
type Who struct{ Session, User string }

// New returns a stream that begins now.
func New() *Stream { return &Stream{Began: time.Now()} }

// Writing notes that a write to the client begins. It does nothing on nil.
func (s *Stream) Writing(now time.Time) {
	if s != nil {
		s.writing.Store(now.UnixNano())
	}
}

// Written notes that the write has ended. It does nothing on nil.
func (s *Stream) Written() {
	if s != nil {
		s.writing.Store(0)
	}
}

// Slow reports whether the client has taken nothing for a while, although there is
// something to take.
func (s *Stream) Slow(now time.Time) bool {
	since := s.writing.Load()
	return since != 0 && now.UnixNano()-since >= int64(SlowAfter)
}

// Is notes whose stream it is.
func (s *Stream) Is(who Who) {
	if before := s.who.Load(); before == nil || *before != who {
		is := who // allocated only here
		s.who.Store(&is)
	}
}

// Who returns whose stream it is; zero if that is not known.
func (s *Stream) Who() Who {
	if who := s.who.Load(); who != nil {
		return *who
	}
	return Who{}
}

// A Count says how many watch something.
type Count struct {
	Streams int       // that are open
	Others  int       // such as loops of State.Watch
	Slow    int       // of Streams
	Oldest  time.Time // when the oldest of Streams began; zero = there is none
}

// Add counts a stream, or with nil something else.
func (c *Count) Add(s *Stream, now time.Time) {
	if s == nil {
		c.Others++
		return
	}
	c.Streams++
	if s.Slow(now) {
		c.Slow++
	}
	if c.Oldest.IsZero() || s.Began.Before(c.Oldest) {
		c.Oldest = s.Began
	}
}

// All is how many there are.
func (c Count) All() int { return c.Streams + c.Others }
