package engine

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
)

// States are watched by key, beside the cache: a topic is there while somebody
// watches, whatever becomes of the instance. So watching keeps nothing in memory,
// and a state that is evicted, deleted or discarded after a conflict is watched
// all the while.
//
// A wake says only: look again. So there is nothing to queue, to lose or to put
// in order. It follows the change and precedes the answer to whoever made it.
// Who is woken watched before the change could be seen: publish stores first and
// wakes then, and who watches begins to before it reads.

const (
	topicShards = 64
	// toldInPlace is how many are woken by whoever changes a state. More are woken
	// by a goroutine, which is there while there is something to tell: they must
	// not hold up the commits of all states.
	toldInPlace = 8
	// toldAtOnce is how many that goroutine wakes before it lets others have the
	// lock.
	toldAtOnce = 256
)

// A Watch is woken by what it watches.
type Watch struct {
	// C has a value, never more than one, if something may have changed.
	C chan struct{}
}

// NewWatch returns a Watch that watches nothing.
func NewWatch() *Watch { return &Watch{C: make(chan struct{}, 1)} }

// Wake makes sure that C has a value.
func (w *Watch) Wake() {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// A Watched is one state that a Watch watches.
type Watched struct {
	watch *Watch
	topic *topic
	at    int // in topic.all
}

// topics are the states that somebody watches.
type topics struct {
	n      atomic.Int64 // the number of Watched
	shards [topicShards]topicShard
}

type topicShard struct {
	mu  sync.Mutex
	all map[cacheKey]*topic
}

// A topic is one state that somebody watches; the lock of its shard guards it.
type topic struct {
	shard  *topicShard
	key    cacheKey
	all    []*Watched
	loaded *Version // see Engine.loaded; without its value
	dirty  bool     // all must be woken
	told   bool     // by a goroutine, which is under way
}

func (ts *topics) shard(k *Kind, key string) *topicShard {
	_, h := k.cache.place(k, key)
	return &ts.shards[h>>32%topicShards]
}

// Watch has w woken, until Unwatch, by everything after which Get may return
// another version of the state than before. It does not wait.
func (e *Engine) Watch(w *Watch, k *Kind, key string) *Watched {
	s := e.topics.shard(k, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[cacheKey{k, key}]
	if t == nil {
		if !k.OwnKeys {
			key = strings.Clone(key) // see cache.add
		}
		t = &topic{shard: s, key: cacheKey{k, key}}
		if s.all == nil {
			s.all = map[cacheKey]*topic{}
		}
		s.all[t.key] = t
		if b := k.Backend; b != nil && b.nodes != nil {
			b.nodes.add(k, key)
		}
	}
	d := &Watched{watch: w, topic: t, at: len(t.all)}
	t.all = append(t.all, d)
	e.topics.n.Add(1)
	return d
}

// Unwatch ends what Watch began. It is called once.
func (e *Engine) Unwatch(d *Watched) {
	t := d.topic
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	last := len(t.all) - 1
	t.all[d.at] = t.all[last]
	t.all[d.at].at = d.at
	t.all[last] = nil
	if t.all = t.all[:last]; last == 0 {
		delete(t.shard.all, t.key)
		if b := t.key.kind.Backend; b != nil && b.nodes != nil {
			b.nodes.remove(t.key.kind, t.key.key)
		}
	}
	e.topics.n.Add(-1)
}

// watched reports whether anybody watches anything.
func (e *Engine) watched() bool { return e.topics.n.Load() != 0 }

// changed wakes all who watch the state. It does not wait, so locks may be held.
func (e *Engine) changed(k *Kind, key string) {
	if !e.watched() {
		return
	}
	s := e.topics.shard(k, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[cacheKey{k, key}]; t != nil {
		t.loaded = nil
		e.wake(t)
	}
}

// loaded is changed for the first version of an instance. Where the store has a
// sole owner, a load shows nobody anything new. Elsewhere others may have changed
// the state since it was evicted. It wakes nobody if the load before found the
// same and nothing has happened since: otherwise whoever looks, loads the state
// and has it evicted would wake itself for ever.
func (e *Engine) loaded(in *Instance, v *Version) {
	if b := in.kind.Backend; b == nil || b.features.SoleOwner || in.m.dead {
		return
	}
	s := e.topics.shard(in.kind, in.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[cacheKey{in.kind, in.key}]; t != nil && (t.loaded == nil || !t.loaded.alike(v)) {
		t.loaded = v.hollow()
		e.wake(t)
	}
}

// wake wakes all of a topic, or has a goroutine do it. The shard is locked.
func (e *Engine) wake(t *topic) {
	if len(t.all) <= toldInPlace {
		for _, d := range t.all {
			d.watch.Wake()
		}
		return
	}
	t.dirty = true
	if !t.told {
		t.told = e.Go(func(context.Context) { t.tell() })
	}
}

// tell wakes all of a topic, and again if it has changed meanwhile. It goes from
// the last to the first: who ends to watch gives the last one its place, which
// was told by then.
func (t *topic) tell() {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	for t.dirty {
		t.dirty = false
		for i := len(t.all) - 1; i >= 0; i = min(i, len(t.all)) - 1 {
			t.all[i].watch.Wake()
			if i%toldAtOnce == 0 {
				t.shard.mu.Unlock()
				t.shard.mu.Lock()
			}
		}
	}
	t.told = false
}
