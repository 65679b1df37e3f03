package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// saveNow returns when the changes that were acknowledged before it are stored,
// or one attempt to do so has failed.
func (e *Engine) saveNow(ctx context.Context, in *Instance) error {
	if in.owed == nil {
		return nil
	}
	in.lock()
	want := in.owed.changes
	in.unlock()
	for {
		in.lock()
		done := in.m.dead || in.owed.stored >= want
		in.unlock()
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
				return unsaved(s.err)
			}
		case <-ctx.Done():
			return failAt(phaseSave, Unavailable, "gave up waiting for earlier changes of the state to be stored", ctx.Err())
		}
	}
}

// unsaved is what a failed save means for what comes after it.
func unsaved(cause error) error {
	return failAt(phaseSave, Unavailable, "earlier changes of the state could not be stored", cause)
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
		if in := refs[i].Kind.cache.peek(refs[i].Kind, refs[i].Key); in != nil && in.owed != nil {
			all = append(all, in)
		}
	}
	e.saves(all) // together
	for _, in := range all {
		if err := e.saveNow(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom creates the instance of ref. When memory is full of instances that
// are being saved, which the search for room has seen to, it waits until one
// can leave. It does not wait for those whose saves have failed.
func (e *Engine) makeRoom(ctx context.Context, ref *Ref) (*Instance, error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 16*time.Millisecond) {
		hope := e.hope()
		in, err := e.create(ref)
		if err == nil || ref.Kind.Backend == nil || time.Since(began) > e.cfg.MaxWait || !hope && !e.hope() {
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

// hope reports whether something will soon be stored, and can leave memory then.
func (e *Engine) hope() bool { return e.unsaved.Load() > e.stuck.Load() }

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
		in.lock()
		d.disarm()
		lost, cause := d.dirty(), d.cause
		in.unlock()
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
