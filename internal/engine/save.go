package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// The pauses before a failed save is tried again.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
)

// maxTries bounds how often a save follows companions that keep changing.
const maxTries = 8

func backoff(failures int) time.Duration {
	d := min(backoffMin<<min(failures-1, 16), backoffMax)
	return d/2 + rand.N(d/2)
}

// save begins a save if there is something to save and no save is under way,
// and returns the save under way. If now is false, the timer called it.
func (e *Engine) save(in *Instance, now bool) *save {
	in.lock()
	defer in.unlock()
	d := in.owed
	if !now {
		if !d.armed {
			return nil
		}
		d.armed = false
	}
	switch {
	case in.m.dead || !d.dirty():
		return nil
	case d.under != nil || d.removing:
		d.due = !now || d.due
		return d.under
	}
	return e.startSave(in)
}

// startSave begins a save and returns it, nil if the engine has stopped. No
// save may be under way; in.mu is locked. A save whose outcome is in doubt is
// sent again unchanged.
func (e *Engine) startSave(in *Instance) *save {
	d := in.owed
	d.disarm()
	s := &save{engine: e, in: in, version: in.m.committed, upto: d.changes, base: d.saved, done: make(chan struct{})}
	if d.saved.Revision == 0 {
		s.later = d.later
	}
	if again := d.doubtful; again != nil {
		s.version, s.upto, s.request, s.companions = again.version, again.upto, again.request, again.companions
	}
	if !e.Go(func(context.Context) { e.sendSave(s) }) {
		return nil
	}
	d.under, d.doubtful = s, nil
	return s
}

// sendSave sends the save to the store.
func (e *Engine) sendSave(s *save) {
	if s.request != nil { // nobody knows whether it was stored
		s.doubted = time.Time{}
		s.backend.send(s)
		return
	}
	in, v, base := s.in, *s.version, s.base
	if base.Revision != 0 && v.Same(base) && v.expires == base.expires && v.names() == base.names() {
		e.saved(s, base)
		return
	}
	r := &request{backend: in.kind.Backend, by: e.node.nextWrite(), patient: true}
	encoded, err := in.kind.Type.Encode(v.Value, v.extra())
	if err != nil {
		e.saveFailed(s, err)
		return
	}
	v.follows(base, r.by)
	if base.birth != 0 {
		v.birth = base.birth // even if the record has expired: see settle
	}
	v.unsaved = false
	r.one[0] = store.Write{
		Op: store.Put, Key: in.kind.Prefix + in.key, Base: base.recordRevision(), Version: in.kind.Version,
		Value: slices.Clip(encoded), Meta: encodeMeta(&v, encoded, r.by), Expires: v.Expires(),
	}
	r.writes[0] = r.one[:]
	if s.later != nil {
		list, ok, err := s.later(e.current)
		if err == nil && ok {
			s.companions, err = e.accompany(r, list)
		}
		switch {
		case err != nil:
			e.saveFailed(s, err)
			return
		case !ok:
			e.discardUnsaved(s, vanished, nil)
			return
		}
	}
	r.measure()
	s.version, s.request = &v, r
	s.backend.send(s)
}

// sendSaveAgain begins a save again that was certainly not stored. If the
// reason is that its companions have changed, memory may have old versions of
// them until their own commits have been concluded. So it pauses, like a change
// that starts again.
func (e *Engine) sendSaveAgain(s *save) {
	s.request, s.companions = nil, companions{}
	if !e.Go(func(ctx context.Context) {
		if err := e.spread(ctx, s.tries); err != nil {
			e.saveFailed(s, errClosed())
			return
		}
		s.tries++
		e.sendSave(s)
	}) {
		e.saveFailed(s, errClosed())
	}
}

// current returns an instance's version without taking a place in memory for
// it: saves must go on when memory is full.
func (e *Engine) current(k *Kind, key string) (*Version, error) {
	if v := e.Peek(k, key); v != nil && !v.expired(e.cfg.Now()) && k.Backend.features.SoleOwner {
		return v, nil
	}
	v, _, err := e.fetch(k, key, false)
	return v, err
}

// settle implements outgoing.
func (s *save) settle(res store.Result) {
	e := s.engine
	switch {
	case res.Outcome == store.Applied:
		s.backend.works()
		s.version.Revision = res.Revisions[0]
		e.advanceAll(&s.companions, res.Revisions)
		e.saved(s, s.version)
	case res.Outcome == store.Conflict && len(res.Current) == len(s.all()):
		e.discardAll(&s.companions)
		switch own := &res.Current[0]; {
		case meta.Deleted(own.Meta) && own.Revision != s.one[0].Base:
			e.discardUnsaved(s, conflicted, errRemoved())
		case metaCarries(own.Meta, s.by):
			s.backend.works()
			s.version.Revision = own.Revision // an earlier sending was applied
			e.saved(s, s.version)
		case own.Revision == s.one[0].Base && s.tries < maxTries:
			e.sendSaveAgain(s)
		case own.Revision == s.one[0].Base:
			s.conclude(rejected, fail(Conflict, "the session kept changing", nil))
		case own.Revision == 0 && (s.base.Revision == 0 || s.base.expired(e.cfg.Now())):
			// The record had expired and was removed, but the state has not:
			// changes that were acknowledged have made it, or have postponed
			// its expiry. So it is created again.
			s.base = &Version{birth: s.base.birth}
			e.sendSaveAgain(s)
		default:
			e.discardUnsaved(s, conflicted, errRemoved())
		}
	case res.Outcome == store.Rejected && s.sent == 1:
		s.conclude(rejected, storeError(phaseSave, res.Err))
	default:
		sendAgain(s, res.Err)
	}
}

func errRemoved() error {
	return fail(Conflict, "the stored state was removed or replaced from outside: changes that were not stored yet are lost", nil)
}

// conclude implements outgoing: the save has failed.
func (s *save) conclude(how conclusion, cause error) {
	if how == rejected {
		s.request = nil
	}
	s.engine.saveFailed(s, cause)
}

// saved ends a save: the store has v.
func (e *Engine) saved(s *save, v *Version) {
	in, d := s.in, s.in.owed
	in.lock()
	d.saved, d.later = v.hollow(), nil
	d.failures, d.cause = 0, nil
	updates := int(s.upto - d.stored)
	d.stored = s.upto
	if !in.m.shut && in.m.holder == nil {
		in.rebase()
	}
	d.count(e, d.dirty())
	if d.dirty() && (d.due || !d.armed) {
		d.arm(0)
	}
	d.due = false
	e.endSave(s, nil)
	e.observeStored(in.kind, updates)
	if e.evictAtOnce.Load() {
		in.kind.cache.evictUnused(in)
	}
}

// saveFailed ends a save. The class of the error says whether the store may
// have it. The failure is reported, and the save is tried again after a pause.
func (e *Engine) saveFailed(s *save, err error) {
	in, d := s.in, s.in.owed
	in.lock()
	if s.request != nil {
		d.doubtful = s
	}
	b := in.kind.Backend
	if d.blames(b, err) {
		b.failed.Store(b.applied.Load() + 1)
	}
	d.failures++
	d.cause, d.due, d.applied = err, false, b.applied.Load()
	d.count(e, d.counted)
	if e.ctx.Err() == nil {
		d.arm(backoff(d.failures))
	} else {
		d.disarm()
	}
	e.endSave(s, err)
}

// endSave wakes all callers that wait for the save. It unlocks in.mu.
func (e *Engine) endSave(s *save, err error) {
	in, d := s.in, s.in.owed
	d.under = nil
	waiting, doomed, ends, doubt := d.waiting, d.doomed, in.ends, d.removing && d.doubtful != nil
	d.waiting, d.doomed = false, false
	if doomed { // at once: nothing may be acknowledged any more
		e.killLocked(in, ends)
	} else {
		in.unlock()
	}
	switch {
	case waiting && doubt: // it is still unknown which record must be removed
		e.conclude(in, rejected, unsaved(err))
	case waiting:
		e.commit(in)
	}
	s.err = err
	if err == nil || e.ctx.Err() != nil || !e.Go(func(context.Context) {
		e.cfg.Report(in.kind, in.key, "save", err)
		close(s.done)
	}) {
		close(s.done)
	}
}

// discardUnsaved ends a save and discards the instance, because its unsaved
// changes can never be stored. It reports the cause, if there is one.
func (e *Engine) discardUnsaved(s *save, how conclusion, cause error) {
	in, d := s.in, s.in.owed
	in.lock()
	d.abandon(e)
	d.stored = d.changes
	waiting := d.waiting
	if !d.removing {
		how = conflicted // a change runs again
	}
	d.waiting, d.doomed = false, false
	d.under = nil
	if waiting {
		e.concludeLocked(in, how, nil)
	} else {
		e.killLocked(in, false)
	}
	if cause == nil || !e.Go(func(context.Context) {
		e.cfg.Report(in.kind, in.key, "save", cause)
		close(s.done)
	}) {
		close(s.done)
	}
}

// unsaved is the error of later changes after a failed save.
func unsaved(cause error) error {
	return failAt(phaseSave, Unavailable, "earlier changes of the state could not be stored", cause)
}

// hope reports whether something will soon be stored, and can then leave
// memory.
func (e *Engine) hope() bool { return e.unsaved.Load() > e.stuck.Load() }

// debounced prepares a new instance.
func (e *Engine) debounced(in *Instance) {
	in.owed = &debounce{timer: time.AfterFunc(time.Hour, func() {
		e.Go(func(context.Context) { e.save(in, false) })
	})}
	in.owed.timer.Stop()
}
