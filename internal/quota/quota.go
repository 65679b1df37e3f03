// Package quota bounds how often an event is logged when it happens many times.
package quota

import (
	"sync"
	"time"
)

// PerSecond is how many lines of one kind are logged in a second.
const PerSecond = 10

// A Quota bounds the number of log lines in a second, and counts the lines that
// are left out. The zero value is ready. Its methods may be called
// concurrently.
type Quota struct {
	mu      sync.Mutex
	second  int64
	used    int
	leftOut int
}

// Take reports whether another line may be logged now, and how many were left
// out since the last line that was logged.
func (q *Quota) Take(now time.Time) (ok bool, leftOut int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if second := now.Unix(); second != q.second {
		q.second, q.used = second, 0
	}
	if q.used == PerSecond {
		q.leftOut++
		return false, 0
	}
	q.used++
	leftOut, q.leftOut = q.leftOut, 0
	return true, leftOut
}
