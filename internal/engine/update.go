package engine

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// An Op is one change, as package stay describes it. Resolve and Run are called
// again when the change has to start again.
type Op interface {
	// Resolve names the instance. With ask, it brings memory up to date with a
	// store that has several owners; without, it may leave that to the commit:
	// see Ref.Unasked. The Ref belongs to the op, and counts until the next call:
	// to pass it on as a value would cost as much stack in each function.
	Resolve(ctx context.Context, ask bool) (*Ref, error)
	// Run changes v, its own copy of the value of from, and returns v or a
	// value that replaces it.
	Run(v any, from *Version) (Result, error)
	// Committed is called once, with the turn free, when the last Run returned
	// no error and its change is durable or has changed nothing.
	Committed(ctx context.Context)
}

// A Result is the result of a run.
type Result struct {
	Value  any  // the new state
	Fresh  bool // it does not inherit the unknown fields of the record
	Delete bool // the record is removed; Value is ignored
	// Of a group, which has no [Ref].Name: the name of the change, and the version
	// whose names the new state takes over.
	Name Name
	From *Version
}

// None reports whether r is the zero Result.
func (r Result) None() bool { return r.Value == nil && !r.Delete }

// Update runs op until it holds, fails, or its caller's context ends. It
// returns the state after the op's run.
func (e *Engine) Update(ctx context.Context, op Op) (any, error) {
	if !e.Begin() {
		return nil, errClosed()
	}
	defer e.End()
	return e.UpdateBegun(ctx, op)
}

// UpdateBegun is Update for work that has called Begin: it goes on after Close has
// begun, which waits for that work.
func (e *Engine) UpdateBegun(ctx context.Context, op Op) (any, error) {
	var r Retry
	for {
		v, retry, err := e.try(ctx, op, &r)
		if !retry {
			return v, err
		}
		if err := e.Pause(ctx, &r); err != nil {
			return nil, err
		}
	}
}

// try is one passage through an instance. retry means: start again.
func (e *Engine) try(ctx context.Context, op Op, r *Retry) (v any, retry bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fail(Busy, "the caller's context is done", err)
	}
	ref, err := op.Resolve(ctx, r.asks)
	r.asks = true // if memory was wrong
	if err != nil {
		return nil, false, err
	}
	in, err := e.acquireToChange(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	defer e.release(in)
	w := e.newMember(ctx, op)

	in.lock()
	told := in.m.enter(w)
	in.unlock()
	for told == queued || told == granted {
		if told == queued {
			if told, err = e.await(in, w); err != nil {
				return nil, false, err
			}
			continue
		}
		if e.mustWait(in, w) {
			told = queued
			continue
		}
		from := in.m.working // what the run begins with: the turn is taken
		w.unasked = ref.Unasked
		if v, told = e.run(in, ref, w, op); told != queued {
			if told == unproven {
				return e.prove(ctx, op, in, from, w, v)
			}
			break
		}
		if told, err = hear(ctx, w); err != nil {
			return nil, false, err
		}
		if told == queued { // others were first
			w.answer.Store(pending)
			// The answer has the state as it is now, but says nothing about what the
			// Guard stands for.
			ref.Unasked = ref.Guard != nil
			if err = e.overdue(ctx, r); err != nil {
				e.quit(in, w)
				return nil, false, err
			}
		}
	}
	err = w.err
	report := w.report
	e.free(w)
	switch told {
	case done:
		if err != nil {
			return nil, false, err
		}
		op.Committed(ctx)
		return v, false, nil
	case busy:
		return nil, false, fail(Busy, "too many changes wait for the same state", nil)
	case failed, unknown:
		if report {
			e.cfg.Report(in.kind, in.key, "save", err)
		}
		return nil, false, err
	}
	return nil, true, nil
}

// prove ends a run that has changed nothing and was not preceded by a question
// to the store: its result stands if the store has the state that it saw.
func (e *Engine) prove(ctx context.Context, op Op, in *Instance, from *Version, w *member, v any) (any, bool, error) {
	err := w.err
	e.free(w)
	now, askErr := op.Resolve(ctx, true)
	switch {
	case askErr != nil:
		return nil, false, askErr
	case now.Kind != in.kind || now.Key != in.key || e.Peek(in.kind, in.key) != from:
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	op.Committed(ctx)
	return v, false, nil
}

// await waits for the turn. After an error the member is no longer in use.
func (e *Engine) await(in *Instance, w *member) (verdict, error) {
	if w.timer == nil {
		w.timer = time.NewTimer(e.cfg.MaxWait)
	} else {
		w.timer.Reset(e.cfg.MaxWait)
	}
	var err error
	select {
	case told := <-w.tell:
		w.timer.Stop()
		return told, nil
	case <-w.ctx.Done():
		err = fail(Busy, "gave up waiting for earlier changes of the same state", w.ctx.Err())
	case <-w.timer.C:
		err = fail(Busy, "another change of the same state has been running for too long", errSelf)
	}
	w.timer.Stop()
	in.lock()
	if in.m.aside {
		err = errOutrun(w.ctx)
	}
	in.unlock()
	e.quit(in, w)
	return queued, err
}

// quit ends the wait of w for the turn, and the use of w.
func (e *Engine) quit(in *Instance, w *member) {
	in.lock()
	left := in.m.leave(w)
	in.unlock()
	if !left {
		if told := <-w.tell; told == granted {
			e.finish(in, w, aborted, nil)
		}
	}
	e.free(w)
}

var errSelf = errors.New("if that is the caller itself, a change was made inside a change, " +
	"with a context from outside: use the context that the function got, or make the change after the outer one")

// run has the turn: it lets the op work on a copy and gives the turn back,
// whatever happens. It returns queued if the answer is still to come.
func (e *Engine) run(in *Instance, ref *Ref, w *member, op Op) (v any, told verdict) {
	how, next := aborted, (*Version)(nil)
	returned := false
	defer func() {
		told = e.finish(in, w, how, next)
		if !returned { // a panic or Goexit goes on
			e.free(w)
		}
	}()
	if ref.Guard != nil && !ref.Guard.Valid(in.m.committed) {
		returned = true
		return nil, again
	}
	checks := in.checks
	if ref.Unasked && ref.Guard != nil {
		list, ok := ref.Guard.Checks()
		if checks, ok = joinChecks(checks, list, ok); !ok {
			returned = true
			return nil, again
		}
	}
	var encoded []byte
	v, how, next, encoded, w.err = e.apply(in, op, ref.Name)
	if how == deleted && ref.Unasked {
		// If the store does not say whether it deleted the record, and there is a
		// later one then, the deletion counts as done: see conflictOrOwn. So the
		// record must be one that was there after the caller came.
		how, next = aborted, nil
	}
	if how == changed {
		in.guard, in.expires, in.encoded = ref.Guard, ref.Expires, encoded
	}
	if how == changed || how == deleted || how != aborted && in.m.working != in.m.committed { // it joins the batch
		in.checks = checks
	}
	returned = true
	return v, queued
}

// apply runs the op on a copy of the working state, unless the state knows its
// name, and returns how that ended.
func (e *Engine) apply(in *Instance, op Op, name Name) (v any, how outcome, next *Version, encoded []byte, err error) {
	k, work := in.kind, in.m.working
	switch known, err := work.knows(name); {
	case err != nil:
		return nil, refused, nil, nil, err
	case known:
		op.(NamedOp).Known()
		return k.Type.Clone(work.Value), same, nil, nil, nil
	}
	res, err := op.Run(k.Type.Clone(work.Value), work)
	if err != nil {
		return nil, refused, nil, nil, err
	}
	res.Name = name
	if res.Delete {
		if work == in.m.committed && !work.Exists() {
			return nil, same, nil, nil, nil
		}
		return nil, deleted, work.deleted(), nil, nil
	}
	return e.next(k, work, res, false)
}

// next makes the version that follows work after a run returned res, which
// deletes nothing, and its encoded form. With force it makes a new version even
// if nothing has changed.
func (e *Engine) next(k *Kind, work *Version, res Result, force bool) (v any, how outcome, next *Version, encoded []byte, err error) {
	extra := work.extra()
	if res.Fresh {
		extra = nil
	}
	if encoded, err = k.Type.Encode(res.Value, extra); err != nil {
		return nil, refused, nil, nil, err
	}
	digest := e.digest(encoded)
	if !force && digest == work.digest() {
		return k.Type.Clone(work.Value), same, nil, nil, nil
	}
	if len(encoded) > e.cfg.MaxState {
		return nil, refused, nil, nil, fail(TooLarge, "the state is larger than MaxState", nil)
	}
	if len(encoded) > e.cfg.MaxState/2 {
		e.warnSize(k, len(encoded))
	}
	next = &Version{expires: work.expires, hash: digest.hash, bytes: digest.bytes}
	var bytes int
	if next.Value, v, bytes, err = k.Type.Settle(res.Value, work.Value, extra, encoded); err != nil {
		return nil, refused, nil, nil, err
	}
	next.weight = weigh(bytes)
	next.setRare(rare{extra: extra, names: e.namesAfter(k, work, &res)}) // its writers are set when it is stored
	return v, changed, next, encoded, nil
}

// warnSize warns, once a minute for each module, that states come near the
// limit.
func (e *Engine) warnSize(k *Kind, n int) {
	if k.warned.due(e.cfg.Now()) {
		e.cfg.Logger.Warn("a state is larger than half of MaxState", "module", k.Name, "bytes", n, "max", e.cfg.MaxState)
	}
}

// finish gives up the turn and carries out what follows.
func (e *Engine) finish(in *Instance, w *member, how outcome, next *Version) verdict {
	in.lock()
	late := false
	if in.m.batch.n > 0 && in.kind.Backend != nil {
		late = time.Since(in.joined) > in.kind.Backend.lane(in.kind.Prefix, in.key).patience()
	} else if how == changed && in.m.limits != &e.single {
		in.joined = time.Now()
	}
	in.rebase()
	eff := in.m.finish(w, how, next, late)
	in.unlock()
	e.carryOut(in, eff)
	if eff.pause {
		runtime.Gosched()
		in.lock()
		eff2 := in.m.endPause()
		in.unlock()
		e.carryOut(in, eff2)
	}
	return eff.own
}

// carryOut carries out the machine's effects.
func (e *Engine) carryOut(in *Instance, eff effects) {
	e.tell(in, eff)
	if eff.commit {
		e.commit(in)
	}
}
