package sqlitestore

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// watchEvery is how often Watch looks whether others have changed the file.
	// A look takes a few microseconds.
	watchEvery = 50 * time.Millisecond

	// maxChanges is how many changes a watch keeps until they are announced.
	maxChanges = 1024
)

// A watch is a call of Watch. Store.mu guards changes and lost.
type watch struct {
	changes []store.Change
	lost    bool
	wake    chan struct{} // has room for one

	// The connection that writes, and the number by which it tells whether others
	// have written, as the last look found them.
	conn   *conn
	number int64
}

// Watch implements [store.Watcher]. It names what this handle has changed. With
// [Shared], it looks every 50 milliseconds whether other handles, processes or
// programs have changed the file. SQLite does not tell what they have changed, so
// lost stands for it, and for more than a thousand changes that come while
// announce takes its time.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	w := &watch{wake: make(chan struct{}, 1)}
	s.mu.Lock()
	s.watches[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, w)
	}()
	var tick <-chan time.Time // never without others
	if !s.features.SoleOwner {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	first, look := true, true
	for {
		changes, lost := s.taken(w)
		if look {
			others, err := s.othersWrote(ctx, w)
			if err != nil {
				return s.failed(err)
			}
			lost = lost || others || first
		}
		if len(changes) > 0 || lost {
			announce(changes, lost)
		}
		first, look = false, false
		select {
		case <-w.wake:
		case <-tick:
			look = true
		case <-s.closing:
			return fmt.Errorf("sqlitestore: %s: %w", s.path, store.ErrClosed)
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
	}
}

// othersWrote reports whether another connection may have written since the last
// look. It asks the connection that writes, because any other one would count the
// commits of this store too.
func (s *Store) othersWrote(ctx context.Context, w *watch) (wrote bool, err error) {
	if err := ctx.Err(); err != nil || s.features.SoleOwner { // ctx first: Watch with one that has ended fails
		return false, err
	}
	if err := s.place.check(); err != nil {
		return false, err
	}
	var c *conn
	var number int64
	err = patiently(ctx, busyWait, func() (err error) {
		if c == nil {
			c, err = s.writer.take(ctx) // may have to open it
		}
		if err == nil {
			number, err = c.number(dataVersion)
		}
		return err
	})
	switch {
	case c == nil:
		return false, err
	case err != nil:
		s.writer.drop(c)
		return false, err
	}
	s.writer.put(c)
	wrote = c != w.conn || number != w.number
	w.conn, w.number = c, number
	return wrote, nil
}

// taken takes what a watch has to announce.
func (s *Store) taken(w *watch) (changes []store.Change, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes, lost = w.changes, w.lost
	w.changes, w.lost = nil, false
	return changes, lost
}

// tell notes what a call of Commit has changed, or may have, for each watch.
func (s *Store) tell(groups []store.Group, results []store.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		for i, g := range groups {
			w.note(g, &results[i])
		}
		if len(w.changes) == 0 && !w.lost {
			continue
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// note notes what a group has changed, or may have.
func (w *watch) note(g store.Group, res *store.Result) {
	if res.Outcome != store.Applied && res.Outcome != store.Unknown {
		return
	}
	for i := range g {
		if g[i].Op == store.Check || g[i].Op == store.Delete && g[i].Base == 0 {
			continue // nothing has changed
		}
		if len(w.changes) == maxChanges {
			w.changes, w.lost = nil, true
		}
		change := store.Change{Key: g[i].Key}
		if res.Outcome == store.Applied {
			change.Revision = res.Revisions[i]
		}
		w.changes = append(w.changes, change)
	}
}
