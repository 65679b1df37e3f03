package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// roundEvery is how often memory is compared with the store, whatever is
	// announced: so long at most a change by another node stays unseen.
	roundEvery = 15 * time.Second
	// roundShare bounds the time of rounds after lost announcements: a round that
	// has taken d is followed by roundShare times d without one.
	roundShare = 9
	// listenMin is the pause before a store is asked again to announce changes, or
	// for what it has announced. It doubles with each failure, up to roundEvery, or
	// to roundMax if the store has failed and not a record.
	listenMin = 50 * time.Millisecond
	roundMax  = 2 * time.Second
)

// nodes brings what is watched forward when other owners of a store have changed
// it. Announcements of the store wake this node, not those who watch: one call of
// Load brings an instance forward, which wakes them, and they read memory. So a
// change costs one call, however many watch.
//
// An announcement may be late, double or lost, so a round compares the revisions of
// all that is watched from time to time, and so it does for a store that announces
// nothing. The store is asked for nothing while nobody watches.
type nodes struct {
	engine  *Engine
	backend *Backend
	signal  chan struct{} // has room for one: due or lost was set

	mu      sync.Mutex
	watched map[string]*sharedKey         // by key in the store
	due     map[*sharedKey]store.Revision // announced; 0 = the revision is not known
	late    map[*sharedKey]time.Time      // could not be read; when they are due again
	lost    bool                          // announcements were
	running bool                          // a goroutine is there
}

// A sharedKey is the key of a state that is watched, and that others may change.
type sharedKey struct {
	kind *Kind
	key  string

	// nodes.mu guards these.
	seen  store.Revision // what those who watch know, while the state is not in memory
	known bool           // seen is set
	fails int            // reads in a row that have failed because of it
	busy  bool           // a goroutine waits for its load, or runs its hooks
}

func newNodes(e *Engine, b *Backend) *nodes {
	return &nodes{
		engine: e, backend: b, signal: make(chan struct{}, 1),
		watched: map[string]*sharedKey{}, due: map[*sharedKey]store.Revision{}, late: map[*sharedKey]time.Time{},
	}
}

// Watch has w woken, until Unwatch, by everything after which Get may return
// another version of the state than before. It does not wait.
func (e *Engine) Watch(w *Watch, k *Kind, key string) *Watched {
	return e.topics.watch(w, topicKey{k, key}, e.begunToWatch)
}

// Unwatch ends what Watch began. It is called once.
func (e *Engine) Unwatch(d *Watched) { e.topics.unwatch(d, endedToWatch) }

// Noticed returns the revision of the record that is watched as this node knows it,
// whether the state is in memory or not; 0 = there is none, or it is not known. It
// asks nobody.
func (e *Engine) Noticed(d *Watched) store.Revision {
	k := d.topic.key.kind.(*Kind)
	if b := k.Backend; b != nil && b.nodes != nil {
		return b.nodes.noticed(k.Prefix + d.topic.key.key)
	}
	return 0
}

func (e *Engine) begunToWatch(t topicKey) {
	b := t.kind.(*Kind).Backend
	if b == nil || b.features.SoleOwner {
		return
	}
	b.watching.Do(func() { b.nodes = newNodes(e, b) })
	b.nodes.add(t)
}

func endedToWatch(t topicKey) {
	if b := t.kind.(*Kind).Backend; b != nil && b.nodes != nil {
		b.nodes.remove(t)
	}
}

// left is called when a state that is watched leaves memory.
func (n *nodes) left(key string, rev store.Revision) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.watched[key]; s != nil {
		s.seen, s.known = rev, true
	}
}

// add is called when somebody begins to watch the state, before it is read.
func (n *nodes) add(t topicKey) {
	k := t.kind.(*Kind)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watched[k.Prefix+t.key] = &sharedKey{kind: k, key: t.key}
	if !n.running {
		n.running = n.engine.Go(n.run)
	}
}

// remove is called when nobody watches the state any more.
func (n *nodes) remove(t topicKey) {
	key := t.kind.(*Kind).Prefix + t.key
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.watched[key]
	delete(n.due, s)
	delete(n.late, s)
	delete(n.watched, key)
}

// run compares until a round finds that nobody watches. It goes on until then, so
// that a page that is loaded again does not end and begin it.
func (n *nodes) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if n.backend.features.Watch {
		n.engine.Go(func(context.Context) { n.listen(ctx) })
	}
	t := time.NewTimer(roundEvery)
	defer t.Stop()
	next := time.Now().Add(roundEvery) // round
	var rest time.Time                 // no round before it
	for failures := 0; ; {
		some, lost, again := n.take()
		if lost && rest.Before(next) {
			next = rest
		}
		began := time.Now()
		round := !began.Before(next)
		if round {
			if some = n.all(); some == nil {
				return
			}
		}
		err := n.compare(ctx, some)
		if round {
			rest = time.Now().Add(roundShare * time.Since(began))
			next = time.Now().Add(roundEvery)
		}
		switch {
		case err != nil:
			failures++
			rest = time.Now().Add(min(listenMin<<min(failures, 16), roundMax))
			next = rest
		case round:
			failures = 0
		}
		if again.IsZero() || next.Before(again) {
			again = next
		}
		t.Reset(time.Until(again))
		select {
		case <-n.signal:
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// listen has the store announce changes, again and again when that ends.
func (n *nodes) listen(ctx context.Context) {
	for pause := listenMin; ; pause = min(2*pause, roundEvery) {
		began := time.Now()
		err := n.backend.checked.Store.(store.Watcher).Watch(ctx, n.announced)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > roundEvery {
			pause = listenMin
		}
		if pause == listenMin { // the first failure of several
			n.engine.cfg.Logger.Warn("stay: the store does not announce what other nodes change: until it does, pages that are open show it up to a quarter of a minute later", "error", err)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return // it never will
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// announced is called by the store. It does not wait.
func (n *nodes) announced(changes []store.Change, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = n.lost || lost
	for _, c := range changes {
		s := n.watched[c.Key]
		if s == nil {
			continue
		}
		if rev, ok := n.due[s]; !ok || rev != 0 && (c.Revision == 0 || c.Revision > rev) {
			n.due[s] = c.Revision
		}
	}
	if n.lost || len(n.due) > 0 {
		n.wake()
	}
}

func (n *nodes) wake() {
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// take takes what was announced and is newer than memory, and what is due again. It
// returns when more is; zero = never.
func (n *nodes) take() (some []*sharedKey, lost bool, again time.Time) {
	n.mu.Lock()
	now := time.Now()
	for s, at := range n.late {
		switch {
		case !at.After(now):
			delete(n.late, s)
			n.due[s] = 0
		case again.IsZero() || at.Before(again):
			again = at
		}
	}
	due := n.due
	n.due = map[*sharedKey]store.Revision{}
	for s, rev := range due {
		if s.busy {
			n.due[s] = rev
			delete(due, s)
		}
	}
	lost, n.lost = n.lost, false
	n.mu.Unlock()
	for s, rev := range due {
		if _, have, known := n.have(s); !known || rev == 0 || rev > have.Have {
			some = append(some, s)
		}
	}
	return some, lost, again
}

// all returns all that is watched; nil ends the goroutine, because nobody watches.
func (n *nodes) all() []*sharedKey {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watched) == 0 {
		n.running = false
		return nil
	}
	all := make([]*sharedKey, 0, len(n.watched))
	for _, s := range n.watched {
		if s.busy {
			n.due[s] = 0
		} else {
			delete(n.due, s)
			delete(n.late, s)
			all = append(all, s)
		}
	}
	return all
}

// have is what this node has of the state: the instance with its version, if it is
// in memory, and the revision. The lock of nodes is not held: whoever evicts has
// locked the cache, and wakes.
func (n *nodes) have(s *sharedKey) (in read, have store.Read, known bool) {
	have.Key = s.kind.Prefix + s.key
	if in.in = s.kind.cache.peek(s.kind, s.key); in.in != nil {
		in.have = in.in.snapshot.Load()
	}
	if in.have != nil {
		have.Have = in.have.recordRevision()
		return in, have, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	have.Have = s.seen
	return in, have, s.known
}

// noticed is Engine.Noticed.
func (n *nodes) noticed(key string) store.Revision {
	n.mu.Lock()
	s := n.watched[key]
	n.mu.Unlock()
	if s == nil {
		return 0
	}
	_, have, _ := n.have(s)
	return have.Have
}
