package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
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
func watch(t *testing.T, s *natsstore.Store) *watching {
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

// want waits until a change is announced with its revision.
func (w *watching) want(t *testing.T, key string, rev store.Revision) {
	t.Helper()
	w.until(t, fmt.Sprintf("%q at %d", key, rev), func() bool { got, ok := w.seen[key]; return ok && got == rev })
}

// losses returns how often announcements were lost.
func (w *watching) losses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// TestChangesAreAnnouncedByName proves that changes are named, not lost, in the
// ordinary case, to every store on the place and to no other, and that what changes
// nothing is not announced.
//
// Proves L36, N2.
func TestChangesAreAnnouncedByName(t *testing.T) {
	for kind, url := range map[string]string{"one": theServer(t), "three": theCluster(t)} {
		t.Run(kind, func(t *testing.T) {
			here, elsewhere := place(), place()
			writer, reader, other := open(t, url, here), open(t, url, here), open(t, url, elsewhere)
			a, b, c := watch(t, writer), watch(t, reader), watch(t, other)
			checked := put(t, other, "checked", 0, "x")
			c.want(t, "checked", checked)
			key := "any \x00\xff / key/, " + strings.Repeat("x", 900)
			rev := put(t, writer, key, 0, "x")
			rev = put(t, writer, key, rev, "y")
			a.want(t, key, rev)
			b.want(t, key, rev)
			one(other, store.Write{Op: store.Check, Key: "checked", Base: checked}, store.Write{Op: store.Delete, Key: "not there"})
			one(other, store.Write{Key: "conflict", Base: 1})
			load(t, other, "checked")
			gone := put(t, other, "gone", 0, "x")
			if r := one(other, store.Write{Op: store.Delete, Key: "gone", Base: gone}, store.Write{Op: store.Check, Key: "checked", Base: checked}); r.Outcome != store.Applied {
				t.Fatal(r.Outcome, r.Err)
			}
			c.want(t, "gone", 0)
			for i, w := range []*watching{a, b, c} {
				w.mu.Lock()
				if want := []int{1, 1, 2}[i]; len(w.seen) != want || w.lost != 1 {
					t.Errorf("watch %d has heard of %v, and lost %d times", i, w.seen, w.lost)
				}
				w.mu.Unlock()
			}
			a.end()
			if err := <-a.done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// TestWatchBeginsAgain proves that after its consumer or its server has ended, or the
// network stands still, Watch says that announcements may be lost if any are, and
// that they go on.
//
// Proves L36, N2.
func TestWatchBeginsAgain(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	writer := open(t, s.URL())
	p, st := reach(t, s.URL())
	w := watch(t, st)
	stream, err := streams(t, s.URL()).Stream(within(t), "stay")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(within(t)).Name() {
		if err := stream.DeleteConsumer(within(t), name); err != nil {
			t.Fatal(err)
		}
	}
	w.until(t, "lost once more", func() bool { return w.lost == 2 })
	w.want(t, "second", put(t, writer, "second", 0, "x"))
	before := w.losses()
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	w.until(t, "lost after the server has begun again", func() bool { return w.lost > before })
	third := again(t, writer, store.Group{{Key: "third"}})
	if third.Outcome != store.Applied {
		t.Fatal(third.Outcome, third.Err)
	}
	w.want(t, "third", third.Revisions[0])
	before = w.losses()
	p.Hold(faultnet.ToClient)
	during := put(t, writer, "during", 0, "x")
	p.direct() // new connections get through
	w.until(t, "what changed while the network stood still", func() bool { return w.lost > before || w.seen["during"] == during })
	w.want(t, "fourth", put(t, writer, "fourth", 0, "x"))
	_ = st.Close()
	if err := <-w.done; !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}

// TestUnknownChangesAreAnnounced proves that a change is announced whose outcome the
// process that made it does not know, also if it dies.
//
// Proves L36, N2.
func TestUnknownChangesAreAnnounced(t *testing.T) {
	url, name := theServer(t), place()
	w := watch(t, open(t, url, name))
	p, st := reach(t, url, name)
	p.Hold(faultnet.ToClient)
	if r := one(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	w.until(t, `"key"`, func() bool { return w.seen["key"] != 0 })
}

// TestSlowWatchersLoseTheRest proves that changes that come while announce takes its
// time are kept up to a bound, and that it is said when there were more.
//
// Proves C5.
func TestSlowWatchersLoseTheRest(t *testing.T) {
	st := open(t, theServer(t), place())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun, goOn, lost := make(chan struct{}), make(chan struct{}), make(chan struct{})
	calls, losses := 0, 0
	done := make(chan error, 1)
	go func() {
		done <- st.Watch(ctx, func(_ []store.Change, some bool) {
			calls++
			if some {
				losses++
			}
			switch {
			case calls == 1:
				close(begun)
				<-goOn
			case losses == 2:
				close(lost)
				cancel()
			}
		})
	}()
	<-begun
	groups := make([]store.Group, 5000)
	for i := range groups {
		groups[i] = store.Group{{Key: fmt.Sprint(i)}}
	}
	for i, r := range st.Commit(within(t), groups) {
		if r.Outcome != store.Applied {
			t.Fatalf("group %d: %v: %v", i, r.Outcome, r.Err)
		}
	}
	close(goOn)
	select {
	case <-lost:
	case <-within(t).Done():
		t.Fatal("nobody says that announcements are lost")
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
