package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// A watching is a call of Watch.
type watching struct {
	end  context.CancelFunc
	done chan error

	mu   sync.Mutex
	seen map[string]store.Revision
	lost int
	more chan struct{}
}

// watch calls Watch and waits until it announces.
func watch(t *testing.T, s *redisstore.Store) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w := &watching{end: cancel, done: make(chan error, 1), seen: map[string]store.Revision{}, more: make(chan struct{}, 1)}
	go func() {
		w.done <- s.Watch(ctx, func(changes []store.Change, lost bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range changes {
				w.seen[c.Key] = c.Revision
			}
			if lost {
				w.lost++
			}
			select {
			case w.more <- struct{}{}:
			default:
			}
		})
	}()
	w.until(t, "the beginning", func() bool { return w.lost == 1 })
	return w
}

func (w *watching) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := within(t); ; {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.more:
		case err := <-w.done:
			t.Fatalf("Watch has ended before %s: %v", what, err)
		case <-ctx.Done():
			t.Fatalf("not announced: %s", what)
		}
	}
}

// want waits until a change is announced with its revision, and nothing was lost
// but what was before.
func (w *watching) want(t *testing.T, key string, rev store.Revision, lost int) {
	t.Helper()
	w.until(t, fmt.Sprintf("%q at %d", key, rev), func() bool { got, ok := w.seen[key]; return ok && got == rev })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != lost {
		t.Errorf("%d times lost, want %d", w.lost, lost)
	}
}

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the place and to no other, and that what changes
// nothing is not announced.
//
// Proves N2.
func TestChangesAreAnnouncedByName(t *testing.T) {
	s := theServer(t)
	here, elsewhere := place(), place()
	writer, reader, other := open(t, s.URL(), here), open(t, s.URL(), here), open(t, s.URL(), elsewhere)
	a, b, c := watch(t, writer), watch(t, reader), watch(t, other)
	checked := put(t, other, "checked", 0, "x")
	c.want(t, "checked", checked, 1)
	key := "any \x00\xff key, " + strings.Repeat("x", 900)
	rev := put(t, writer, key, 0, "x")
	rev = put(t, writer, key, rev, "y")
	a.want(t, key, rev, 1)
	b.want(t, key, rev, 1)
	one(other, store.Write{Op: store.Check, Key: "checked", Base: checked}, store.Write{Op: store.Delete, Key: "not there"})
	one(other, store.Write{Key: "conflict", Base: 1})
	gone := put(t, other, "gone", 0, "x")
	if r := one(other, store.Write{Op: store.Delete, Key: "gone", Base: gone}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	c.want(t, "gone", 0, 1)
	for i, w := range []*watching{a, b, c} {
		w.mu.Lock()
		if want := []int{1, 1, 2}[i]; len(w.seen) != want {
			t.Errorf("watch %d has heard of %v", i, w.seen)
		}
		w.mu.Unlock()
	}
}

// TestWatchConnectsAgain proves that after its connection has ended, the server has
// been started again, or the network stands still, Watch says that announcements may
// be lost, and that they go on.
//
// Proves N2.
func TestWatchConnectsAgain(t *testing.T) {
	s := ownServer(t)
	writer := open(t, s.URL())
	p, st := reach(t, s)
	w := watch(t, st)
	ask(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
	w.until(t, "lost once more", func() bool { return w.lost == 2 })
	w.want(t, "key", put(t, writer, "key", 0, "x"), 2)
	s.Stop()
	startAgain(t, s)
	w.until(t, "lost for the third time", func() bool { return w.lost == 3 })
	w.want(t, "third", put(t, writer, "third", 0, "x"), 3)
	began := time.Now()
	p.Hold(faultnet.ToClient)
	p.direct() // new connections get through
	w.until(t, "lost for the fourth time", func() bool { return w.lost == 4 })
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("that the network stands still was noticed after %v", took)
	}
	w.want(t, "fourth", put(t, writer, "fourth", 0, "x"), 4)
	w.end()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestUnknownChangesAreAnnounced proves that a change is announced whose outcome the
// process that made it does not know, also if it dies.
//
// Proves N2.
func TestUnknownChangesAreAnnounced(t *testing.T) {
	s := theServer(t)
	name := place()
	w := watch(t, open(t, s.URL(), name))
	p, st := reach(t, s, name)
	p.Hold(faultnet.ToClient)
	if r := one(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.until(t, `"key"`, func() bool { return w.seen["key"] != 0 })
}

// TestNobodyWatches proves that nothing is announced while nobody watches.
func TestNobodyWatches(t *testing.T) {
	s := ownServer(t)
	st := open(t, s.URL())
	rev := put(t, st, "key", 0, "x")
	if stats := ask(t, s, "INFO", "commandstats"); strings.Contains(stats, "spublish") {
		t.Error("something was announced")
	}
	w := watch(t, st)
	w.want(t, "key", put(t, st, "key", rev, "y"), 1)
	w.end()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
