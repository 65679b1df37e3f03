package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stay-go/stay/store"
)

// An instance of a kind with Debounce is changed in memory first: a run's
// result replaces the committed version at once, and a save writes what is
// committed by then a while later. The machine does not know the difference:
// for it the store answered at once. Saves run beside it, without the turn, so
// a slow or failing store keeps nobody from changing the state.
//
// A version that is not saved carries the revision and the Meta of the record
// that it replaces, so whoever compares or checks revisions has those of the
// store. When a save has ended, the committed version is given the new ones:
// see rebase.

// A debounce is what such an instance owes the store. Instance.mu guards it.
type debounce struct {
	saved   *Version // what the store has
	changes uint64   // how many were acknowledged
	stored  uint64   // how many of them need no save any more
	counted bool     // among the engine's unsaved

	timer    *time.Timer // begins the next save
	armed    bool        // it is running
	due      bool        // it ran out while nothing could begin
	under    *save       // under way
	doubtful *save       // ended without an answer; it has to be sent again as it was
	failures int         // in a row
	cause    error       // of the latest

	later    Later // for the record's creation
	acking   bool  // the batch is a change that is acknowledged without the store
	removing bool  // the batch is a removal
	waiting  bool  // a removal waits for the save under way
	doomed   bool  // the instance dies with the end of the save
}

// A save is one attempt to store the committed version.
type save struct {
	in      *Instance
	version *Version      // what is stored
	upto    uint64        // the changes it includes
	base    *Version      // what it replaces
	later   Later         // nil if there is nothing to create
	req     *request      // nil until it was sent
	tries   int           // how often its companions had changed
	done    chan struct{} // closed when it has ended
	err     error         // set before
}

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

// Exists reports whether there is a record, or will be one after the next
// save.
func (v *Version) Exists() bool { return v.Revision != 0 || v.unsaved }

// Same reports whether both are the same state of a record.
func (v *Version) Same(w *Version) bool {
	return v == w || v.Exists() == w.Exists() && string(v.Encoded) == string(w.Encoded)
}

// debounced prepares a new instance.
func (e *Engine) debounced(in *Instance) {
	in.m.limits = &e.single // every change is acknowledged by itself
	in.owed = &debounce{timer: time.AfterFunc(time.Hour, func() {
		e.Go(func(context.Context) { e.save(in, false) })
	})}
	in.owed.timer.Stop()
}

// dirty reports whether the store lacks something.
func (d *debounce) dirty() bool { return d.changes != d.stored }

// clean reports whether the instance can leave memory. If it cannot because
// something is not stored yet, it is saved at once.
func (in *Instance) clean() bool {
	d := in.owed
	switch {
	case d == nil:
		return true
	case d.dirty() && d.under == nil && d.failures == 0:
		d.arm(0)
	}
	return !d.dirty() && d.under == nil
}

func (d *debounce) arm(after time.Duration) {
	d.armed = true
	d.timer.Reset(after)
}

func (d *debounce) disarm() {
	d.armed, d.due = false, false
	d.timer.Stop()
}

// abandon gives up what is not saved; in.mu is locked.
func (d *debounce) abandon(e *Engine) {
	d.disarm()
	d.count(e, false)
}

// count keeps the engine's number of instances with unsaved changes.
func (d *debounce) count(e *Engine, is bool) {
	if is != d.counted {
		d.counted = is
		if is {
			e.unsaved.Add(1)
		} else {
			e.unsaved.Add(-1)
		}
	}
}

// rebase gives the committed version the revision that the store has given to
// an earlier one. Nobody may be running.
func (in *Instance) rebase() {
	d, c := in.owed, in.m.committed
	if d == nil || in.m.dead || c.Revision == d.saved.Revision {
		return
	}
	next := *c
	next.Revision, next.Meta, next.unsaved = d.saved.Revision, d.saved.Meta, false
	if in.m.working == c {
		in.m.working = &next
	}
	in.m.committed = &next
	in.snapshot.Store(&next)
}

// postpone takes over the commit of in, whose turn is shut, if the store is
// not to be asked now.
func (e *Engine) postpone(in *Instance) bool {
	in.mu.Lock()
	d, work := in.owed, in.m.working
	in.rebase()
	if work.gone {
		d.removing = true
		d.waiting = d.under != nil
		waiting, nothing := d.waiting, d.saved.Revision == 0
		in.mu.Unlock()
		if nothing && !waiting {
			e.conclude(in, vanished, nil)
		}
		return waiting || nothing
	}
	if err := e.refusal(in, work); err != nil {
		in.mu.Unlock()
		e.conclude(in, rejected, err)
		return true
	}
	if c := in.m.committed; !c.Exists() && in.guard != nil && !in.guard.Valid(c) {
		in.mu.Unlock()
		e.conclude(in, conflicted, nil) // as the store would say that is asked
		return true
	}
	work.Revision, work.Meta, work.unsaved = d.saved.Revision, d.saved.Meta, true
	if work.Revision == 0 && d.later == nil && in.guard != nil {
		d.later = in.guard.Later()
	}
	work.Expires = in.kind.expires(work, work.Revision == 0, in.expires, e.cfg.Now())
	d.acking = true
	in.mu.Unlock()
	e.conclude(in, applied, nil)
	return true
}

// refusal says why a version can surely not be stored later.
func (e *Engine) refusal(in *Instance, work *Version) error {
	if e.ctx.Err() != nil {
		return fail(Closed, "the app is closed", nil)
	}
	if most := in.kind.Backend.features.MaxValue; most > 0 && len(work.Encoded) > most {
		return storeError(store.ErrTooLarge)
	}
	return nil
}

// concluded notes how the instance's batch has ended; in.mu is locked.
func (d *debounce) concluded(e *Engine, in *Instance, how conclusion) {
	switch {
	case in.m.dead:
		d.abandon(e)
		d.stored = d.changes
	case how == applied && d.acking:
		d.changes++
		d.count(e, true)
		in.rebase()
		if !d.armed && !d.due {
			d.arm(e.delay(in))
		}
	case how == applied:
		d.saved = in.m.committed // written by a group
	}
	d.acking, d.removing = false, false
	if d.due && d.under == nil && !in.m.dead {
		d.arm(0)
	}
}

// delay is when the save of a first change begins: after Debounce, but before
// the stored record would expire, and at once when the engine is about to stop.
func (e *Engine) delay(in *Instance) time.Duration {
	if e.refuse.Load() {
		return 0
	}
	delay, ends := in.kind.Debounce, in.owed.saved.Expires
	if in.owed.saved.Revision == 0 {
		ends = in.m.committed.Expires
	}
	if !ends.IsZero() {
		if left := ends.Sub(e.cfg.Now()); left < delay {
			delay = max(left/2, 0)
		}
	}
	return delay
}

// save begins a save if there is something to be saved and none is under way,
// and returns the one under way. Without now, it is the timer's.
func (e *Engine) save(in *Instance, now bool) *save {
	in.mu.Lock()
	defer in.mu.Unlock()
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
	d.disarm()
	s := &save{in: in, version: in.m.committed, upto: d.changes, base: d.saved, done: make(chan struct{})}
	if d.saved.Revision == 0 {
		s.later = d.later
	}
	if again := d.doubtful; again != nil {
		s.version, s.upto, s.req = again.version, again.upto, again.req
		s.req.save = s
	}
	d.under, d.doubtful = s, nil
	if !e.Go(func(context.Context) { e.begin(s) }) {
		d.under = nil
		return nil
	}
	return s
}

// begin sends the save to the store.
func (e *Engine) begin(s *save) {
	if s.req != nil { // nobody knows whether it was stored
		s.req.doubted = time.Time{}
		s.req.backend.send(s.req)
		return
	}
	in, v, base := s.in, *s.version, s.base
	if base.Revision != 0 && v.Same(base) && v.Expires.Equal(base.Expires) {
		e.saved(s, base)
		return
	}
	req := &request{save: s, backend: in.kind.Backend, seq: e.writeID()}
	v.Meta, v.unsaved = e.nextMeta(base.Meta, base.Revision, req.seq), false
	req.one[0] = store.Write{
		Op: store.Put, Key: in.kind.Prefix + in.key, Base: base.Revision, Version: in.kind.Version,
		Value: v.Encoded, Meta: v.Meta, Expires: v.Expires,
	}
	req.writes[0] = req.one[:]
	if s.later != nil {
		companions, ok, err := s.later(e.current)
		if err == nil && ok {
			err = e.accompany(req, companions)
		}
		switch {
		case err != nil:
			e.saveFailed(s, err)
			return
		case !ok:
			e.perish(s, vanished, nil)
			return
		}
	}
	for i := range req.all() {
		req.bytes += len(req.all()[i].Value)
	}
	s.version, s.req = &v, req
	req.backend.send(req)
}

// current returns an instance's version without a place in memory for it:
// saves must go on when memory is full.
func (e *Engine) current(k *Kind, key string) (*Version, error) {
	if v := e.Peek(k, key); v != nil && !v.expired(e.cfg.Now()) {
		return v, nil
	}
	v, _, err := e.fetch(k, key, false)
	return v, err
}

// settleSave is [Engine.settle] for a save.
func (e *Engine) settleSave(req *request, res store.Result) {
	s := req.save
	switch {
	case res.Outcome == store.Applied:
		s.version.Revision = res.Revisions[0]
		e.advanceAll(req, res.Revisions)
		e.saved(s, s.version)
	case res.Outcome == store.Conflict && len(res.Current) == len(req.all()):
		for _, c := range req.companions {
			e.Drop(c.Kind, c.Key)
		}
		switch own := &res.Current[0]; {
		case metaCarries(own.Meta, e.node, req.seq):
			s.version.Revision = own.Revision // an earlier sending was applied
			e.saved(s, s.version)
		case own.Revision == req.one[0].Base && s.tries < maxTries:
			s.tries++
			s.req = nil
			if !e.Go(func(context.Context) { e.begin(s) }) {
				e.saveFailed(s, fail(Closed, "the app is closed", nil))
			}
		case own.Revision == req.one[0].Base:
			s.req = nil
			e.saveFailed(s, fail(Conflict, "the session kept changing", nil))
		default:
			e.perish(s, conflicted, fail(Conflict, "the stored state was removed or replaced from outside: changes that were not stored yet are lost", nil))
		}
	case res.Outcome == store.Rejected && req.sent == 1:
		s.req = nil
		e.saveFailed(s, storeError(res.Err))
	default:
		e.sendAgain(req, res.Err)
	}
}

// saved ends a save: the store has v.
func (e *Engine) saved(s *save, v *Version) {
	in, d := s.in, s.in.owed
	in.mu.Lock()
	d.saved, d.later = v, nil
	e.failing.Store(false)
	d.failures, d.cause = 0, nil
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
	if e.evict.Load() {
		in.cache.drop(in, true)
	}
}

// saveFailed ends a save: the store may have it or not, by the class of the
// error. It is reported, and tried again after a pause.
func (e *Engine) saveFailed(s *save, err error) {
	in, d := s.in, s.in.owed
	in.mu.Lock()
	if s.req != nil {
		d.doubtful = s
	}
	e.failing.Store(true)
	d.failures++
	d.cause, d.due = err, false
	if e.ctx.Err() == nil {
		d.arm(backoff(d.failures))
	} else {
		d.disarm()
	}
	e.endSave(s, err)
}

// endSave lets go on what waited for the save. It unlocks in.mu.
func (e *Engine) endSave(s *save, err error) {
	in, d := s.in, s.in.owed
	d.under = nil
	waiting, doomed, leaves := d.waiting, d.doomed, in.leaves
	d.waiting, d.doomed = false, false
	in.mu.Unlock()
	if waiting {
		e.commit(in)
	}
	if doomed {
		e.expel(in, leaves)
	}
	s.err = err
	if err == nil || e.ctx.Err() != nil || !e.Go(func(context.Context) {
		e.cfg.Report(in.kind, in.key, "save", err)
		close(s.done)
	}) {
		close(s.done)
	}
}

// perish ends a save and the instance: what is not stored has nowhere to go.
// With a cause it is reported.
func (e *Engine) perish(s *save, how conclusion, cause error) {
	in, d := s.in, s.in.owed
	in.mu.Lock()
	d.abandon(e)
	d.stored = d.changes
	removal := d.waiting
	d.waiting, d.doomed = false, false
	d.under = nil
	in.mu.Unlock()
	if removal {
		e.conclude(in, how, nil)
	} else {
		e.kill(in)
	}
	if cause == nil || !e.Go(func(context.Context) {
		e.cfg.Report(in.kind, in.key, "save", cause)
		close(s.done)
	}) {
		close(s.done)
	}
}

// flush returns when the changes that were acknowledged before it are stored,
// or one attempt to do so has failed.
func (e *Engine) flush(ctx context.Context, in *Instance) error {
	if in.owed == nil {
		return nil
	}
	in.mu.Lock()
	want := in.owed.changes
	in.mu.Unlock()
	for {
		in.mu.Lock()
		done := in.m.dead || in.owed.stored >= want
		in.mu.Unlock()
		if done {
			return nil
		}
		s := e.save(in, true)
		if s == nil {
			if e.ctx.Err() != nil {
				return fail(Closed, "the app is closed", nil)
			}
			return nil // it is being removed, or was saved meanwhile
		}
		select {
		case <-s.done:
			if s.err != nil {
				return fail(Unavailable, "earlier changes of the state could not be stored", s.err)
			}
		case <-ctx.Done():
			return fail(Unavailable, "gave up waiting for earlier changes of the state to be stored", ctx.Err())
		}
	}
}

// Flush stores what Debounce has kept back of the states named, and fails if
// one attempt to do so fails; then they are tried again as by themselves.
func (e *Engine) Flush(ctx context.Context, refs ...Ref) error {
	if !e.Begin() {
		return fail(Closed, "the app is closed", nil)
	}
	defer e.End()
	var all []*Instance
	for i := range refs {
		if in := e.cacheOf(refs[i].Kind).get(refs[i].Kind, refs[i].Key, false, time.Time{}); in != nil && in.owed != nil {
			all = append(all, in)
		}
	}
	e.saves(all) // together
	for _, in := range all {
		if err := e.flush(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom creates the instance of ref. When memory is full of instances that
// are being saved, which the search for room has seen to, it waits until one
// can leave, unless saves are failing.
func (e *Engine) makeRoom(ctx context.Context, ref *Ref) (*Instance, error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 16*time.Millisecond) {
		unsaved := e.unsaved.Load()
		in, err := e.create(ref)
		if err == nil || ref.Kind.Backend == nil || e.failing.Load() || time.Since(began) > e.cfg.MaxWait ||
			unsaved == 0 && e.unsaved.Load() == 0 {
			return in, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fail(Busy, "gave up waiting for room in memory", ctx.Err())
		}
	}
}

// saves begins the saves of all that have unsaved changes, and returns those
// under way.
func (e *Engine) saves(all []*Instance) []*save {
	var out []*save
	for _, in := range all {
		if in.owed == nil {
			continue
		}
		if s := e.save(in, true); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// saveAll saves everything, again and again until ctx ends; if it has no
// deadline, for CommitTimeout.
func (e *Engine) saveAll(ctx context.Context) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.cfg.CommitTimeout)
		defer cancel()
	}
	for failures := 0; ; {
		under := e.saves(e.instances.all())
		if len(under) == 0 {
			return
		}
		failed := false
		for _, s := range under {
			select {
			case <-s.done:
				failed = failed || s.err != nil
			case <-ctx.Done():
				return
			}
		}
		if failed {
			failures++
			t := time.NewTimer(backoff(failures))
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
	}
}

// reportUnsaved tells of what the end of the engine has left unsaved.
func (e *Engine) reportUnsaved(all []*Instance, closing error) error {
	n := 0
	for _, in := range all {
		d := in.owed
		if d == nil {
			continue
		}
		in.mu.Lock()
		d.disarm()
		lost, cause := d.dirty(), d.cause
		in.mu.Unlock()
		if !lost {
			continue
		}
		if n++; closing == nil {
			closing = cause
		}
		e.cfg.Report(in.kind, in.key, "save", fail(Unavailable, "the app was closed before the last changes of the state could be stored: they are lost", cause))
	}
	if n == 0 {
		return closing
	}
	if closing == nil {
		closing = errors.New("the app was closed")
	}
	return fail(Unavailable, fmt.Sprintf("the last changes of %d states could not be stored: they are lost", n), closing)
}
