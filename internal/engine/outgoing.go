package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/store"
)

// A request is the batch of one instance on its way to the store. It is sent
// again, unchanged, until the answer is definite.
type request struct {
	in         *Instance // nil: a group's or a save
	group      *group
	save       *save
	backend    *Backend
	companions []Companion
	left       []*Version // of the companions; nil = unchanged
	guard      Guard      // of a record that is created without companions: see confirm
	undo       bool       // it takes that back
	queued     time.Time  // for the first time
	doubted    time.Time  // when its outcome was first unknown
	seq        uint64
	sent       int
	bytes      int
	writes     [1]store.Group
	one        [1]store.Write
}

func (r *request) all() store.Group { return r.writes[0] }

// base is the version that a write of the request replaces.
func (r *request) base(i int) *Version {
	switch {
	case r.group != nil:
		return r.group.parts[r.group.writes[i]].in.m.committed
	case i > 0:
		return r.companions[i-1].Base
	}
	return r.in.m.committed
}

// refuseRequest ends a request that will not be sent, or not once more.
func (e *Engine) refuseRequest(req *request) {
	if req.sent > 0 {
		e.giveUp(req, store.ErrClosed)
		return
	}
	e.end(req, rejected, errClosed())
}

// resultAt guards against a store that answers too little: then nobody knows
// what it did, and it is asked again.
func resultAt(res []store.Result, i, writes int) store.Result {
	if i >= len(res) {
		return store.Result{Err: errors.New("the store did not answer the write")}
	}
	r := res[i]
	if r.Outcome == store.Applied && len(r.Revisions) != writes {
		return store.Result{Err: errors.New("the store answered without a revision for each write")}
	}
	return r
}

// sendAgain repeats a request whose outcome nobody knows, until it is known
// or CommitTimeout is over.
func (e *Engine) sendAgain(req *request, cause error) {
	if req.doubted.IsZero() {
		req.doubted = time.Now()
	}
	if time.Since(req.doubted) < e.cfg.CommitTimeout {
		wait := time.Millisecond << min(req.sent, 8)
		if e.Go(func(ctx context.Context) {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
				req.backend.send(req)
			case <-ctx.Done():
				e.giveUp(req, cause)
			}
		}) {
			return
		}
	}
	e.giveUp(req, cause)
}

func (e *Engine) giveUp(req *request, cause error) {
	err := failAt(phaseSave, Unknown, "the store did not say whether the change was stored", cause)
	e.end(req, lost, err)
}

// end concludes a request.
func (e *Engine) end(req *request, how conclusion, cause error) {
	if req.save != nil {
		if how == rejected {
			req.save.req = nil
		}
		e.saveFailed(req.save, cause)
		return
	}
	defer e.End()
	if req.group != nil {
		req.group.conclude(how, cause)
		return
	}
	if how == conflicted || how == vanished || how == lost {
		for _, c := range req.companions {
			e.discardKey(c.Kind, c.Key)
		}
	}
	e.conclude(req.in, how, cause)
}
