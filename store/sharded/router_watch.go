package sharded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// The pauses before a store that has stopped announcing is asked again.
const (
	watchMin = 100 * time.Millisecond
	watchMax = 15 * time.Second
)

// Watch implements store.Watcher. A store that cannot announce is asked again after
// a while, and the others go on; once it announces again, that begins with lost. It
// ends when none of them announces, or one of them never will.
func (r *Router) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if !r.features.Watch {
		return fmt.Errorf("sharded: %w: not all stores announce changes", store.ErrUnavailable)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w := &watching{announce: announce, end: end, waits: len(r.places), places: make([]watched, len(r.places))}
	var wg sync.WaitGroup
	for i := range r.places {
		wg.Go(func() { w.watch(ctx, i, r.places[i].Store.(store.Watcher)) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// A watching is a call of Watch.
type watching struct {
	mu       sync.Mutex
	announce func(changes []store.Change, lost bool)
	end      context.CancelCauseFunc
	places   []watched
	waits    int // how many stores have neither begun nor failed
	up       int // how many announce
}

// A watched is what a watching knows of one store.
type watched struct {
	tried bool // it has begun or failed
	up    bool
}

// watch has one store announce, again and again, until ctx ends.
func (w *watching) watch(ctx context.Context, i int, s store.Watcher) {
	for pause := watchMin; ctx.Err() == nil; pause = min(2*pause, watchMax) {
		began := time.Now()
		err := s.Watch(ctx, func(changes []store.Change, lost bool) { w.tell(i, changes, lost) })
		if w.down(i, err) {
			return
		}
		if time.Since(began) > watchMax {
			pause = watchMin
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// tell announces what a store announces, once all of them do or have failed: the
// first announcement says that changes may have been missed.
func (w *watching) tell(i int, changes []store.Change, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.places[i]
	if !p.up {
		p.up, lost = true, true
		w.up++
	}
	w.try(p)
	if w.waits > 0 {
		return
	}
	seen := make([]store.Change, 0, len(changes))
	for _, c := range changes {
		if c.Key != layoutKey {
			seen = append(seen, c)
		}
	}
	if lost || len(seen) > 0 {
		w.announce(seen, lost)
	}
}

// down notes that a store has stopped announcing. over means that it is not asked
// again.
func (w *watching) down(i int, err error) (over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.places[i]
	if p.up {
		p.up = false
		w.up--
	}
	first := w.try(p)
	switch {
	case errors.Is(err, store.ErrClosed), errors.Is(err, errors.ErrUnsupported), w.waits == 0 && w.up == 0:
		w.end(err)
		return true
	case first && w.waits == 0:
		w.announce(nil, true) // the others have waited for this one
	}
	return false
}

// try notes that a store has begun or failed, and reports whether that is new.
func (w *watching) try(p *watched) bool {
	if p.tried {
		return false
	}
	p.tried = true
	w.waits--
	return true
}
