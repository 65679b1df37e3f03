package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// checkFollowing has writers change records at random while a follower reads what
// is announced, and compares what it has in the end with what is stored.
func checkFollowing(e *env, watched store.Store, writers ...store.Store) {
	const keys, changes = 5, 60
	f := &follower{e: e, store: watched, revs: map[string]store.Revision{}, more: make(chan struct{}, 1)}
	for k := range keys {
		f.revs[fmt.Sprint("key", k)] = 0
	}
	ctx, cancel := context.WithCancel(e.ctx)
	ended := make(chan error, 1)
	go func() { ended <- watched.(store.Watcher).Watch(ctx, f.announce) }()
	select {
	case <-f.more:
	case err := <-ended:
		e.t.Fatalf("Watch ended with %v", err)
	}
	var group sync.WaitGroup
	for i, s := range writers {
		random := e.rand(uint64(i))
		group.Go(func() {
			for n := range changes {
				key := fmt.Sprint("key", random.IntN(keys))
				recs, err := s.Load(e.ctx, []store.Read{{Key: key}})
				if err != nil {
					e.t.Errorf("Load: %v", err)
					return
				}
				w := put(key, recs[0].Revision, fmt.Sprint(i, " ", n))
				if w.Base != 0 && random.IntN(4) == 0 {
					w = del(key, w.Base)
				}
				if res := s.Commit(e.ctx, []store.Group{{w}})[0]; res.Outcome != store.Applied && res.Outcome != store.Conflict {
					e.t.Errorf("%s: %s", describe(store.Group{w}), resultText(res))
				}
			}
		})
	}
	group.Wait()
	timer := time.NewTimer(e.wait())
	defer timer.Stop()
	for want := f.stored(); ; {
		if f.has(want) {
			break
		}
		select {
		case <-f.more:
			continue
		case err := <-ended:
			e.t.Errorf("Watch ended with %v", err)
			ended <- err
		case <-timer.C:
			e.t.Errorf("a reader that follows what is announced has not ended with the revisions %v, which the store has", want)
		}
		break
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		e.t.Errorf("Watch ended with %v when its context was cancelled, want it to wrap %v", err, context.Canceled)
	}
}

// A follower reads what is announced.
type follower struct {
	e     *env
	store store.Store
	more  chan struct{} // has room for one

	mu   sync.Mutex
	revs map[string]store.Revision
}

func (f *follower) announce(changes []store.Change, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.revs {
		if lost || slices.ContainsFunc(changes, func(c store.Change) bool { return c.Key == key }) {
			f.revs[key] = f.load(key)
		}
	}
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *follower) load(key string) store.Revision {
	recs, err := f.store.Load(f.e.ctx, []store.Read{{Key: key}})
	if err != nil {
		f.e.t.Errorf("Load: %v", err)
		return 0
	}
	return recs[0].Revision
}

// stored returns the revisions that the store has.
func (f *follower) stored() map[string]store.Revision {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := map[string]store.Revision{}
	for key := range f.revs {
		stored[key] = f.load(key)
	}
	return stored
}

func (f *follower) has(revs map[string]store.Revision) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Equal(f.revs, revs)
}
