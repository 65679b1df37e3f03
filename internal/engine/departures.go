package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// maxDepartures is how many states may wait for their hooks before nothing
	// more is loaded whose own hook would have to wait behind them. A state
	// that is already loaded may join in any case, so the queue is bounded by
	// this and by what fits into memory.
	maxDepartures = 1024
	// departuresAtOnce is how many are put into the queue at once when many
	// states leave together, as in a sweep.
	departuresAtOnce = 256
)

// A departure is a state that has left memory and whose hooks must be called.
type departure struct {
	key             string
	version         *Version
	idle, destroyed func(key string, v *Version) // the hooks, in their order; nil = none
}

// departures calls the hooks of states that have left memory, one after
// another. States leave in the middle of other work, with a turn or a lock
// taken, so a separate goroutine calls the hooks. It runs while there are any.
type departures struct {
	start func(func(context.Context)) bool // Engine.Go

	mu      sync.Mutex
	queue   []departure
	running bool          // a hook is running
	working bool          // the goroutine exists
	moved   chan struct{} // closed when a hook has returned; nil = nobody waits
}

// add puts a state into the queue. It does not wait, so locks may be held.
func (d *departures) add(dep departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, dep)
	if !d.working {
		d.working = d.start(d.work)
	}
}

// work calls hooks until none is left, or the engine stops.
func (d *departures) work(ctx context.Context) {
	for ctx.Err() == nil && d.next() {
	}
}

// next calls the hooks of the first state in the queue. It reports false when
// there is none; then the goroutine ends.
func (d *departures) next() bool {
	d.mu.Lock()
	if len(d.queue) == 0 {
		d.queue = nil
		d.working = false
		d.mu.Unlock()
		return false
	}
	dep := d.queue[0]
	d.queue[0] = departure{}
	d.queue = d.queue[1:]
	d.running = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.running = false
		if d.moved != nil {
			close(d.moved)
			d.moved = nil
		}
		d.mu.Unlock()
	}()
	if dep.idle != nil {
		dep.idle(dep.key, dep.version)
	}
	if dep.destroyed != nil {
		dep.destroyed(dep.key, dep.version)
	}
	return true
}

// errHooks is the error with which awaitRoom gives up.
var errHooks = errors.New("OnDestroyed and OnExpire are slower than states are loaded: make the hooks faster")

// awaitRoom waits, at most for most, until another state with hooks may be
// loaded. So the states that wait for hooks are bounded, however slow the hooks
// are.
func (d *departures) awaitRoom(ctx context.Context, most time.Duration) error {
	d.mu.Lock()
	full := len(d.queue) >= maxDepartures
	d.mu.Unlock()
	if !full {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if err := d.await(ctx, func() bool { return len(d.queue) < maxDepartures }); err != nil {
		return fail(Busy, "too many states are waiting to leave memory", fmt.Errorf("%w: %w", errHooks, err))
	}
	return nil
}

// drain waits until all hooks have been called, or ctx ends.
func (d *departures) drain(ctx context.Context) {
	_ = d.await(ctx, func() bool { return len(d.queue) == 0 && !d.running })
}

// await waits until done reports true. It calls done with the lock held.
func (d *departures) await(ctx context.Context, done func() bool) error {
	for {
		d.mu.Lock()
		if done() {
			d.mu.Unlock()
			return nil
		}
		if d.moved == nil {
			d.moved = make(chan struct{})
		}
		moved := d.moved
		d.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
