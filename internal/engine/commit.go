package engine

import (
	"context"
	"errors"
	"slices"
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

// accompany adds the writes that must be in the group which creates a record.
func (e *Engine) accompany(req *request, companions []Companion) error {
	for _, c := range companions {
		w := store.Write{Op: store.Check, Key: c.Kind.Prefix + c.Key, Base: c.Base.Revision}
		var next *Version
		if c.Value != nil {
			encoded, err := c.Kind.Type.Encode(c.Value, nil)
			if err != nil {
				return err
			}
			next = &Version{Value: c.Value, weight: weigh(c.Bytes)}
			next.setDigest(e.digest(encoded))
			e.follows(next, c.Base, req.seq)
			next.setExpires(c.Expires)
			w.Op, w.Version, w.Value, w.Meta, w.Expires = store.Put, c.Kind.Version, slices.Clip(encoded), e.meta(next, encoded, req.seq), next.Expires()
		}
		req.writes[0] = append(req.writes[0], w)
		req.left = append(req.left, next)
	}
	req.companions = companions
	return nil
}

// refuseRequest ends a request that will not be sent, or not once more.
func (e *Engine) refuseRequest(req *request) {
	if req.sent > 0 {
		e.giveUp(req, store.ErrClosed)
		return
	}
	e.end(req, rejected, fail(Closed, "the app is closed", nil))
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

var errReplaced = errors.New("others have deleted the record, or made it anew, before it was asked again")

func (e *Engine) giveUp(req *request, cause error) {
	err := failAt(phaseSave, Unknown, "the store did not say whether the change was stored", cause)
	e.end(req, lost, err)
}

// A conclusion is the machine's event for the end of a batch.
type conclusion uint8

const (
	applied conclusion = iota
	vanished
	conflicted
	rejected
	lost
)

// applied is the conclusion when the store has v: what was deleted is made
// anew for whoever comes next.
func (v *Version) applied() conclusion {
	if v.gone {
		return vanished
	}
	return applied
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
			e.Drop(c.Kind, c.Key)
		}
	}
	e.conclude(req.in, how, cause)
}

// conclude ends the batch of in and answers everybody.
func (e *Engine) conclude(in *Instance, how conclusion, cause error) {
	in.lock()
	e.concludeLocked(in, how, cause)
}

// concludeLocked is conclude with in.mu locked, which it unlocks.
func (e *Engine) concludeLocked(in *Instance, how conclusion, cause error) {
	var eff effects
	updates := e.observeBatch(in, how)
	before := in.weigh(in.m.committed)
	switch how {
	case applied:
		if in.snapshot.Load().Revision > in.m.working.Revision {
			in.m.kill() // readers have seen what another owner has made of it since
		}
		eff = in.m.applied()
		if !in.m.doomed { // else readers may know of something later: see follow
			in.snapshot.Store(in.m.committed)
		}
	case vanished:
		eff = in.m.gone()
	case conflicted:
		eff = in.m.conflict()
	case rejected:
		eff = in.m.rejected()
	case lost:
		eff = in.m.lost()
	}
	in.guard, in.encoded = nil, nil
	if in.owed != nil {
		in.owed.concluded(e, in, how)
	}
	dead, now := in.m.dead, in.weigh(in.m.committed)
	last, leaves, idle := in.m.committed, in.leaves, in.idle
	if how == vanished && in.m.working.gone {
		last, leaves, idle = in.m.working, true, false
	}
	in.unlock()
	e.observeStored(in.kind, updates)
	if dead {
		if in.kind.cache.remove(in) && leaves {
			e.departures.add(in, last, idle)
		}
		in.over()
	} else if now != before {
		in.kind.cache.resize(in, nil)
	}
	eff.cause = cause
	e.tell(in, eff)
}

// advanceAll publishes what a group wrote beside its own instance.
func (e *Engine) advanceAll(req *request, revs []store.Revision) {
	for i, c := range req.companions {
		v := req.left[i]
		if v == nil || i+1 >= len(revs) {
			continue
		}
		v.Revision = revs[i+1]
		e.advance(c.Kind, c.Key, v)
	}
}

func (e *Engine) advance(k *Kind, key string, v *Version) {
	if !k.Backend.features.SoleOwner {
		// Another owner may have replaced or deleted it by now, and a reader may
		// have asked the store already. So here an instance that is new to memory
		// was always loaded later than whoever did not find it came: see Prefetch.
		e.Drop(k, key)
		return
	}
	c := k.cache
	in := c.get(k, key, use{})
	if in == nil && k.Backend.features.Immediate {
		// Commits overtake each other here, so a later one may have replaced
		// this version already, and its instance may have been evicted.
		return
	}
	if in == nil {
		in = &Instance{kind: k, key: key}
		in.start(v)
		if got, ok := c.add(in, 0); got == in {
			if ok {
				c.resize(in, nil)
			}
			in.pins.Add(-1)
			return
		} else {
			got.pins.Add(-1)
			in = got
		}
	}
	in.lock()
	ok := in.m.committed != nil && in.m.advance(v)
	if ok {
		in.snapshot.Store(in.m.committed)
	}
	in.unlock()
	if !ok {
		e.kill(in)
		return
	}
	c.resize(in, nil)
}
