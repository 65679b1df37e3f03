package storefault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stay-go/stay/store"
)

// Watch implements store.Watcher. Rules with Watch match the call itself; rules
// with Announce match each change that is announced, and, without a key, each time
// that announcements are lost. A change is lost, without a word, by a fault that
// decides an outcome; it comes later, also after changes that were made later, by
// one that waits. Watch fails with errors.ErrUnsupported when the wrapped store is
// not a Watcher.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	_, err := read(ctx, s, Call{Op: Watch}, func() (struct{}, error) {
		watcher, ok := s.inner.(store.Watcher)
		if !ok {
			return struct{}{}, fmt.Errorf("storefault: the wrapped store announces nothing: %w", errors.ErrUnsupported)
		}
		a := &announcer{store: s, announce: announce}
		var cancel context.CancelFunc
		a.ctx, cancel = context.WithCancel(ctx)
		defer a.waiting.Wait()
		defer cancel()
		return struct{}{}, watcher.Watch(ctx, a.receive)
	}, func(none struct{}, _ []Fault) struct{} { return none })
	return err
}

// An announcer passes on what a wrapped store announces to one call of Watch.
type announcer struct {
	store   *Store
	ctx     context.Context // ends with the call
	waiting sync.WaitGroup  // announcements that come later

	mu       sync.Mutex // held during announce
	announce func([]store.Change, bool)
}

// receive is the announce of the wrapped store.
func (a *announcer) receive(changes []store.Change, lost bool) {
	var now []store.Change
	for _, c := range changes {
		if a.harmed([]string{c.Key}, func() { a.pass([]store.Change{c}, false) }) {
			continue
		}
		now = append(now, c)
	}
	lost = lost && !a.harmed(nil, func() { a.pass(nil, true) })
	if lost || len(now) > 0 {
		a.pass(now, lost)
	}
}

func (a *announcer) pass(changes []store.Change, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.announce(changes, lost)
}

// harmed reports whether faults apply to an announcement. Then they decide when,
// and how often, pass is called.
func (a *announcer) harmed(keys []string, pass func()) bool {
	call := Call{Op: Announce, Keys: keys}
	a.store.mu.Lock()
	a.store.counts[Announce]++
	call.N = a.store.counts[Announce]
	a.store.mu.Unlock()
	faults := a.store.match(call)
	if len(faults) == 0 {
		return false
	}
	times, waits := 1, false
	for _, f := range faults {
		switch f.fate {
		case failed, dropped, unacknowledged:
			return true
		}
		if f.twice {
			times++
		}
		waits = waits || f.gate != nil || f.waitBefore != nil || f.waitAfter != nil
	}
	arrive := func() {
		for range times {
			pass()
		}
	}
	if !waits {
		arrive()
		return true
	}
	a.waiting.Go(func() {
		w := a.store.waiting(a.ctx, call)
		for _, f := range faults {
			if f.gate != nil && w.at(f.gate) != nil {
				return
			}
		}
		if w.before(faults) == nil && w.after(faults) == nil {
			arrive()
		}
	})
	return true
}
