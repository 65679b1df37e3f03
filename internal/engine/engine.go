package engine

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A Config holds the limits of an Engine; every field is set.
type Config struct {
	Now           func() time.Time
	Logger        *slog.Logger
	MaxInstances  int
	MaxBytes      int64
	MaxGuests     int
	GuestIdle     time.Duration // unused ephemeral state is evicted after it
	MaxState      int
	MaxWaiters    int
	MaxWait       time.Duration
	CommitTimeout time.Duration
	// Absent is the key of a record that never exists, which is read to learn
	// whether a store answers.
	Absent string
	// Turn names the record with the nodes that take turns at the state with this
	// key.
	Turn func(key string) string
	// Report receives every failed load and save. It is called without locks.
	Report func(k *Kind, key, phase string, err error)
	// Observer, if set, receives the engine's events.
	Observer Observer
}

// An Engine holds the instances of one application.
type Engine struct {
	cfg    Config
	limits limits
	single limits // without batches: for immediate stores
	node   node

	seed maphash.Seed // of digests

	instances *cache
	guests    *cache
	members   sync.Pool // of *member
	batches   sync.Pool // of *batch
	actives   sync.Pool // of *active

	departures departures
	topics     topics

	ctx    context.Context // loads, commits and hooks run under it
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool          // Close has begun
	stopped  bool          // no goroutine starts any more
	drained  chan struct{} // closed when closed is set and inflight is 0
	backends map[store.Store]*Backend

	unsaved     atomic.Int64 // instances with changes that the store lacks
	ahead       atomic.Int64 // instances that are loaded ahead
	stuck       atomic.Int64 // those of them whose latest save has failed
	inflight    atomic.Int64
	refuse      atomic.Bool     // mirrors closed
	evictAtOnce atomic.Bool     // evict unused states at once
	ending      context.Context // ends when Close begins
	end         context.CancelFunc
	closeDone   chan struct{} // closed when Close has returned
	lost        atomic.Int64  // guests that were evicted to make room
	lostLogged  atomic.Int64  // when that was last logged, in Unix seconds
}

// New returns an engine that runs until Close.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg:       cfg,
		limits:    limits{waiters: cfg.MaxWaiters, members: 256, bytes: cfg.MaxState / 2},
		single:    limits{waiters: cfg.MaxWaiters, members: 1, bytes: 0},
		drained:   make(chan struct{}),
		closeDone: make(chan struct{}),
		seed:      maphash.MakeSeed(),
		backends:  map[store.Store]*Backend{},
	}
	rand.Read(e.node.id[:])
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.ending, e.end = context.WithCancel(context.Background())
	e.instances = newCache(e, cfg.MaxInstances, cfg.MaxBytes)
	e.guests = newCache(e, cfg.MaxGuests, cfg.MaxBytes)
	e.departures.start = e.Go
	e.topics.init(e.Go)
	return e
}

// Context is the context of the engine's own work; it ends with Close.
func (e *Engine) Context() context.Context { return e.ctx }

// Go runs fn in a goroutine that Close waits for; fn must end with its context.
// Go reports false, and does nothing, once the engine has stopped.
func (e *Engine) Go(fn func(context.Context)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false
	}
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		fn(e.ctx)
	}()
	return true
}

// Backend returns the engine's side of a store: one Backend for each store,
// however many modules use it.
func (e *Engine) Backend(s store.Store) *Backend {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.backends[s]; b != nil {
		return b
	}
	b := &Backend{
		checked: checked{s}, features: s.Features(),
		ctx: e.ctx, start: e.Go, maxWait: e.cfg.MaxWait, commitTimeout: e.cfg.CommitTimeout,
		stuck: &e.stuck,
	}
	if p, ok := s.(store.Placer); ok && b.features.Places {
		b.placer = p
	}
	b.main.init(b, e.cfg.Absent)
	b.contests = newContests(e.node.id, e.cfg.Turn)
	if e.stopped {
		b.main.queries.stopped = true
	} else if !b.features.Immediate {
		e.wg.Go(b.main.run)
		for range maxLoads {
			e.wg.Go(b.main.runLoader)
		}
	}
	e.backends[s] = b
	return b
}

// Begin registers a piece of work that Close waits for. It reports false when
// the engine is closed; otherwise End must be called.
func (e *Engine) Begin() bool {
	e.inflight.Add(1)
	if e.refuse.Load() {
		e.End()
		return false
	}
	return true
}

// End undoes Begin.
func (e *Engine) End() {
	if e.inflight.Add(-1) == 0 && e.refuse.Load() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.inflight.Load() == 0 {
			select {
			case <-e.drained:
			default:
				close(e.drained)
			}
		}
	}
}

// changed wakes all who watch the state. It does not wait, so locks may be held.
func (e *Engine) changed(k *Kind, key string) {
	if e.topics.any() {
		e.topics.changed(topicKey{k, key})
	}
}

// Nudge wakes all who watch the state, although it is as it was: something else that
// they see with it has changed. It does not wait, so locks may be held.
func (e *Engine) Nudge(k *Kind, key string) {
	if e.topics.any() {
		e.topics.nudge(topicKey{k, key})
	}
}

// hold makes Close wait for work that was begun before it.
func (e *Engine) hold() { e.inflight.Add(1) }

func (e *Engine) digest(b []byte) digest {
	return digest{maphash.Bytes(e.seed, b), int32(len(b))} //nolint:gosec // states are far smaller
}

// Encodes reports whether b is the encoded value of v.
func (e *Engine) Encodes(v *Version, b []byte) bool { return v.digest() == e.digest(b) }
