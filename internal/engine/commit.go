package engine

import (
	"errors"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// commit sends the batch of in, whose turn is shut, to the store.
func (e *Engine) commit(in *Instance) {
	if in.owed != nil && e.postpone(in) {
		return
	}
	work, base := in.m.working, in.m.committed
	if in.kind.Backend == nil {
		e.commitInMemory(in)
		return
	}
	req, _ := e.requests.Get().(*request)
	if req == nil {
		req = &request{}
	}
	req.in, req.backend, req.seq = in, in.kind.Backend, e.writeID()
	w := &req.one[0]
	*w = store.Write{Op: store.Put, Key: in.kind.Prefix + in.key, Base: base.Revision, Version: in.kind.Version}
	if work.gone {
		w.Op = store.Delete
	} else {
		e.stamp(in, base, work, req.seq, in.expires)
		w.Value, w.Meta, w.Expires = slices.Clip(in.encoded), e.meta(work, in.encoded, req.seq), work.Expires()
	}
	req.writes[0] = req.one[:]
	if base.Revision == 0 && !work.gone && in.guard != nil {
		companions, err := in.guard.Create()
		if err == nil {
			err = e.accompany(req, companions)
		}
		if len(companions) == 0 {
			req.guard = in.guard
		}
		if err != nil {
			e.conclude(in, rejected, err)
			return
		}
	}
	for i := range req.all() {
		req.bytes += len(req.all()[i].Value)
	}
	e.hold() // until the request is concluded
	in.kind.Backend.send(req)
}

// stamp completes a version that the write seq is about to store over base.
// expires is for a record that it creates.
func (e *Engine) stamp(in *Instance, base, v *Version, seq uint64, expires time.Time) {
	if !in.kind.Backend.features.SoleOwner {
		in.lock()
		in.writing = seq
		in.unlock()
	}
	e.follows(v, base, seq)
	v.setExpires(in.kind.expires(v, base.Revision == 0, expires, e.cfg.Now))
}

// settle turns the store's answer into what the instance is told.
func (e *Engine) settle(req *request, res store.Result) {
	if req.save != nil {
		e.settleSave(req, res)
		return
	}
	if req.undo {
		e.undone(req, res)
		return
	}
	switch res.Outcome {
	case store.Applied:
		req.backend.works()
		if req.group != nil {
			req.group.number(res.Revisions)
			e.end(req, applied, nil)
			return
		}
		in := req.in
		in.m.working.Revision = res.Revisions[0]
		if req.guard != nil {
			e.confirm(req, applied, res.Revisions[0])
			return
		}
		e.advanceAll(req, res.Revisions)
		e.end(req, in.m.working.applied(), nil)
		if req.sent == 1 { // nobody else has it any more
			*req = request{}
			e.requests.Put(req)
		}
	case store.Conflict:
		how := e.conflictOrOwn(req, res)
		if how == lost {
			e.giveUp(req, errReplaced)
			return
		}
		if how == vanished && req.guard != nil {
			e.confirm(req, how, e.lastWritten(req, res))
			return
		}
		e.end(req, how, nil)
	case store.Rejected:
		if req.sent > 1 {
			// An earlier sending may have been applied all the same.
			e.sendAgain(req, res.Err)
			return
		}
		err := storeError(phaseSave, res.Err)
		if e.ctx.Err() != nil {
			err = fail(Closed, "the app is closed", res.Err)
		}
		e.end(req, rejected, err)
	default:
		e.sendAgain(req, res.Err)
	}
}

// conflictOrOwn tells a conflict with others from one with an earlier sending
// of the same request. That one was not applied if a record that it would have
// changed lives on without it. If others have deleted the records since, or made
// them anew, nobody knows: to begin again could make the same change twice.
func (e *Engine) conflictOrOwn(req *request, res store.Result) conclusion {
	for _, rec := range res.Current {
		if metaCarries(rec.Meta, e.node, req.seq) {
			return vanished // applied; load what is there now
		}
	}
	if req.sent == 1 {
		return conflicted // with others
	}
	g := req.all()
	for i := range min(len(g), len(res.Current)) {
		w, rec := &g[i], &res.Current[i]
		was, is := req.base(i).Birth(), birthOf(rec.Meta)
		switch {
		case w.Op == store.Check: // is no trace of the group
		case w.Base != 0 && rec.Revision == w.Base, is != 0 && is == was:
			return conflicted
		case w.Op == store.Delete && len(g) == 1 && (rec.Revision == 0 || is != 0 && was != 0):
			return vanished // what it was to delete is gone
		}
	}
	return lost
}

var errReplaced = errors.New("others have deleted the record, or made it anew, before it was asked again")

const (
	applied conclusion = iota
	vanished
	conflicted
	rejected
	lost
)
