package memstore

import (
	"context"
	"fmt"

	"github.com/stay-go/stay/store"
)

// maxChanges is how many changes a watch keeps until they are announced.
const maxChanges = 1024

// A watch is a call of Watch. The lock of the records guards it.
type watch struct {
	changes []store.Change
	lost    bool
	wake    chan struct{} // has room for one
}

// Watch implements store.Watcher. Within a process no announcement is lost, but
// if announce takes its time lost stands for more than a thousand of them.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	w := &watch{lost: true, wake: make(chan struct{}, 1)}
	s.data.watches[w] = struct{}{}
	s.calls.Add(1)
	s.data.mu.Unlock()
	defer s.calls.Done()
	defer func() {
		s.data.mu.Lock()
		defer s.data.mu.Unlock()
		delete(s.data.watches, w)
	}()
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		changes, lost := w.changes, w.lost
		w.changes, w.lost = nil, false
		s.data.mu.Unlock()
		if lost || len(changes) > 0 {
			announce(changes, lost)
		}
		select {
		case <-w.wake:
		case <-s.closing:
			return fmt.Errorf("memstore: %w", store.ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("memstore: %w: %w", store.ErrUnavailable, ctx.Err())
		}
	}
}

// tell notes the writes of an applied group for each watch.
func (d *records) tell(g store.Group, revs []store.Revision) {
	for w := range d.watches {
		for i := range g {
			if g[i].Op == store.Check || g[i].Op == store.Delete && g[i].Base == 0 {
				continue // nothing has changed
			}
			if len(w.changes) == maxChanges {
				w.changes, w.lost = nil, true
			}
			w.changes = append(w.changes, store.Change{Key: g[i].Key, Revision: revs[i]})
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
