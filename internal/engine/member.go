package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// A member is one update on its way through an instance.
type member struct {
	tell    chan verdict
	told    verdict // the answer, once there is one
	answer  atomic.Uint32
	op      committer
	ctx     context.Context
	err     error // what its run returned, or why it failed
	report  bool  // it is the one who reports the failure
	alone   bool  // gets the turn only while no batch is open: it takes part in a group
	grouped bool  // its turn has become its part of a group, which answers for it

	timer *time.Timer // of its waiting; nil = has not waited yet

	in         *list // where it waits, and its neighbours there
	prev, next *member
}

// A committer is an [Op] or a [GroupOp].
type committer interface{ Committed(context.Context) }

// Who comes first, the answer or the caller's leaving, decides who has the
// last word. An answer that comes before the caller waits for it, as that of a
// store which does not wait, needs no channel.
const (
	pending uint32 = iota
	awaited
	answered
	abandoned
)

// newMember takes a member from the engine's pool, which no other engine
// shares: a channel made in a bubble of testing/synctest must stay there.
func (e *Engine) newMember(ctx context.Context, op committer) *member {
	w, _ := e.members.Get().(*member)
	if w == nil {
		w = &member{tell: make(chan verdict, 1)}
	}
	w.op, w.ctx = op, ctx
	return w
}

func (e *Engine) free(w *member) {
	w.answer.Store(pending)
	w.op, w.ctx, w.err, w.report, w.next, w.prev = nil, nil, nil, false, nil, nil
	w.alone, w.grouped = false, false
	e.members.Put(w)
}

// A verdict is what a member is told.
type verdict uint8

const (
	queued  verdict = iota // wait for one of the others
	granted                // has the turn
	busy                   // too many wait
	done                   // what the run decided holds and is durable
	again                  // start again: nothing of the run was kept
	failed                 // the commit was rejected: nothing of the run was kept
	unknown                // nobody knows whether the run was kept
)

// A list holds members in the order in which they came; a member is in one at
// a time.
type list struct {
	first, last *member
	n           int
}

func (l *list) push(w *member) {
	w.in, w.prev, w.next = l, l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.n++
}

// remove takes w out, and reports whether it was in.
func (l *list) remove(w *member) bool {
	if w.in != l {
		return false
	}
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.in, w.prev, w.next = nil, nil, nil
	l.n--
	return true
}

// take empties the list and returns its first member, which leads to the
// others.
func (l *list) take() *member {
	first := l.first
	for w := first; w != nil; w = w.next {
		w.in = nil
	}
	*l = list{}
	return first
}

// hear waits for what becomes of a run. On an error the member belongs to
// whoever will answer it.
func hear(ctx context.Context, w *member) (verdict, error) {
	if !w.answer.CompareAndSwap(pending, awaited) {
		return w.told, nil
	}
	select {
	case told := <-w.tell:
		return told, nil
	case <-ctx.Done():
		if w.answer.CompareAndSwap(awaited, abandoned) {
			return queued, failAt(phaseSave, Unknown, "the caller left before the change was known to be stored", ctx.Err())
		}
		return <-w.tell, nil
	}
}

// tell hands out the turn and the answers.
func (e *Engine) tell(in *Instance, eff effects) {
	if eff.grant != nil {
		eff.grant.tell <- granted
	}
	// Who is told may be gone, and its place taken by another, at once.
	for w, next := eff.restart, (*member)(nil); w != nil; w = next {
		next = w.next
		w.tell <- again
	}
	bad := eff.told == failed || eff.told == unknown
	unreported := bad && eff.members != nil
	for w, next := eff.members, (*member)(nil); w != nil; w = next {
		next = w.next
		if w.grouped { // it hears of the group as a whole
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

// answer tells a member what became of its run. It reports false when the
// caller has left.
func (e *Engine) answer(w *member, told verdict) bool {
	w.told = told
	switch w.answer.Swap(answered) { // from here on it may be somebody else's
	case awaited:
		w.tell <- told
	case abandoned:
		e.abandonedDone(w, told)
		return false
	}
	return true
}

// abandonedDone ends a member whose caller has left: what it wanted done
// after the commit is done all the same.
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
