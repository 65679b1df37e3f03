package engine

// A machine decides, for one instance, which member runs, which batch its
// result joins, when the open batch goes to the store and which answer each
// member gets. It is a pure state machine: it has no clock, no goroutine and no
// I/O, so the simulation in turn_test.go can drive it through any order of
// events. Its caller serialises the calls and carries out the effects.
//
// Everything follows from one rule: a run starts from working, and working
// differs from committed only by results of the open batch. While a batch is at
// the store, the turn is shut, so nothing ever builds on a state that could
// still be rolled back.
type machine struct {
	limits    *limits
	committed *Version // what readers see
	working   *Version // what the next run starts from
	holder    *member  // has the turn
	waiting   list
	batch     list // those that ran, and wait for the commit of working
	shut      bool // the batch is at the store
	aside     bool // shut because it is another node's turn, and nothing is at the store
	doomed    bool // it dies with the answer to the batch
	dead      bool // out of use: everybody starts again with a new instance
}

// limits bound one instance.
type limits struct {
	waiters int // those that wait and members together
	members int // of a batch
	bytes   int // the size of an encoded state at which the batch closes at once
}

// An outcome is how a run ended.
type outcome uint8

const (
	changed outcome = iota // with a new version
	same                   // without a change
	refused                // with an error, or a result that cannot be kept
	aborted                // without an answer to give: panic, Goexit, or not run at all
	deleted                // with a new version that removes the record
)

// effects are the actions that the caller of the machine has to carry out.
type effects struct {
	own     verdict // for the member whose call this was; queued = wait
	grant   *member // has the turn now
	members *member // the first of them
	told    verdict // the version that members get
	restart *member // the first of those that start again
	commit  bool    // send working to the store
	pause   bool    // let others arrive, then call endPause
	cause   error   // why members get failed or unknown; not set by the machine
}

// enter asks for the turn.
func (m *machine) enter(w *member) verdict {
	switch {
	case m.dead:
		return again
	case m.holder == nil && !m.shut && m.waiting.n == 0 && (m.batch.n == 0 || !w.alone):
		m.holder = w
		return granted
	case m.waiting.n+m.batch.n >= m.limits.waiters:
		return busy
	}
	m.waiting.push(w)
	return queued
}

// leave removes w from the queue. It reports false if w is not in it any more:
// w was given the turn or told to start again.
func (m *machine) leave(w *member) bool { return m.waiting.remove(w) }

// finish gives up the turn. next is the new version if the run changed or
// deleted the state; late means that the batch's first member has waited long
// enough.
func (m *machine) finish(w *member, how outcome, next *Version, late bool) effects {
	m.holder = nil
	if m.dead {
		return effects{own: again}
	}
	var e effects
	switch how {
	case changed, deleted:
		m.working = next
		m.batch.push(w)
	case same, refused:
		switch {
		case m.working != m.committed:
			// The run has seen a version that may still be rolled back.
			m.batch.push(w)
		case w.unasked:
			e.own = unproven
		default:
			e.own = done
		}
	case aborted:
		e.own = again
	}
	full := how == deleted || late || m.waiting.n > 0 && m.waiting.first.alone ||
		m.batch.n >= m.limits.members || int(m.working.bytes) >= m.limits.bytes
	switch {
	case m.batch.n > 0 && full:
		m.close(&e)
	case m.waiting.n > 0:
		m.next(&e)
	case m.batch.n > 0:
		e.pause = true
	}
	return e
}

// stage turns the turn of a member that is alone into its part of a group: a
// separate batch at the store. next is the new version, nil if the state only
// has to stay as it is. It reports false if the instance is dead: then the
// group must not be committed.
func (m *machine) stage(w *member, next *Version) bool {
	m.holder = nil
	if m.dead {
		return false
	}
	if next != nil {
		m.working = next
	}
	m.batch.push(w)
	m.shut = true
	return true
}

// endPause closes the batch if nobody came in the pause after a run.
func (m *machine) endPause() effects {
	var e effects
	if m.holder == nil && !m.shut && !m.dead && m.batch.n > 0 {
		m.close(&e)
	}
	return e
}

func (m *machine) close(e *effects) {
	m.shut = true
	e.commit = true
}

func (m *machine) next(e *effects) {
	if w := m.waiting.first; w != nil {
		m.waiting.remove(w)
		e.grant, m.holder = w, w
	}
}

// open ends the batch: its members get v, and the next one gets the turn if
// nothing prevents that.
func (m *machine) open(e *effects, v verdict) {
	e.members, e.told = m.batch.take(), v
	m.shut, m.aside = false, false
	switch {
	case m.doomed:
		m.die(e)
	case !m.dead:
		m.next(e)
	}
}

// applied: the store has working, which carries its revision now.
func (m *machine) applied() effects {
	var e effects
	m.committed = m.working
	m.open(&e, done)
	return e
}

// gone: the commit was applied, but the record must be loaded again before
// anybody goes on: it was deleted, or others have written it since.
func (m *machine) gone() effects {
	var e effects
	m.doomed = true
	m.open(&e, done)
	return e
}

// rejected: nothing was changed, the batch fails alone.
func (m *machine) rejected() effects {
	var e effects
	m.working = m.committed
	m.open(&e, failed)
	return e
}

// overtaken: others have replaced the record that the batch started from, and v
// is what they have stored. Nothing of the batch is kept. Its members wait for
// the turn again, before everybody else.
func (m *machine) overtaken(v *Version) effects {
	if m.doomed {
		return m.conflict()
	}
	var e effects
	m.committed, m.working = v, v
	m.waiting.putBefore(&m.batch)
	m.shut, m.aside = false, false
	m.next(&e)
	return e
}

// standAside: it is another node's turn, so the holder w has not run, or if w is
// nil, the batch was not sent. Nothing of it is kept. They wait for the turn
// again, before everybody else, and nobody gets it until another event ends the
// batch, as if it was at the store. It reports false if the instance is dead.
func (m *machine) standAside(w *member) bool {
	if m.dead {
		return false
	}
	if w != nil {
		m.holder, m.shut = nil, true
		m.batch.push(w)
	}
	m.working, m.aside = m.committed, true
	m.waiting.putBefore(&m.batch)
	return true
}

// conflict: the record is not the one that the batch started from, and nobody
// knows what it is now.
func (m *machine) conflict() effects {
	var e effects
	m.doomed = true
	m.open(&e, again)
	return e
}

// lost: it will never be known whether the batch was applied.
func (m *machine) lost() effects {
	var e effects
	m.doomed = true
	m.open(&e, unknown)
	return e
}

// kill takes the instance out of use. A run under way, and everybody who waits
// or has joined, start again. While a batch is at the store, the instance stays
// until the answer: before it is known what this instance wrote, another one
// must not be loaded, and write.
func (m *machine) kill() effects {
	var e effects
	m.doomed = true
	if !m.shut && !m.dead {
		m.open(&e, again)
	}
	return e
}

// die does not touch working: a run under way reads it without a lock.
func (m *machine) die(e *effects) {
	m.dead = true
	e.restart = m.waiting.take()
}

// advance replaces the committed version by one that the group of another
// instance has written. It reports false if somebody works on the old one: then
// the instance has to be discarded.
func (m *machine) advance(v *Version) bool {
	if !m.idle() {
		return false
	}
	if v.Revision > m.committed.Revision {
		m.committed, m.working = v, v
	}
	return true
}

// idle reports whether nobody runs, waits or has joined. Then the instance may
// be evicted.
func (m *machine) idle() bool {
	return m.holder == nil && !m.shut && !m.dead && m.batch.n == 0 && m.waiting.n == 0
}
