package pgstore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A journal is what a server has written. It keeps the lines of all its runs.
type journal struct {
	mu    sync.Mutex
	lines []string
	wake  chan struct{} // closed when there is another line
}

func (l *journal) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *journal) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// next returns how often the log has the text, and what ends when it grows.
func (l *journal) next(text string) (count int, wake <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			count++
		}
	}
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return count, l.wake
}

// logged returns how often the server has written the text so far.
func (s *server) logged(t *testing.T, text string) int {
	t.Helper()
	marker := fmt.Sprintf("marker %d of %s", schemas.Add(1), t.Name())
	s.exec(t, "DO $$ BEGIN RAISE LOG '"+marker+"'; END $$")
	ctx := within(t)
	for {
		n, wake := s.log.next(marker)
		if n > 0 {
			n, _ = s.log.next(text)
			return n
		}
		select {
		case <-wake:
		case <-ctx.Done():
			t.Fatalf("the marker is not in the log of the server:\n%s", s.log.text())
		}
	}
}
