// Package loglimit bounds how often something is logged when it happens in crowds.
package loglimit

import (
	"sync"
	"time"
)

// PerSecond is how many lines of one kind are logged in a second.
const PerSecond = 10

// A Limit bounds what is logged in a second, and counts what is not. The zero
// value is ready. Its methods may be called concurrently.
type Limit struct {
	mu      sync.Mutex
	second  int64
	used    int
	leftOut int
}

// Take reports whether one more may be logged now, and how many were left out
// since the last that was.
func (l *Limit) Take(now time.Time) (ok bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		l.second, l.used = second, 0
	}
	if l.used == PerSecond {
		l.leftOut++
		return false, 0
	}
	l.used++
	leftOut, l.leftOut = l.leftOut, 0
	return true, leftOut
}
