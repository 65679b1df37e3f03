package engine

import (
	"context"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// A record in another store than its session's cannot be created in one group
// with a check of the session. So the session is looked at again once the record
// is there and before the turn is given back: whoever ends or renews the session
// either comes after that, or is seen by it. If the session does not stand any
// more, the record is removed again, and the change starts anew, which tells its
// caller.

// confirm concludes a batch that has created a record without companions. mine
// is the record's revision if nobody else has written it since, else 0.
func (b *batch) confirm(how conclusion, mine store.Revision) {
	decide := func(context.Context) {
		switch {
		case b.guard.Stands(b.in.m.committed):
			b.conclude(how, nil)
		case mine == 0:
			b.conclude(lost, errBuiltOn())
		default:
			// It counts as sent before: nobody may take it for one that has
			// changed nothing.
			b.undo, b.doubted = true, time.Time{}
			b.one[0] = store.Write{Op: store.Delete, Key: b.one[0].Key, Base: mine}
			b.writes[0], b.bytes = b.one[:], 0
			b.backend.send(b)
		}
	}
	if b.backend.features.Immediate { // its caller's goroutine, which may wait
		decide(b.backend.ctx)
	} else if !b.backend.start(decide) {
		b.conclude(lost, errNoAnswer(store.ErrClosed))
	}
}

// undone is settle for the removal of what was created.
func (b *batch) undone(res store.Result) {
	switch {
	case res.Outcome == store.Applied:
		b.conclude(conflicted, nil)
	case res.Outcome == store.Conflict && len(res.Current) == 1:
		if rec := &res.Current[0]; rec.Revision != 0 && birthOf(rec.Meta) == b.in.m.working.birth {
			b.conclude(lost, errBuiltOn())
			return
		}
		b.conclude(conflicted, nil) // whoever ended the session has removed it
	default:
		sendAgain(b, res.Err)
	}
}

// lastWritten returns the revision of the one record that the batch writes, 0 if
// others have written it since.
func (b *batch) lastWritten(res store.Result) store.Revision {
	if len(res.Current) == 1 {
		rec := &res.Current[0]
		if w := slices.Collect(writersOf(rec.Meta)); len(w) > 0 && w[0] == b.by { // the latest
			return rec.Revision
		}
	}
	return 0
}

func errBuiltOn() error {
	return failAt(phaseSave, Unknown, "the session was ended or renewed while the state was created, and others have changed it since", nil)
}
