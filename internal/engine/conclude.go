package engine

// applied is the conclusion when the store has v: after a deletion, the next
// caller gets a new instance.
func (v *Version) applied() conclusion {
	if v.gone {
		return vanished
	}
	return applied
}

// conclude ends the batch of in and answers everybody.
func (e *Engine) conclude(in *Instance, how conclusion, cause error) {
	in.lock()
	e.concludeLocked(in, how, cause)
}

// concludeLocked is conclude with in.mu locked; it unlocks in.mu.
func (e *Engine) concludeLocked(in *Instance, how conclusion, cause error) {
	var eff effects
	updates := e.observeBatch(in, how)
	before := in.weigh(in.m.committed)
	switch how {
	case applied:
		if in.snapshot.Load().Revision > in.m.working.Revision {
			in.m.kill() // readers have seen a later version by another owner
		}
		eff = in.m.applied()
		if !in.m.doomed { // otherwise readers may know a later version: see follow
			in.publish(in.m.committed)
		}
	case vanished:
		eff = in.m.gone()
	case conflicted:
		eff = in.m.conflict()
	case rejected:
		if in.snapshot.Load().Revision > in.m.committed.Revision {
			in.m.kill() // as above
		}
		eff = in.m.rejected()
	case lost:
		eff = in.m.lost()
	}
	in.guard, in.encoded, in.checks = nil, nil, nil
	if in.owed != nil {
		in.owed.concluded(e, in, how)
	}
	dead, now := in.m.dead, in.weigh(in.m.committed)
	last, ends, idle := in.m.committed, in.ends, in.idle
	if how == vanished && in.m.working.gone {
		last, ends, idle = in.m.working, true, false
	}
	in.unlock()
	e.observeStored(in.kind, updates)
	if dead {
		e.remove(in, last, ends, idle)
	} else if now != before {
		in.kind.cache.resize(in, nil)
	}
	eff.cause = cause
	e.tell(in, eff)
}
