package engine

import (
	"context"

	"github.com/stay-go/stay/store"
)

// A batch that meets a later record of others has not failed: the store's
// answer has that record. So the instance moves on to it, and the members of
// the batch run again on it, in their order and before those that wait. That
// costs no read, and the members stay together: the next commit has all of
// them. Everybody starts again with a new instance only if the answer does not
// show what the record has become.

// movesOn reports whether the batch, whose write others have overtaken, goes on
// with the record that the store has now. That may be the one which it started
// from, if the batch was refused because of the rota.
func (b *batch) movesOn(res store.Result) bool {
	in, base, n := b.in, b.in.m.committed, len(b.companions.list)
	if in.owed != nil || len(res.Current) != len(b.all()) || base.birth == 0 {
		return false
	}
	for i, w := range b.all()[1 : n+1] {
		if res.Current[i+1].Revision != w.Base {
			return false // what the members were resolved with has changed
		}
	}
	cs, rec := b.backend.contests, &res.Current[0]
	if b.ticket.writes() {
		cs.saw(b.ticket.key, &res.Current[n+1])
	}
	switch {
	case base.Revision == 0:
		return false
	case rec.Revision == base.Revision && b.ticket.writes():
		// It is another node's turn. The store need not tell more of a record that
		// is as it was.
		b.engine.moveOn(in, base)
		b.engine.End()
		return true
	case rec.Revision > base.Revision && birthOf(rec.Meta) == base.birth:
		cs.lost(in.kind.Prefix + in.key)
	default:
		return false
	}
	if !in.kind.RunsUserCode {
		b.moveOn(rec)
		return true
	}
	// User code may end its goroutine, and must not hold up the store.
	return b.backend.start(func(context.Context) { b.moveOn(rec) })
}

// moveOn is movesOn once the record is known to be of the same state.
func (b *batch) moveOn(rec *store.Record) {
	defer b.engine.End()
	if rec.Revision == b.in.m.committed.Revision {
		b.engine.moveOn(b.in, b.in.m.committed)
		return
	}
	b.engine.moveOnTo(b.in, rec, &b.companions)
}

// moveOnTo ends the batch of in, and has its members run again on a later record
// of the state.
func (e *Engine) moveOnTo(in *Instance, rec *store.Record, cs *companions) {
	var v *Version
	err := errEnded
	defer func() {
		if err != nil || v.Revision == 0 { // the next load tells why
			e.discardAll(cs)
			e.conclude(in, conflicted, nil)
			return
		}
		e.moveOn(in, v)
	}()
	v, err = e.decode(in.kind, in.key, rec)
}

// moveOn ends the batch of in, and has its members run again on v.
func (e *Engine) moveOn(in *Instance, v *Version) {
	in.lock()
	if in.m.doomed { // by a kill, whose reason the next instance will find
		e.concludeLocked(in, conflicted, nil)
		return
	}
	if now := in.snapshot.Load(); now.Revision > v.Revision {
		v = now // readers have seen it already: see follow
	}
	left := e.sendAllBack(in)
	before := in.weigh(in.m.committed)
	eff := in.m.overtaken(v)
	in.publish(v)
	in.guard, in.encoded, in.checks = nil, nil, nil
	now := in.weigh(v)
	in.unlock()
	e.freeAll(left)
	if now != before {
		in.kind.cache.resize(in, nil)
	}
	e.tell(in, eff)
}

// sendAllBack tells the members of in's batch that they wait for the turn again.
// It takes those whose callers have left out of the batch, and returns the first
// of them.
func (e *Engine) sendAllBack(in *Instance) (left *member) {
	for w, next := in.m.batch.first, (*member)(nil); w != nil; w = next {
		if next = w.next; !e.sendBack(w) {
			in.m.batch.remove(w)
			w.next, left = left, w
		}
	}
	return left
}

func (e *Engine) freeAll(w *member) {
	for w != nil {
		next := w.next
		e.free(w)
		w = next
	}
}

// sendBack tells a member that it waits for the turn again. It reports false if
// the caller has left: then nothing of its change is kept. in.mu is locked, so
// nothing else can be told to the member in between.
func (e *Engine) sendBack(w *member) bool {
	w.told = queued
	switch w.answer.Swap(answered) {
	case awaited:
		w.tell <- queued
	case abandoned:
		return false
	}
	return true
}
