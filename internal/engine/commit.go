package engine

import (
	"slices"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// A batch is the result of the members of one instance's batch, on its way to
// the store.
type batch struct {
	request
	engine     *Engine
	in         *Instance
	companions companions
	ticket     *ticket // nil if the commit says nothing about the rota
	guard      Guard   // of a record that is created without companions: see confirm
	undo       bool    // it removes that record again
}

// commit makes sure that the batch of in, whose turn is shut, is concluded: in
// memory, now or later by a save, or by the store's answer.
func (e *Engine) commit(in *Instance) {
	switch {
	case in.owed != nil && e.postpone(in):
	case in.kind.Backend == nil:
		e.commitInMemory(in)
	default:
		e.sendBatch(in)
	}
}

// sendBatch sends the batch of in to the store.
func (e *Engine) sendBatch(in *Instance) {
	work, base := in.m.working, in.m.committed
	if base.expires != 0 && base.expired(e.cfg.Now()) {
		// The run began with a state that has expired since. The store does not
		// look at that.
		e.conclude(in, conflicted, nil)
		return
	}
	key := in.kind.Prefix + in.key
	ticket, ok := e.ticket(in, key)
	if !ok {
		e.standAside(in, key, nil)
		return
	}
	b, _ := e.batches.Get().(*batch)
	if b == nil {
		b = &batch{engine: e}
	}
	b.in, b.backend, b.ticket, b.by = in, in.kind.Backend, ticket, e.node.nextWrite()
	w := &b.one[0] // which is empty
	w.Op, w.Key, w.Base, w.Version = store.Put, key, base.recordRevision(), in.kind.Version
	if work.gone {
		e.removal(w, base, b.by)
	} else {
		e.stamp(in, base, work, b.by, in.expires)
		w.Value, w.Meta, w.Expires = slices.Clip(in.encoded), encodeMeta(work, in.encoded, b.by), work.Expires()
	}
	b.writes[0] = b.one[:]
	if base.Revision == 0 || len(in.checks) > 0 {
		if err := b.tie(base, work); err != nil {
			e.conclude(in, rejected, err)
			return
		}
	}
	if ticket.writes() {
		b.writes[0] = append(b.writes[0], ticket.write)
	}
	b.measure()
	e.hold() // until it is concluded
	b.backend.send(b)
}

// tie adds the records that the batch depends on.
func (b *batch) tie(base, work *Version) (err error) {
	var list []Companion
	if base.Revision == 0 && !work.gone && b.in.guard != nil {
		if list, err = b.in.guard.Create(); err != nil {
			return err
		}
		if len(list) == 0 {
			b.guard = b.in.guard
		}
	}
	if list = withChecks(list, b.in.checks); len(list) > 0 {
		b.companions, err = b.engine.accompany(&b.request, list)
	}
	return err
}

// stamp completes a version that a write is about to store over base. expires
// is for a record that the write creates.
func (e *Engine) stamp(in *Instance, base, v *Version, by meta.Writer, expires time.Time) {
	if !in.kind.Backend.features.SoleOwner {
		in.lock()
		in.writing = by
		in.unlock()
	}
	v.follows(base, by)
	v.setExpires(in.kind.expires(v, base.Revision == 0, expires, e.cfg.Now))
}

// base implements change.
func (b *batch) base(i int) *Version {
	switch {
	case i == 0:
		return b.in.m.committed
	case i > len(b.companions.list): // the rota
		return &Version{}
	}
	return b.companions.list[i-1].Base
}

// settle implements outgoing.
func (b *batch) settle(res store.Result) {
	switch {
	case b.undo:
		b.undone(res)
	case res.Outcome == store.Applied:
		b.applied(res.Revisions)
	default:
		how, cause, doubt := notApplied(b, res)
		switch {
		case doubt:
			sendAgain(b, res.Err)
		case how == conflicted && b.movesOn(res):
		case how == vanished && b.guard != nil:
			b.confirm(how, &res.Current[0])
		default:
			b.conclude(how, cause)
		}
	}
}

// applied concludes the batch once the store has it.
func (b *batch) applied(revs []store.Revision) {
	e, work := b.engine, b.in.m.working
	b.backend.works()
	if !work.gone {
		work.Revision = revs[0]
	}
	if b.guard != nil {
		b.confirm(applied, &store.Record{Revision: revs[0], Meta: b.one[0].Meta})
		return
	}
	e.advanceAll(&b.companions, revs)
	if b.ticket != nil {
		e.endTurn(b.in, b.ticket)
	}
	b.conclude(work.applied(), nil)
	if b.sent == 1 { // nobody else can still hold it
		*b = batch{engine: e}
		e.batches.Put(b)
	}
}

// conclude implements outgoing.
func (b *batch) conclude(how conclusion, cause error) {
	defer b.engine.End()
	if how == conflicted || how == vanished || how == lost {
		b.engine.discardAll(&b.companions)
	}
	b.engine.conclude(b.in, how, cause)
}
