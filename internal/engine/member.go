package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// A member is one update that an instance processes.
type member struct {
	tell    chan verdict // has room for an answer, and for the turn after it
	told    verdict      // the answer, once there is one
	answer  atomic.Uint32
	op      committer
	ctx     context.Context
	err     error // the error of its run, or the reason why it failed
	report  bool  // it is the one that reports the failure
	alone   bool  // gets the turn only while no batch is open: it takes part in a group
	unasked bool  // memory is trusted until the commit: see Ref.Unasked
	grouped bool  // its turn has become its part of a group; the group answers its caller

	timer *time.Timer // of its waiting; nil = has not waited yet

	in         *list // the list where it waits, and its neighbours there
	prev, next *member
}

// A committer is an [Op] or a [GroupOp].
type committer interface{ Committed(context.Context) }

// Either the answer comes first or the caller leaves first, and the first of
// them decides. If the answer is there before the caller waits for it, as with
// a store that does not wait, no channel is needed.
const (
	pending uint32 = iota
	awaited
	answered
	abandoned
)

// A verdict is the answer to a member.
type verdict uint8

const (
	queued   verdict = iota // wait for one of the others; as an answer: wait for the turn, and run again
	granted                 // has the turn
	busy                    // too many wait
	done                    // the decision of the run holds and is durable
	unproven                // the run has changed nothing, and nobody has asked whether it saw the latest state
	again                   // start again: nothing of the run was kept
	failed                  // the commit was rejected: nothing of the run was kept
	unknown                 // nobody knows whether the run was kept
)

// A list holds members in the order in which they came; a member is in one list
// at a time.
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

// remove removes w, and reports whether it was in the list.
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

// putBefore moves the members of other to the front, in their order.
func (l *list) putBefore(other *list) {
	if other.first == nil {
		return
	}
	for w := other.first; w != nil; w = w.next {
		w.in = l
	}
	if other.last.next = l.first; l.first != nil {
		l.first.prev = other.last
	} else {
		l.last = other.last
	}
	l.first = other.first
	l.n += other.n
	*other = list{}
}

// take empties the list and returns its first member, which is linked to the
// others.
func (l *list) take() *member {
	first := l.first
	for w := first; w != nil; w = w.next {
		w.in = nil
	}
	*l = list{}
	return first
}

// hear waits for the outcome of a run. If it returns an error, the member
// belongs to the goroutine that will answer it.
func hear(ctx context.Context, w *member) (verdict, error) {
	if !w.answer.CompareAndSwap(pending, awaited) {
		return w.told, nil
	}
	select {
	case told := <-w.tell:
		return told, nil
	case <-ctx.Done():
		if w.answer.CompareAndSwap(awaited, abandoned) {
			return queued, failAt(phaseSave, Unknown, "the caller's context was done before the change was known to be stored", ctx.Err())
		}
		return <-w.tell, nil
	}
}
