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

// confirm concludes a request that has created a record without companions. mine
// is the record's revision if nobody else has written it since, else 0.
func (e *Engine) confirm(req *request, how conclusion, mine store.Revision) {
	decide := func(context.Context) {
		switch {
		case req.guard.Stands(req.in.m.committed):
			e.end(req, how, nil)
		case mine == 0:
			e.end(req, lost, errBuiltOn())
		default:
			// It counts as sent before: nobody may take it for one that has
			// changed nothing.
			req.undo, req.doubted = true, time.Time{}
			req.one[0] = store.Write{Op: store.Delete, Key: req.one[0].Key, Base: mine}
			req.writes[0], req.bytes = req.one[:], 0
			req.backend.send(req)
		}
	}
	if req.backend.features.Immediate { // its caller's goroutine, which may wait
		decide(e.ctx)
	} else if !e.Go(decide) {
		e.giveUp(req, store.ErrClosed)
	}
}

// undone is [Engine.settle] for the removal of what was created.
func (e *Engine) undone(req *request, res store.Result) {
	switch {
	case res.Outcome == store.Applied:
		e.end(req, conflicted, nil)
	case res.Outcome == store.Conflict && len(res.Current) == 1:
		if rec := &res.Current[0]; rec.Revision != 0 && birthOf(rec.Meta) == req.in.m.working.birth {
			e.end(req, lost, errBuiltOn())
			return
		}
		e.end(req, conflicted, nil) // whoever ended the session has removed it
	default:
		e.sendAgain(req, res.Err)
	}
}

// lastWritten returns the revision of the one record that the request writes, 0
// if others have written it since.
func (e *Engine) lastWritten(req *request, res store.Result) store.Revision {
	if len(res.Current) == 1 {
		rec := &res.Current[0]
		if w := slices.Collect(writersOf(rec.Meta)); len(w) > 0 && w[0] == (writer{e.node, req.seq}) { // the latest
			return rec.Revision
		}
	}
	return 0
}

func errBuiltOn() error {
	return failAt(phaseSave, Unknown, "the session was ended or renewed while the state was created, and others have changed it since", nil)
}
