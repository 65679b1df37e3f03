package engine

import "github.com/stay-go/stay/store"

// A batch that comes when it is another node's turn is not sent. Its members
// wait again, before everybody else, and the instance stays shut until its node
// has its turn.

// takesTurns reports whether changes of in may have to wait for its node's turn.
func (in *Instance) takesTurns() bool {
	f := &in.kind.Backend.features
	return !f.SoleOwner && !f.Immediate && in.owed == nil && in.m.committed.Revision != 0
}

// ticket returns what the commit of in's batch has to do with the rota, nil if
// nothing. It reports false if it is not this node's turn.
func (e *Engine) ticket(in *Instance, key string) (t *ticket, ok bool) {
	if !in.takesTurns() || in.m.working.gone {
		return nil, true
	}
	return in.kind.Backend.contests.ticket(key, e.cfg.Now())
}

// mustWait has w, which has the turn of in and has not run, wait until it is this
// node's turn. It reports false if w need not wait.
func (e *Engine) mustWait(in *Instance, w *member) bool {
	b := in.kind.Backend
	if b == nil || !b.contests.some.Load() || !in.takesTurns() {
		return false
	}
	in.lock()
	first := in.m.batch.n == 0
	in.unlock()
	key := in.kind.Prefix + in.key
	return first && b.contests.aside(key) && e.standAside(in, key, w)
}

// standAside has the members of in's batch, or w, wait until it is this node's
// turn.
func (e *Engine) standAside(in *Instance, key string, w *member) bool {
	in.lock()
	left := e.sendAllBack(in)
	ok := in.m.standAside(w)
	if ok {
		in.guard, in.encoded, in.checks = nil, nil, nil
	}
	in.unlock()
	e.freeAll(left)
	if b := in.kind.Backend; ok && b.contests.wait(key, &standing{e, in}) {
		e.attend(b, key)
	}
	return ok
}

// endTurn ends the turn of this node at the state of in: it has written it.
func (e *Engine) endTurn(in *Instance, t *ticket) {
	in.lock()
	in.pass = nil
	in.unlock()
	if b := in.kind.Backend; b.contests.won(t) {
		e.attend(b, t.key)
	}
}

// attend begins to wait for the next turn of this node.
func (e *Engine) attend(b *Backend, key string) {
	a := &attendant{b, key, e.cfg.Now, func() { e.attend(b, key) }}
	if !e.Go(a.run) {
		a.fail()
	}
}

// A standing is an instance that stands aside.
type standing struct {
	engine *Engine
	in     *Instance
}

// state implements waiter.
func (s *standing) state() (doomed, wanted bool) {
	s.in.lock()
	defer s.in.unlock()
	return s.in.m.doomed, s.in.m.waiting.n > 0
}

// restart implements waiter.
func (s *standing) restart() { s.engine.conclude(s.in, conflicted, nil) }

// resume implements waiter.
func (s *standing) resume(rec *store.Record, turn func()) {
	e, in := s.engine, s.in
	in.lock()
	in.pass = turn
	in.unlock()
	base := in.m.committed // does not change while in is shut
	switch {
	case rec == nil || rec.Revision == base.Revision:
		e.moveOn(in, base)
	case rec.Revision > base.Revision && birthOf(rec.Meta) == base.birth:
		e.moveOnTo(in, rec, &companions{})
	default:
		s.restart()
	}
}
