package engine

import "context"

// saveNow returns when the changes that were acknowledged before it are stored,
// or when one attempt to store them has failed.
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
				return errClosed()
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

// Flush stores the changes of the given states that Debounce delayed. It fails
// if one attempt fails; these changes are then tried again as usual.
func (e *Engine) Flush(ctx context.Context, refs ...Ref) error {
	if !e.Begin() {
		return errClosed()
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

// saves begins the saves of all instances with unsaved changes, and returns the
// saves under way.
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

// EvictAll evicts every stored state that nobody uses; with always, also each
// state from now on as soon as its last use ends. Unsaved changes are saved
// first; if that fails, the state stays. When EvictAll returns, the hooks have
// been called.
func (e *Engine) EvictAll(always bool) {
	if always {
		e.evictAtOnce.Store(true)
	}
	all := e.instances.all()
	for _, s := range e.saves(all) {
		<-s.done
	}
	for i, in := range all {
		in.kind.cache.evictUnused(in)
		if i%departuresAtOnce == 0 {
			e.departures.drain(e.ctx)
		}
	}
	e.departures.drain(e.ctx)
}
