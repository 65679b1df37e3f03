// Package loglimit bounds how often an event is logged when it happens many times.
package loglimit

import (
	"sync"
	"time"
)

// PerSecond is how many lines of one kind are logged in a second.
const PerSecond = 10

// A Limit bounds the number of log lines in a second, and counts the lines that
// are left out. The zero value is ready. Its methods may be called
// concurrently.
type Limit struct {
	mu      sync.Mutex
	second  int64
	used    int
	leftOut int
}

// Take reports whether another line may be logged now, and how many were left
// out since the last line that was logged.
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
