package process

import (
	"bytes"
	"strings"
	"sync"
)

// A Log keeps the lines that are written to it. The zero value is empty. Its
// methods may be called concurrently.
type Log struct {
	mu    sync.Mutex
	lines []string
	rest  []byte        // of a line that has not ended
	wake  chan struct{} // closed when there is another line; nil if nobody waits
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.lines, l.rest = append(l.lines, string(line)), rest
		if l.wake != nil {
			close(l.wake)
			l.wake = nil
		}
	}
}

// String returns everything that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(append(l.lines[:len(l.lines):len(l.lines)], string(l.rest)), "\n")
}

// Count returns how many lines have a text.
func (l *Log) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count(text)
}

func (l *Log) count(text string) (n int) {
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// Await waits until more than n lines have a text. It reports false if end is
// closed first.
func (l *Log) Await(end <-chan struct{}, text string, n int) bool {
	for {
		l.mu.Lock()
		found := l.count(text) > n
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-wake:
		case <-end:
			return l.Count(text) > n
		}
	}
}
