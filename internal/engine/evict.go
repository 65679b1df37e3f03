package engine

import (
	"context"
	"time"

	"github.com/stay-go/stay/store"
)

// An instance leaves memory in one of three ways:
//
//   - It is evicted when nobody uses it: to make room, because its time is
//     over, or on request. The store has the state, so it can be loaded again;
//     state that is only in memory is lost, and those who watch it are woken.
//     Its hooks are called.
//   - It is discarded when memory may be wrong: after a conflict, a failure, or
//     a write by others. Changes under way start again with what the store has.
//     Hooks are not called, because the state lives on.
//   - It ends when the state is gone for good: its record was deleted or has
//     expired, or the engine closes. Changes under way start again with another
//     instance. Its hooks are called.
//
// The last two do not depend on whether the instance is in use. They wait only
// for an answer of the store that is still to come: before it is known what
// this instance wrote, another one must not be loaded, and write. They wake
// those who watch the state: see remove.

// evict removes in, if nobody uses it and nothing of it must be saved, and
// calls its hooks; idle = also the hooks of a state whose time is over. The
// shard is locked, so nobody can begin to use in.
func (c *cache) evict(s *shard, in *Instance, idle bool) bool {
	if !c.removeUnused(s, in) {
		return false
	}
	c.engine.callHooks(in, in.snapshot.Load(), idle)
	return true
}

// removeUnused is evict without hooks.
func (c *cache) removeUnused(s *shard, in *Instance) bool {
	if in.pins.Load() > 0 || in.snapshot.Load() == nil || !in.mu.TryLock() {
		return false
	}
	defer in.mu.Unlock()
	if in.active != nil || in.dead || !in.clean() {
		return false
	}
	in.dead = true
	c.unlinkLocked(s, in)
	if in.again() {
		c.engine.evicted(in)
	} else {
		c.engine.changed(in.kind, in.key)
	}
	return true
}

// evicted notes what those who watch have seen of a state that leaves memory: it
// may be absent later, as it was when it was compared last.
func (e *Engine) evicted(in *Instance) {
	b := in.kind.Backend
	if b == nil || b.features.SoleOwner || !e.topics.any() {
		return
	}
	e.topics.with(topicKey{in.kind, in.key}, func() {
		b.nodes.left(in.kind.Prefix+in.key, in.snapshot.Load().recordRevision())
	})
}

// evictUnused evicts in if that loses nothing: see again.
func (c *cache) evictUnused(in *Instance) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(h, in.kind, in.key) == in && in.again() {
		c.evict(s, in, false)
	}
}

// discardUnused is evictUnused for a state that only its reader has seen: its
// hooks are not called.
func (c *cache) discardUnused(in *Instance) {
	s, h := c.place(in.kind, in.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(h, in.kind, in.key) == in && in.again() {
		c.removeUnused(s, in)
	}
}

// again reports whether in can be had again: it is stored, or still as it was
// made. The answer is certain only while the shard is locked.
func (in *Instance) again() bool {
	v := in.snapshot.Load()
	return in.kind.Backend != nil || v != nil && v.Revision == 0
}

// discard removes in from memory at once, used or not; see machine.kill. It
// reports false if that has to wait for an answer of the store. Unsaved changes
// are lost.
func (e *Engine) discard(in *Instance) bool {
	in.lock()
	return e.killLocked(in, false)
}

// discardKey discards the state of a key, clean or not.
func (e *Engine) discardKey(k *Kind, key string) {
	if in := k.cache.peek(k, key); in != nil {
		e.discard(in)
	}
}

// endState is discard for a state that is gone for good.
func (e *Engine) endState(in *Instance) bool {
	in.lock()
	return e.killLocked(in, true)
}

// endExpired ends an instance that has expired. It reports false if that has to
// wait for an answer of the store.
func (e *Engine) endExpired(in *Instance, now time.Time) bool {
	in.lock()
	if v := in.snapshot.Load(); !v.expired(now) {
		in.unlock()
		return true // it was changed at the last moment: try again
	}
	in.idle = in.kind.Backend == nil // otherwise the store's record decides
	return e.killLocked(in, true)
}

// EndKey ends the state of a key, for example when its record was deleted. It
// does nothing if memory has a later revision by now, or one that will be
// stored although the record has expired, or knows already that the state is
// absent. It calls the hooks; with expired, also the hook of an idle state. 0
// stands for the latest revision.
func (e *Engine) EndKey(k *Kind, key string, rev store.Revision, expired bool) {
	in := k.cache.peek(k, key)
	if in == nil {
		e.changed(k, key) // whoever saw the state before it was evicted
		return
	}
	if v := in.snapshot.Load(); v != nil && rev != 0 && (v.Revision == 0 || v.Revision > rev) {
		return
	}
	in.lock()
	if rev != 0 && in.ahead(e.cfg.Now()) {
		in.unlock()
		return
	}
	in.idle = expired
	in.unlock()
	e.endState(in)
}

// killLocked discards in, or ends it. in.mu is locked; killLocked unlocks it.
func (e *Engine) killLocked(in *Instance, ends bool) bool {
	if in.owed != nil && in.owed.under != nil {
		in.owed.doomed = true
		in.ends = in.ends || ends
		in.unlock()
		return false
	}
	eff := in.m.kill()
	dead, idle := in.m.dead, in.idle
	if !dead {
		in.ends = in.ends || ends
	}
	if in.owed != nil && dead {
		in.owed.abandon(e)
	}
	in.unlock()
	if dead {
		e.remove(in, in.snapshot.Load(), ends, idle)
	}
	e.tell(in, eff)
	return dead
}

// remove removes a dead instance from the cache, and wakes whoever watches its
// state. If the state ends, its hooks are called with last, which is nil if the
// state was never loaded.
func (e *Engine) remove(in *Instance, last *Version, ends, idle bool) {
	if in.kind.cache.remove(in) && ends && last != nil {
		e.callHooks(in, last, idle)
	}
	if last != nil { // a load that has failed has shown nobody anything
		e.changed(in.kind, in.key)
	}
	in.tellLeft()
}

// callHooks calls the hooks of a state that has left memory.
func (e *Engine) callHooks(in *Instance, last *Version, idle bool) {
	k := in.kind
	if !k.wantsDepartures() {
		return
	}
	d := departure{key: in.key, version: last, destroyed: k.Destroyed}
	if idle {
		d.idle = k.Idle
	}
	e.departures.add(d)
}

// awaitHooks waits until another state of the kind may be loaded, if hooks of
// the kind would have to be called.
func (e *Engine) awaitHooks(ctx context.Context, k *Kind) error {
	if !k.wantsDepartures() {
		return nil
	}
	return e.departures.awaitRoom(ctx, e.cfg.MaxWait)
}

// whenLeft returns a channel that is closed when in has left memory, or is not
// about to leave it.
func (in *Instance) whenLeft() <-chan struct{} {
	in.lock()
	defer in.unlock()
	if in.m.dead || !in.m.doomed && (in.owed == nil || !in.owed.doomed) {
		now := make(chan struct{})
		close(now)
		return now
	}
	if in.left == nil {
		in.left = make(chan struct{})
	}
	return in.left
}

// tellLeft tells the goroutines that wait for it that in has left memory.
func (in *Instance) tellLeft() {
	in.lock()
	defer in.unlock()
	if in.left != nil {
		close(in.left)
		in.left = nil
	}
}
