package engine

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// Bounds of one call of Store.Commit.
const (
	maxGroups     = 512
	maxGroupBytes = 8 << 20
)

// A Backend commits the batches of all instances of one store. For a store
// that waits for a disk or a server, one goroutine gathers what is ready and
// commits it in one call; an immediate store is called directly.
type Backend struct {
	engine   *Engine
	store    store.Store
	features store.Features

	mu      sync.Mutex
	queue   []*request
	stopped bool
	signal  chan struct{}
	took    atomic.Int64 // nanoseconds that the last call of Commit took

	applied atomic.Uint64 // groups that the store has applied while saves failed
	failed  atomic.Uint64 // 1 + applied, as it was when a save last failed by the store's fault
}

// newBackend is called with e.mu locked.
func newBackend(e *Engine, s store.Store) *Backend {
	b := &Backend{engine: e, store: s, features: s.Features(), signal: make(chan struct{}, 1)}
	if !b.features.Immediate && !e.stopped {
		e.wg.Add(1)
		go func() {
			defer e.wg.Done()
			b.run()
		}()
	}
	return b
}

// Features returns what the store declares.
func (b *Backend) Features() store.Features { return b.features }

// Store returns the store itself, for calls that concern no instance.
func (b *Backend) Store() store.Store { return b.store }

// load reads one record as it is at a time.
func (b *Backend) load(key string, at time.Time) (*store.Record, error) {
	ctx, cancel := context.WithTimeout(b.engine.ctx, b.engine.cfg.MaxWait)
	defer cancel()
	recs, err := b.store.Load(ctx, at, []store.Read{{Key: key}})
	if err != nil {
		return nil, storeError(phaseLoad, err)
	}
	if len(recs) != 1 {
		return nil, failAt(phaseLoad, Internal, "the store did not answer the read", nil)
	}
	return &recs[0], nil
}

// works notes that the store has applied a group, which matters while there are
// states whose saves have failed.
func (b *Backend) works() {
	if b.engine.stuck.Load() > 0 {
		b.applied.Add(1)
	}
}

// failing reports whether a save has failed by the store's fault, and the store
// has taken nothing since.
func (b *Backend) failing() bool { return b.failed.Load() > b.applied.Load() }

// patience is how long the first member of a batch waits for others to run.
func (b *Backend) patience() time.Duration {
	return min(max(time.Millisecond, 20*time.Duration(b.took.Load())), 100*time.Millisecond)
}

// send commits the request now or puts it into the queue.
func (b *Backend) send(req *request) {
	e := b.engine
	if e.ctx.Err() != nil {
		e.refuseRequest(req)
		return
	}
	if b.features.Immediate {
		req.sent++
		res := b.store.Commit(e.ctx, e.cfg.Now(), req.writes[:])
		e.settle(req, resultAt(res, 0, len(req.all())))
		return
	}
	if req.sent == 0 {
		req.queued = time.Now()
	}
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		e.refuseRequest(req)
		return
	}
	b.queue = append(b.queue, req)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// run is the committer. It never waits for a time to pass: it lets whoever is
// runnable join first, and what arrives during a commit makes the next one.
func (b *Backend) run() {
	done := b.engine.ctx.Done()
	for {
		select {
		case <-b.signal:
		case <-done:
			b.refuse()
			return
		}
		for {
			b.gather()
			reqs := b.take()
			if len(reqs) == 0 {
				break
			}
			if reqs = b.refuseLate(reqs); len(reqs) > 0 {
				b.commit(reqs)
			}
		}
	}
}

// gather yields until the queue stops growing.
func (b *Backend) gather() {
	for n := -1; ; {
		b.mu.Lock()
		now := len(b.queue)
		b.mu.Unlock()
		if now == n || now >= maxGroups {
			return
		}
		n = now
		runtime.Gosched()
	}
}

// take removes what fits into one call. Keys of one call are distinct: only
// groups of several writes can name a key that another group names too, and
// wait for the next call then.
func (b *Backend) take() []*request {
	b.mu.Lock()
	defer b.mu.Unlock()
	several := false
	for _, r := range b.queue {
		several = several || len(r.all()) > 1
	}
	var keys map[string]bool
	if several {
		keys = make(map[string]bool, len(b.queue)+1)
	}
	var reqs, rest []*request
	bytes := 0
	for i, r := range b.queue {
		if len(reqs) == maxGroups || (bytes+r.bytes > maxGroupBytes && len(reqs) > 0) {
			rest = append(rest, b.queue[i:]...)
			break
		}
		if several && !claim(keys, r.all()) {
			rest = append(rest, r)
			continue
		}
		bytes += r.bytes
		reqs = append(reqs, r)
	}
	b.queue = rest
	return reqs
}

func claim(keys map[string]bool, g store.Group) bool {
	for i := range g {
		if keys[g[i].Key] {
			return false
		}
	}
	for i := range g {
		keys[g[i].Key] = true
	}
	return true
}

// refuseLate ends what has waited for longer than MaxWait without being sent,
// and returns the others. When the store hangs, those in the queue would
// otherwise wait for one timeout after the other.
func (b *Backend) refuseLate(reqs []*request) []*request {
	e, now := b.engine, time.Now()
	return slices.DeleteFunc(reqs, func(r *request) bool {
		late := r.save == nil && r.sent == 0 && now.Sub(r.queued) > e.cfg.MaxWait
		if late {
			e.end(r, rejected, failAt(phaseSave, Busy, "too many changes wait to be stored", nil))
		}
		return late
	})
}

func (b *Backend) commit(reqs []*request) {
	e := b.engine
	groups := make([]store.Group, len(reqs))
	for i, r := range reqs {
		r.sent++
		groups[i] = r.all()
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.CommitTimeout)
	began := time.Now()
	res := b.store.Commit(ctx, e.cfg.Now(), groups)
	b.took.Store(int64(time.Since(began)))
	cancel()
	for i, r := range reqs {
		e.settle(r, resultAt(res, i, len(r.all())))
	}
}

// refuse ends what is left in the queue when the engine stops.
func (b *Backend) refuse() {
	b.mu.Lock()
	reqs := b.queue
	b.queue, b.stopped = nil, true
	b.mu.Unlock()
	for _, r := range reqs {
		b.engine.refuseRequest(r)
	}
}
