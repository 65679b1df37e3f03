package engine

// postpone takes over the commit of in, whose turn is shut, if the store should
// not be asked now.
func (e *Engine) postpone(in *Instance) bool {
	d, work := in.owed, in.m.working
	// Without the lock, because it may have to load: the turn keeps everything
	// as it is.
	if c := in.m.committed; !work.gone && !c.Exists() && in.guard != nil && !in.guard.Stands(c) {
		e.conclude(in, conflicted, nil) // as a store would answer that is asked
		return true
	}
	in.lock()
	in.rebase()
	if !work.gone && (d.doomed || in.m.doomed || in.m.committed.expired(e.cfg.Now())) {
		// The instance is killed, or it dies because the run began with a state
		// that has expired since. It must not die before the end of its save,
		// or the next instance would be loaded without that save.
		if d.waiting = d.under != nil; d.waiting {
			in.unlock()
			return true
		}
		e.concludeLocked(in, conflicted, nil) // see sendBatch
		return true
	}
	if work.gone {
		if d.doubtful != nil && e.startSave(in) == nil {
			e.concludeLocked(in, rejected, errClosed())
			return true
		}
		d.removing = true
		d.waiting = d.under != nil
		waiting, nothing := d.waiting, d.saved.Revision == 0
		if nothing && !waiting {
			e.concludeLocked(in, vanished, nil)
			return true
		}
		in.unlock()
		return waiting
	}
	if e.ctx.Err() != nil {
		e.concludeLocked(in, rejected, errClosed())
		return true
	}
	work.replaces(d.saved)
	work.unsaved = true
	if work.Revision == 0 && d.later == nil && in.guard != nil {
		later, err := in.guard.Later()
		if err != nil {
			e.concludeLocked(in, rejected, err)
			return true
		}
		d.later = later
	}
	work.setExpires(in.kind.expires(work, work.Revision == 0, in.expires, e.cfg.Now))
	d.acking = true
	e.concludeLocked(in, applied, nil) // in.mu stays locked, so nothing can doom it in between
	return true
}
