package engine

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay/internal/streaming"
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
	// C has a value, never more than one, if something may have changed, and after
	// Poke.
	C chan struct{}
	// Paced has only the first change since Take give C a value: whoever waits a
	// while before it looks is left alone meanwhile. Stream is the event stream that
	// it wakes; nil: something else. Unseen means that nobody is told that it watches.
	// All are set before it watches anything.
	Paced  bool
	Stream *streaming.Stream
	Unseen bool

	changed atomic.Bool // since Take; of one that is Paced
}

// NewWatch returns a Watch that watches nothing.
func NewWatch() *Watch { return &Watch{C: make(chan struct{}, 1)} }

// Wake says that something may have changed.
func (w *Watch) Wake() {
	if !w.Paced || !w.changed.Swap(true) {
		w.Poke()
	}
}

// Changed reports whether one that is Paced was woken since Take.
func (w *Watch) Changed() bool { return w.changed.Load() }

// Take ends a pause: it is called before the look that the change is for.
func (w *Watch) Take() { w.changed.Swap(false) }

// Poke makes sure that C has a value.
func (w *Watch) Poke() {
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

// topics are the states that somebody watches. They know nothing of instances.
type topics struct {
	start  func(func(context.Context)) bool // Engine.Go
	seed   maphash.Seed
	n      atomic.Int64 // the number of Watched
	shards [topicShards]topicShard
}

type topicShard struct {
	mu  sync.Mutex
	all map[topicKey]*topic
}

// A topicKey is the kind of a state, a *Kind, and its key.
type topicKey struct {
	kind any
	key  string
}

// A topic is one state that somebody watches; the lock of its shard guards it.
type topic struct {
	of     *topics
	shard  *topicShard
	key    topicKey
	all    []*Watched
	loaded *Version // see topics.found; without its value
	dirty  bool     // all must be woken
	told   bool     // by a goroutine, which is under way
}

func (ts *topics) init(start func(func(context.Context)) bool) {
	ts.start, ts.seed = start, maphash.MakeSeed()
}

func (ts *topics) shard(k topicKey) *topicShard {
	return &ts.shards[maphash.Comparable(ts.seed, k)%topicShards]
}

// any reports whether anybody watches anything.
func (ts *topics) any() bool { return ts.n.Load() != 0 }

// watch is Engine.Watch. begun is called if nobody has watched the state. The caller's key may be a small part of a large text,
// which must not stay in memory with it.
func (ts *topics) watch(w *Watch, k topicKey, begun func(topicKey)) *Watched {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[k]
	if t == nil {
		k.key = strings.Clone(k.key)
		t = &topic{of: ts, shard: s, key: k}
		if s.all == nil {
			s.all = map[topicKey]*topic{}
		}
		s.all[k] = t
		begun(k)
	}
	d := &Watched{watch: w, topic: t, at: len(t.all)}
	t.all = append(t.all, d)
	ts.n.Add(1)
	return d
}

// unwatch is Engine.Unwatch. ended is called if nobody watches the state any more.
func (ts *topics) unwatch(d *Watched, ended func(topicKey)) {
	t := d.topic
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	last := len(t.all) - 1
	t.all[d.at] = t.all[last]
	t.all[d.at].at = d.at
	t.all[last] = nil
	if t.all = t.all[:last]; last == 0 {
		delete(t.shard.all, t.key)
		ended(t.key)
	}
	ts.n.Add(-1)
}

// eachOf calls f for each Watch of a state, but those that nobody is told of.
func (ts *topics) eachOf(k topicKey, f func(*Watch)) {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[k]; t != nil {
		t.each(f)
	}
}

// each is eachOf for all states.
func (ts *topics) each(f func(topicKey, *Watch)) {
	for i := range ts.shards {
		s := &ts.shards[i]
		s.mu.Lock()
		for key, t := range s.all {
			t.each(func(w *Watch) { f(key, w) })
		}
		s.mu.Unlock()
	}
}

func (t *topic) each(f func(*Watch)) {
	for _, d := range t.all {
		if !d.watch.Unseen {
			f(d.watch)
		}
	}
}

// changed wakes all who watch the state. It does not wait, so locks may be held.
func (ts *topics) changed(k topicKey) {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[k]; t != nil {
		t.loaded = nil
		t.wake()
	}
}

// with calls f if somebody watches the state, as long as nobody begins or ends to.
func (ts *topics) with(k topicKey, f func()) {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[k] != nil {
		f()
	}
}

// nudge is Engine.Nudge.
func (ts *topics) nudge(k topicKey) {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[k]; t != nil {
		t.wake()
	}
}

// found is changed for a load that may have found a version of other owners. It
// wakes nobody if the load before found the same and nothing has happened since:
// otherwise whoever looks, loads the state and has it evicted would wake itself
// for ever.
func (ts *topics) found(k topicKey, v *Version) {
	s := ts.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[k]; t != nil && (t.loaded == nil || !t.loaded.alike(v)) {
		t.loaded = v.hollow()
		t.loaded.rare = nil // which takes memory, too, and says nothing of this
		t.wake()
	}
}

// wake wakes all of a topic, or has a goroutine do it. The shard is locked.
func (t *topic) wake() {
	if len(t.all) <= toldInPlace {
		for _, d := range t.all {
			d.watch.Wake()
		}
		return
	}
	t.dirty = true
	if !t.told {
		t.told = t.of.start(func(context.Context) { t.tell() })
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
