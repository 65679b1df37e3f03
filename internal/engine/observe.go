package engine

// An Observer receives the engine's events. Its methods are called without
// locks, but in the middle of work: they must return at once and must not use
// the engine.
type Observer interface {
	// Hit: a stored state was wanted, and memory had it.
	Hit(k *Kind)
	// Miss: a stored state has to be read from the store.
	Miss(k *Kind)
	// Evicted: a state left memory to make room for others.
	Evicted(k *Kind)
	// Stored: a record was written that holds the results of this many updates.
	Stored(k *Kind, updates int)
	// Forgotten: a state has dropped n names of changes before their time, to
	// make room for others.
	Forgotten(k *Kind, n int)
}

func (e *Engine) observeHit(k *Kind) {
	if e.cfg.Observer != nil && k.Backend != nil {
		e.cfg.Observer.Hit(k)
	}
}

func (e *Engine) observeMiss(k *Kind) {
	if e.cfg.Observer != nil {
		e.cfg.Observer.Miss(k)
	}
}

func (e *Engine) observeStored(k *Kind, updates int) {
	if e.cfg.Observer != nil && updates > 0 {
		e.cfg.Observer.Stored(k, updates)
	}
}

// observeBatch counts the updates of a batch that is about to be concluded,
// reports them to the Observer, and returns their number; 0 if there is no
// Observer, or no record was written. in.mu is locked.
func (e *Engine) observeBatch(in *Instance, how conclusion) int {
	if e.cfg.Observer == nil || how != applied && how != vanished || in.kind.Backend == nil ||
		in.owed != nil && in.owed.acking || in.m.working == in.m.committed {
		return 0
	}
	for w := in.m.batch.first; w != nil; w = w.next {
		if op, ok := w.op.(BatchedOp); ok {
			op.Batched(in.m.batch.n)
		}
	}
	return in.m.batch.n
}

// Counts are numbers of states in memory.
type Counts struct {
	States, Bytes       int64 // stored states, session records included
	Guests, GuestsBytes int64 // ephemeral states
	Unsaved             int64 // stored states with changes that the store lacks
}

// Counts returns the present numbers.
func (e *Engine) Counts() Counts {
	return Counts{
		States: e.instances.count(), Bytes: e.instances.bytes(),
		Guests: e.guests.count(), GuestsBytes: e.guests.bytes(),
		Unsaved: e.unsaved.Load(),
	}
}

// Failing reports whether a store refuses changes that Debounce delayed. One
// state that cannot be stored, while others can, does not count; see
// [debounce.blames].
func (e *Engine) Failing() bool {
	if e.stuck.Load() == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.backends {
		if b.broken() {
			return true
		}
	}
	return false
}

// A BatchedOp is an Op that gets the number of operations in its commit.
// Batched may be called after the op's caller has left.
type BatchedOp interface {
	Batched(updates int)
}
