package engine

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// Limits of one call of Store.Commit.
const (
	maxGroups     = 512
	maxGroupBytes = 8 << 20
)

// run is the committer. It never waits for time to pass: it first lets every
// runnable goroutine join, and writes that arrive during a commit go into the
// next one.
func (b *Backend) run() {
	done := b.ctx.Done()
	for {
		select {
		case <-b.signal:
		case <-done:
			b.refuseAll()
			return
		}
		for {
			b.gather()
			some := b.take()
			if len(some) == 0 {
				break
			}
			if some = b.refuseLate(some); len(some) > 0 {
				b.commit(some)
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

// take removes the writes that fit into one call. Keys of one call are
// distinct. Only a group of several writes can have a key that another group
// has too; such a group then waits for the next call.
func (b *Backend) take() []outgoing {
	b.mu.Lock()
	defer b.mu.Unlock()
	several := false
	for _, o := range b.queue {
		several = several || len(o.head().all()) > 1
	}
	var keys map[string]bool
	if several {
		keys = make(map[string]bool, len(b.queue)+1)
	}
	var some, rest []outgoing
	bytes := 0
	for i, o := range b.queue {
		r := o.head()
		if len(some) == maxGroups || (bytes+r.bytes > maxGroupBytes && len(some) > 0) {
			rest = append(rest, b.queue[i:]...)
			break
		}
		if several && !claim(keys, r.all()) {
			rest = append(rest, o)
			continue
		}
		bytes += r.bytes
		some = append(some, o)
	}
	b.queue = rest
	return some
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

// refuseLate refuses writes that have waited for longer than MaxWait without
// being sent, and returns the rest. Otherwise, when the store hangs, the writes
// in the queue would wait for one timeout after the other.
func (b *Backend) refuseLate(some []outgoing) []outgoing {
	now := time.Now()
	return slices.DeleteFunc(some, func(o outgoing) bool {
		r := o.head()
		late := !r.patient && r.sent == 0 && now.Sub(r.queued) > b.maxWait
		if late {
			o.conclude(rejected, failAt(phaseSave, Busy, "too many changes wait to be stored", nil))
		}
		return late
	})
}

func (b *Backend) commit(some []outgoing) {
	groups := make([]store.Group, len(some))
	for i, o := range some {
		r := o.head()
		r.sent++
		groups[i] = r.all()
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.commitTimeout)
	began := time.Now()
	res := b.checked.Commit(ctx, groups)
	b.took.Store(int64(time.Since(began)))
	cancel()
	for i, o := range some {
		o.settle(res[i])
	}
}

// refuseAll refuses the writes that are left in the queue when the engine
// stops.
func (b *Backend) refuseAll() {
	b.mu.Lock()
	all := b.queue
	b.queue, b.stopped = nil, true
	b.mu.Unlock()
	for _, o := range all {
		refuse(o)
	}
}
