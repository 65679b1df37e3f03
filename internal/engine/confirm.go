package engine

import (
	"context"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// A record in another store than its session's cannot be created in one group
// with a check of the session. So the engine checks the session again once the
// record is stored and before the turn is given back. Code that ends or renews
// the session either comes after that check, or the check sees it. If the
// session is no longer valid, the record is removed again, and the change
// starts again, and its caller gets the error.

// confirm concludes a batch that has created a record without companions. rec is
// what the store has now.
func (b *batch) confirm(how conclusion, rec *store.Record) {
	decide := func(context.Context) {
		switch {
		case b.guard.Stands(b.in.m.committed):
			b.conclude(how, nil)
		case meta.Deleted(rec.Meta):
			b.conclude(conflicted, nil) // the code that ended the session has removed it
		case !b.wroteLast(rec):
			b.conclude(lost, errBuiltOn())
		default:
			// It still counts as sent: if the removal cannot be sent, the
			// batch must not be taken for one that has changed nothing.
			b.undo, b.doubted = true, time.Time{}
			b.one[0] = store.Write{Op: store.Delete, Key: b.one[0].Key, Base: rec.Revision}
			b.writes[0], b.bytes = b.one[:], 0
			b.backend.send(b)
		}
	}
	if b.backend.features.Immediate { // this is its caller's goroutine, which may wait
		decide(b.backend.ctx)
	} else if !b.backend.start(decide) {
		b.conclude(lost, errNoAnswer(store.ErrClosed))
	}
}

// undone is settle for the removal of the created record.
func (b *batch) undone(res store.Result) {
	switch {
	case res.Outcome == store.Applied:
		b.conclude(conflicted, nil)
	case res.Outcome == store.Conflict && len(res.Current) == 1:
		if rec := &res.Current[0]; rec.Revision != 0 && birthOf(rec.Meta) == b.in.m.working.birth && !meta.Deleted(rec.Meta) {
			b.conclude(lost, errBuiltOn())
			return
		}
		b.conclude(conflicted, nil) // the code that ended the session has removed it
	default:
		sendAgain(b, res.Err)
	}
}

// wroteLast reports whether nobody has written the record after the batch.
func (b *batch) wroteLast(rec *store.Record) bool {
	for w := range meta.WritersOf(rec.Meta) {
		return w == b.by // the latest writer
	}
	return false
}

func errBuiltOn() error {
	return failAt(phaseSave, Unknown, "the session was ended or renewed while the state was created, and the state has been changed since", nil)
}
