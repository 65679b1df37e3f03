package engine

// variants break one safety rule of the machine each. docs/design.md lists
// them.
var variants = map[string]func(*machine) decider{
	"acknowledge before the commit":              func(m *machine) decider { return earlyAck{m} },
	"publish before the commit":                  func(m *machine) decider { return earlyPublish{m} },
	"forget the rollback":                        func(m *machine) decider { return noRollback{m} },
	"run while the batch is at the store":        func(m *machine) decider { return neverShut{m} },
	"take a conflict for success":                func(m *machine) decider { return blindConflict{m} },
	"go on with the same instance on a conflict": func(m *machine) decider { return staleConflict{m} },
	"keep what was overtaken":                    func(m *machine) decider { return keepOvertaken{m} },
	"forget those who were overtaken":            func(m *machine) decider { return forgetOvertaken{m} },
	"let those who wait run before the batch":    func(m *machine) decider { return lateOvertaken{m} },
	"take an unknown outcome for a rejection":    func(m *machine) decider { return unknownIsNo{m} },
	"take an unknown outcome for success":        func(m *machine) decider { return unknownIsYes{m} },
	"answer a no-op from memory":                 func(m *machine) decider { return trustingNoop{m} },
	"answer a no-op from an uncommitted state":   func(m *machine) decider { return eagerNoop{m} },
	"keep what a panicking run did":              func(m *machine) decider { return keepPanic{m} },
	"give the turn to two":                       func(m *machine) decider { return twoTurns{m} },
	"give the turn to the latest":                func(m *machine) decider { return lastFirst{m} },
	"no bound on those who wait":                 func(m *machine) decider { return noBound{m} },
	"no bound on the batch":                      func(m *machine) decider { return bigBatch{m} },
	"forget those who wait when it dies":         func(m *machine) decider { return deaf{m} },
	"forget the members when it is killed":       func(m *machine) decider { return orphans{m} },
	"commit what was killed":                     func(m *machine) decider { return undead{m} },
	"die while the batch is at the store":        func(m *machine) decider { return hasty{m} },
	"outlive a kill during the commit":           func(m *machine) decider { return survivor{m} },
	"replace the state under a run":              func(m *machine) decider { return rudeAdvance{m} },
	"leave without giving up the place":          func(m *machine) decider { return ghost{m} },
	"forget to settle":                           func(m *machine) decider { return unsettled{m} },
	"keep the rejected batch's members":          func(m *machine) decider { return doubleAnswer{m} },
	"let a group in while a batch is open":       func(m *machine) decider { return early{m} },
	"commit a group's part that has died":        func(m *machine) decider { return deadPart{m} },
	"leave the turn open during a group":         func(m *machine) decider { return openGroup{m} },
}

type earlyAck struct{ *machine }

func (b earlyAck) finish(w *member, how outcome, v *Version, late bool) effects {
	e := b.machine.finish(w, how, v, late)
	if how == changed && e.own == queued {
		e.own = done
		b.batch.remove(w)
	}
	return e
}

type earlyPublish struct{ *machine }

func (b earlyPublish) finish(w *member, how outcome, v *Version, late bool) effects {
	e := b.machine.finish(w, how, v, late)
	if how == changed && !b.dead {
		v.Revision = b.committed.Revision
		b.committed = v
	}
	return e
}

type noRollback struct{ *machine }

func (b noRollback) rejected() effects {
	kept := b.working
	e := b.machine.rejected()
	b.working = kept
	return e
}

type neverShut struct{ *machine }

func (b neverShut) finish(w *member, how outcome, v *Version, late bool) effects {
	e := b.machine.finish(w, how, v, late)
	b.shut = false
	return e
}

func (b neverShut) endPause() effects {
	e := b.machine.endPause()
	b.shut = false
	return e
}

type blindConflict struct{ *machine }

func (b blindConflict) conflict() effects { return b.applied() }

type staleConflict struct{ *machine }

func (b staleConflict) conflict() effects { return b.rejected() }

type keepOvertaken struct{ *machine }

func (b keepOvertaken) overtaken(v *Version) effects {
	kept := b.working
	e := b.machine.overtaken(v)
	b.working = kept
	return e
}

type forgetOvertaken struct{ *machine }

func (b forgetOvertaken) overtaken(v *Version) effects {
	if !b.doomed {
		b.batch.take()
	}
	return b.machine.overtaken(v)
}

type lateOvertaken struct{ *machine }

func (b lateOvertaken) overtaken(v *Version) effects {
	if !b.doomed {
		b.batch.putBefore(&b.waiting)
	}
	return b.machine.overtaken(v)
}

type unknownIsNo struct{ *machine }

func (b unknownIsNo) lost() effects { return b.rejected() }

type unknownIsYes struct{ *machine }

func (b unknownIsYes) lost() effects { return b.gone() }

type eagerNoop struct{ *machine }

func (b eagerNoop) finish(w *member, how outcome, v *Version, late bool) effects {
	e := b.machine.finish(w, how, v, late)
	if (how == same || how == refused) && e.own == queued {
		e.own = done
		b.batch.remove(w)
	}
	return e
}

type trustingNoop struct{ *machine }

func (b trustingNoop) finish(w *member, how outcome, v *Version, late bool) effects {
	e := b.machine.finish(w, how, v, late)
	if e.own == unproven {
		e.own = done
	}
	return e
}

type keepPanic struct{ *machine }

func (b keepPanic) finish(w *member, how outcome, v *Version, late bool) effects {
	if how == aborted && !b.dead {
		b.working = &Version{Value: append([]int(nil), append(seen(b.working), -1)...), bytes: 1}
	}
	return b.machine.finish(w, how, v, late)
}

type twoTurns struct{ *machine }

func (b twoTurns) enter(w *member) verdict {
	if !b.dead && !b.shut && b.waiting.n == 0 {
		b.holder = w
		return granted
	}
	return b.machine.enter(w)
}

type lastFirst struct{ *machine }

func (b lastFirst) finish(w *member, how outcome, v *Version, late bool) effects {
	if first := b.waiting.first; first != nil {
		b.waiting.remove(first)
		b.waiting.push(first)
	}
	return b.machine.finish(w, how, v, late)
}

type noBound struct{ *machine }

func (b noBound) enter(w *member) verdict {
	v := b.machine.enter(w)
	if v == busy {
		b.waiting.push(w)
		return queued
	}
	return v
}

type bigBatch struct{ *machine }

func (b bigBatch) finish(w *member, how outcome, v *Version, late bool) effects {
	l := *b.limits
	l.members = 1 << 20
	b.limits = &l
	return b.machine.finish(w, how, v, false)
}

type deaf struct{ *machine }

func (b deaf) conflict() effects {
	e := b.machine.conflict()
	e.restart = nil
	return e
}

type orphans struct{ *machine }

func (b orphans) kill() effects {
	var e effects
	if !b.shut {
		b.die(&e)
	}
	return e
}

type undead struct{ *machine }

func (b undead) kill() effects {
	var e effects
	return e
}

type hasty struct{ *machine }

func (b hasty) kill() effects {
	e := b.machine.kill()
	if !b.dead {
		b.die(&e)
	}
	return e
}

type survivor struct{ *machine }

func (b survivor) rejected() effects {
	b.doomed = false
	return b.machine.rejected()
}

type rudeAdvance struct{ *machine }

func (b rudeAdvance) advance(v *Version) bool {
	b.committed, b.working = v, v
	return true
}

type ghost struct{ *machine }

func (b ghost) leave(w *member) bool { return w.in == &b.waiting }

type unsettled struct{ *machine }

func (b unsettled) endPause() effects { return effects{} }

type doubleAnswer struct{ *machine }

func (b doubleAnswer) rejected() effects {
	e := b.machine.rejected()
	if w := e.members; w != nil && w.next == nil {
		b.batch.push(w)
	}
	return e
}

type early struct{ *machine }

func (b early) enter(w *member) verdict {
	alone := w.alone
	w.alone = false
	v := b.machine.enter(w)
	w.alone = alone
	return v
}

type deadPart struct{ *machine }

func (b deadPart) stage(w *member, next *Version) bool {
	dead := b.dead
	b.dead = false
	b.machine.stage(w, next)
	b.dead = dead
	return true
}

type openGroup struct{ *machine }

func (b openGroup) stage(w *member, next *Version) bool {
	ok := b.machine.stage(w, next)
	b.shut = false
	return ok
}
