package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A Backend is the way to one store: it reads records, and commits the writes
// of all instances of the store. For a store that waits for a disk or a server,
// it joins the reads of callers that wait (see query), loads what is not in memory
// for callers that may leave (see fetch), and one goroutine gathers the writes that
// are ready and commits them in one call. An immediate store is called directly.
// What has several places has a lane for each (see lane). A Backend knows nothing
// about instances, except that it passes on fetches.
type Backend struct {
	checked  checked
	features store.Features

	// From the engine.
	ctx           context.Context
	start         func(func(context.Context)) bool // Engine.Go
	maxWait       time.Duration
	commitTimeout time.Duration
	stuck         *atomic.Int64 // see works

	main   lane         // the only one, or that of groups over several places
	placer store.Placer // nil if the store is one place
	lanes  lanes        // one for each place

	contests *contests

	watching sync.Once // sets nodes
	nodes    interface {
		add(t topicKey)
		remove(t topicKey)
		left(key string, rev store.Revision)
		noticed(key string) store.Revision
	} // nil until somebody watches, and where the store has a sole owner

	mu    sync.Mutex   // guards what the lanes have to commit, too
	under [][]outgoing // calls of Commit under way, on all lanes

	applied atomic.Uint64 // groups that the store has applied while saves failed
	failed  atomic.Uint64 // 1 + applied, as it was when the store last caused a save to fail
}

// Features returns the features that the store declares.
func (b *Backend) Features() store.Features { return b.features }

// Store returns the store itself, for calls that are not about an instance.
func (b *Backend) Store() store.Store { return b.checked.Store }

// read returns one record.
func (b *Backend) read(key string) (*store.Record, error) {
	recs, err := b.lane(key, "").readAll([]store.Read{{Key: key}})
	if err != nil {
		return nil, err
	}
	return &recs[0], nil
}

// works records that the store has applied a group. This matters only while
// there are states whose saves have failed.
func (b *Backend) works() {
	if b.stuck.Load() > 0 {
		b.applied.Add(1)
	}
}

// broken reports whether the store has caused a save to fail and has applied
// nothing since.
func (b *Backend) broken() bool { return b.failed.Load() > b.applied.Load() }

// patience is how long the first member of a batch waits for others to run.
func (l *lane) patience() time.Duration {
	return min(max(time.Millisecond, 20*time.Duration(l.took.Load())), 100*time.Millisecond)
}

// send commits o now or puts it into the queue.
func (b *Backend) send(o outgoing) {
	r := o.head()
	if b.ctx.Err() != nil {
		refuse(o)
		return
	}
	l := b.laneOf(r.all())
	r.lane = l
	if b.features.Immediate {
		r.tries++
		r.sent++
		o.settle(b.checked.Commit(b.ctx, r.writes[:])[0])
		return
	}
	if r.tries == 0 {
		r.queued = time.Now()
	}
	b.mu.Lock()
	if l.stopped {
		b.mu.Unlock()
		refuse(o)
		return
	}
	if err := l.goneFor(r.all()); err != nil && r.sent == 0 {
		b.mu.Unlock()
		o.conclude(rejected, storeError(phaseSave, err))
		return
	}
	l.queue = append(l.queue, o)
	b.mu.Unlock()
	l.wake()
}
