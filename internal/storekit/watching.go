package storekit

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
)

// A Watching is a call of Watch.
type Watching struct {
	end   context.CancelFunc
	ended chan struct{}
	err   error // once ended is closed

	mu    sync.Mutex
	heard Heard
	more  chan struct{}
}

// Heard is what a call of Watch has announced: the latest revision of each key, and
// how often it has said that announcements were lost.
type Heard struct {
	Seen map[string]store.Revision
	Lost int
}

// Watch calls Watch and waits until it announces. The call ends before the test
// does.
func Watch(t testing.TB, s store.Watcher) *Watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watching{end: cancel, ended: make(chan struct{}), heard: Heard{Seen: map[string]store.Revision{}}, more: make(chan struct{}, 1)}
	go func() {
		defer close(w.ended)
		w.err = s.Watch(ctx, w.hear)
	}()
	t.Cleanup(func() {
		if w.End(t) == nil {
			t.Error("Watch ends without an error")
		}
	})
	w.Until(t, "the beginning", func(h Heard) bool { return h.Lost > 0 })
	return w
}

func (w *Watching) hear(changes []store.Change, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range changes {
		w.heard.Seen[c.Key] = c.Revision
	}
	if lost {
		w.heard.Lost++
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Until waits until a condition holds of what was heard.
func (w *Watching) Until(t testing.TB, what string, holds func(Heard) bool) {
	t.Helper()
	for ctx := Within(t); ; {
		w.mu.Lock()
		ok := holds(w.heard)
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.more:
		case <-w.ended:
			t.Fatalf("Watch has ended before %s: %v", what, w.err)
		case <-ctx.Done():
			t.Fatalf("not announced: %s", what)
		}
	}
}

// Want waits until a change is announced with its revision, which is 0 for a
// deletion.
func (w *Watching) Want(t testing.TB, key string, rev store.Revision) {
	t.Helper()
	w.Until(t, fmt.Sprintf("%q at %d", key, rev), func(h Heard) bool {
		got, ok := h.Seen[key]
		return ok && got == rev
	})
}

// WantNamed is Want, and fails the test if anything was lost beside what was lost
// before.
func (w *Watching) WantNamed(t testing.TB, key string, rev store.Revision, lost int) {
	t.Helper()
	w.Want(t, key, rev)
	if now := w.Heard().Lost; now != lost {
		t.Errorf("%d times lost, want %d", now, lost)
	}
}

// Heard returns what was heard so far.
func (w *Watching) Heard() Heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Heard{Seen: maps.Clone(w.heard.Seen), Lost: w.heard.Lost}
}

// End ends the call by its context, if it has not ended, and returns its error.
func (w *Watching) End(t testing.TB) error {
	t.Helper()
	w.end()
	return w.Err(t)
}

// Err waits until the call ends by itself, and returns its error.
func (w *Watching) Err(t testing.TB) error {
	t.Helper()
	select {
	case <-w.ended:
		return w.err
	case <-time.After(time.Minute):
		t.Fatal("Watch does not end")
		return nil
	}
}
