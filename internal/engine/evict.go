package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// kill takes an instance out of use: see machine.kill. It reports false when
// that has to wait for an answer of the store. What is not saved is lost.
func (e *Engine) kill(in *Instance) bool { return e.expel(in, false) }

// expel is kill, and with leaves the state leaves memory for good.
func (e *Engine) expel(in *Instance, leaves bool) bool {
	in.lock()
	return e.expelLocked(in, leaves)
}

// expelLocked is expel with in.mu locked, which it unlocks.
func (e *Engine) expelLocked(in *Instance, leaves bool) bool {
	if in.owed != nil && in.owed.under != nil {
		in.owed.doomed = true
		in.leaves = in.leaves || leaves
		in.unlock()
		return false
	}
	eff := in.m.kill()
	dead, idle := in.m.dead, in.idle
	if !dead {
		in.leaves = in.leaves || leaves
	}
	if in.owed != nil && dead {
		in.owed.abandon(e)
	}
	in.unlock()
	if dead && in.kind.cache.remove(in) && leaves {
		if v := in.snapshot.Load(); v != nil {
			e.departures.add(in, v, idle)
		}
	}
	if dead {
		in.over()
	}
	e.tell(in, eff)
	return dead
}

// Drop forgets the state of a key in memory, clean or not: a stored one is
// loaded again when it is next used, ephemeral state is lost.
func (e *Engine) Drop(k *Kind, key string) {
	if in := k.cache.peek(k, key); in != nil {
		e.kill(in)
	}
}

// Forget takes the state of a key out of memory for good, as when its record
// was deleted, unless memory has a later revision by now, or one that will be
// stored although the record has expired. Its hooks are called; expired means
// that of an idle state as well. 0 stands for the latest revision.
func (e *Engine) Forget(k *Kind, key string, rev store.Revision, expired bool) {
	in := k.cache.peek(k, key)
	if in == nil {
		return
	}
	if v := in.snapshot.Load(); v != nil && rev != 0 && v.Revision > rev {
		return
	}
	in.lock()
	if rev != 0 && in.ahead(e.cfg.Now()) {
		in.unlock()
		return
	}
	in.idle = expired
	in.unlock()
	e.expel(in, true)
}

// expire takes an instance out of memory that has expired. It reports false if
// that has to wait for an answer of the store.
func (e *Engine) expire(in *Instance, now time.Time) bool {
	in.lock()
	if v := in.snapshot.Load(); !v.expired(now) {
		in.unlock()
		return true // it was changed in the last moment: look again
	}
	in.idle = in.kind.Backend == nil // else the store's record tells
	return e.expelLocked(in, true)
}

// end returns a channel that is closed when in has died, or is not about to.
func (in *Instance) end() <-chan struct{} {
	in.lock()
	defer in.unlock()
	if in.m.dead || !in.m.doomed && (in.owed == nil || !in.owed.doomed) {
		now := make(chan struct{})
		close(now)
		return now
	}
	if in.ended == nil {
		in.ended = make(chan struct{})
	}
	return in.ended
}

// over tells those who wait for it that in has died.
func (in *Instance) over() {
	in.lock()
	defer in.unlock()
	if in.ended != nil {
		close(in.ended)
		in.ended = nil
	}
}

// drop removes in if nobody uses it and it can be had again: it is stored, or
// still as it was made. Only under the lock is that certain. With leaves, it
// leaves memory as an evicted one does; without, it was never more than a
// reader's.
func (c *cache) drop(in *Instance, leaves bool) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	v := in.snapshot.Load()
	if s.find(h, in.kind, in.key) == in && (in.kind.Backend != nil || v != nil && v.Revision == 0) &&
		c.retire(s, in) && leaves {
		c.left(in, false)
	}
	s.mu.Unlock()
}

// retire removes in if nobody uses it. The shard is locked, so nobody can
// begin to.
func (c *cache) retire(s *shard, in *Instance) bool {
	if in.pins.Load() > 0 || in.snapshot.Load() == nil || !in.mu.TryLock() {
		return false
	}
	defer in.mu.Unlock()
	if in.active != nil || in.dead || !in.clean() {
		return false
	}
	in.dead = true
	c.unlinkLocked(s, in)
	return true
}

// left tells of an instance that was retired.
func (c *cache) left(in *Instance, idle bool) {
	c.engine.departures.add(in, in.snapshot.Load(), idle)
}

var errHooks = errors.New("OnDestroyed and OnExpire take longer than states are loaded")

// room waits until one more state of a kind with hooks may be loaded. So what
// waits for hooks is bounded, however slow they are.
func (e *Engine) room(ctx context.Context, k *Kind) error {
	if !k.wantsDepartures() {
		return nil
	}
	d := &e.departures
	d.mu.Lock()
	full := len(d.queue) >= maxDepartures
	d.mu.Unlock()
	if !full {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.MaxWait)
	defer cancel()
	if err := d.await(ctx, func() bool { return len(d.queue) < maxDepartures }); err != nil {
		return fail(Busy, "too many states are waiting to leave memory", fmt.Errorf("%w: %w", errHooks, err))
	}
	return nil
}

// reportDropped logs, at most once a minute, that ephemeral state was lost
// because there was more of it than fits.
func (e *Engine) reportDropped() {
	total := e.dropped.Add(1)
	now := e.cfg.Now().Unix()
	if last := e.dropLogged.Load(); now-last >= 60 && e.dropLogged.CompareAndSwap(last, now) {
		e.cfg.Logger.Warn("ephemeral state was dropped to stay within MaxGuests and MaxBytes", "dropped_in_all", total)
	}
}
