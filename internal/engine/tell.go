package engine

import "context"

// newMember takes a member from the engine's pool. No other engine shares it: a
// channel made in a bubble of testing/synctest must stay there.
func (e *Engine) newMember(ctx context.Context, op committer) *member {
	w, _ := e.members.Get().(*member)
	if w == nil {
		w = &member{tell: make(chan verdict, 2)}
	}
	w.op, w.ctx = op, ctx
	return w
}

func (e *Engine) free(w *member) {
	w.answer.Store(pending)
	w.op, w.ctx, w.err, w.report, w.next, w.prev = nil, nil, nil, false, nil, nil
	w.alone, w.unasked, w.grouped = false, false, false
	e.members.Put(w)
}

// tell gives the turn and the answers to members.
func (e *Engine) tell(in *Instance, eff effects) {
	if eff.grant != nil {
		eff.grant.tell <- granted
	}
	// A member that has its answer may be recycled at once, and its memory reused.
	for w, next := eff.restart, (*member)(nil); w != nil; w = next {
		next = w.next
		w.tell <- again
	}
	bad := eff.told == failed || eff.told == unknown
	unreported := bad && eff.members != nil
	for w, next := eff.members, (*member)(nil); w != nil; w = next {
		next = w.next
		if w.grouped { // the group tells its caller
			unreported = false
			continue
		}
		if bad {
			w.err, w.report = eff.cause, unreported
		}
		if e.answer(w, eff.told) {
			unreported = false
		}
	}
	if unreported { // every caller has left
		e.Go(func(context.Context) { e.cfg.Report(in.kind, in.key, "save", eff.cause) })
	}
}

// answer tells a member the outcome of its run. It reports false if the caller
// has left.
func (e *Engine) answer(w *member, told verdict) bool {
	w.told = told
	switch w.answer.Swap(answered) { // from here on the member may belong to another caller
	case awaited:
		w.tell <- told
	case abandoned:
		e.abandonedDone(w, told)
		return false
	}
	return true
}

// abandonedDone ends a member whose caller has left: the functions that follow
// the commit still run.
func (e *Engine) abandonedDone(w *member, told verdict) {
	if told != done || w.err != nil {
		e.free(w)
		return
	}
	e.hold()
	if !e.Go(func(ctx context.Context) {
		defer e.End()
		own, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		w.op.Committed(own)
		e.free(w)
	}) {
		e.End()
	}
}
