package engine

import (
	"errors"
	"sync/atomic"
	"time"
)

// An instance of a kind with Debounce is changed in memory first: the result of
// a run replaces the committed version at once, and a while later a save writes
// the version that is committed by then. The machine does not see the
// difference: for the machine, the store answered at once. Saves run beside the
// machine, without the turn, so a slow or failing store prevents no change of
// the state.
//
// A version that is not saved carries the revision and the writers of the
// record that it replaces. So code that compares or checks revisions has those
// of the store. When a save has ended, the committed version gets the new ones:
// see rebase.

// A debounce holds the changes that such an instance has not stored yet.
// Instance.mu guards it.
type debounce struct {
	saved   *Version // what the store has, without its value
	changes uint64   // how many were acknowledged
	stored  uint64   // how many of them need no save any more
	counted bool     // it is among the engine's unsaved
	stuck   bool     // and among those whose latest save has failed

	timer    *time.Timer // begins the next save
	armed    bool        // it is running
	due      bool        // the timer fired while no save could begin
	under    *save       // under way
	doubtful *save       // ended without an answer; it has to be sent again unchanged
	failures int         // in a row
	cause    error       // of the latest failure
	applied  uint64      // what the store had applied by then

	later    Later // for the creation of the record
	acking   bool  // the batch is a change that is acknowledged without the store
	removing bool  // the batch is a removal
	waiting  bool  // the batch waits for the save under way
	doomed   bool  // the instance is killed at the end of the save
}

// A save is one attempt to store the committed version; save.go makes it.
type save struct {
	*request   // nil until it is sent
	companions companions
	engine     *Engine
	in         *Instance
	version    *Version      // what is stored
	upto       uint64        // the last change that it includes
	base       *Version      // what it replaces
	later      Later         // nil if there is nothing to create
	tries      int           // how often its companions had changed
	done       chan struct{} // closed when it has ended
	err        error         // set before
}

// dirty reports whether there are changes that the store lacks.
func (d *debounce) dirty() bool { return d.changes != d.stored }

// clean reports whether the instance can leave memory. If it cannot because
// something is not stored yet, clean begins a save at once.
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

// abandon gives up the unsaved changes; in.mu is locked.
func (d *debounce) abandon(e *Engine) {
	d.disarm()
	d.count(e, false)
}

// count updates the engine's numbers of instances with unsaved changes, and of
// those among them whose latest save has failed.
func (d *debounce) count(e *Engine, unsaved bool) {
	stuck := unsaved && d.failures > 0
	note(&e.unsaved, &d.counted, unsaved)
	note(&e.stuck, &d.stuck, stuck)
}

// note updates n, the number of flags that are set, when a flag becomes is.
func note(n *atomic.Int64, flag *bool, is bool) {
	switch {
	case is && !*flag:
		n.Add(1)
	case !is && *flag:
		n.Add(-1)
	}
	*flag = is
}

// blames reports whether the save that has just failed shows that the store
// does not work. It does not if the state is the cause: because of the class of
// the error, or because the store has taken other writes since the same state
// failed before.
func (d *debounce) blames(b *Backend, err error) bool {
	var ee *Error
	if !errors.As(err, &ee) {
		return false
	}
	switch ee.Class {
	case Unavailable, Unknown, Closed, Corrupt:
		return d.failures == 0 || d.applied == b.applied.Load()
	}
	return false
}

// replaces copies to v, which is not saved, the facts about the store's record
// that comparisons need.
func (v *Version) replaces(saved *Version) {
	v.Revision, v.birth = saved.Revision, saved.birth
	v.setRare(rare{extra: v.extra(), others: saved.others(), names: v.names(), again: saved.again()})
}

// rebase gives the committed version the revision that the store has given to
// an earlier version. Nobody may be running.
func (in *Instance) rebase() {
	d, c := in.owed, in.m.committed
	if d == nil || in.m.dead || c.Revision == d.saved.Revision {
		return
	}
	next := *c
	next.replaces(d.saved)
	next.unsaved = false
	if in.m.working == c {
		in.m.working = &next
	}
	in.m.committed = &next
	in.publish(&next)
}

// concluded records how the instance's batch has ended; in.mu is locked.
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
		d.saved = in.m.committed.hollow() // a group wrote it
	}
	d.acking, d.removing = false, false
	if d.due && d.under == nil && !in.m.dead {
		d.arm(0)
	}
}

// ahead reports whether the record has expired but the state has not: changes
// that are not saved yet have postponed the expiry.
func (in *Instance) ahead(now time.Time) bool {
	return in.owed != nil && in.owed.saved != nil && in.owed.saved.expired(now) && !in.m.committed.expired(now)
}

// delay is how long the save of a first change waits: Debounce, but it begins
// before the stored record expires, and at once when the engine is about to
// stop.
func (e *Engine) delay(in *Instance) time.Duration {
	if e.refuse.Load() {
		return 0
	}
	delay, ends := in.kind.Debounce, in.owed.saved.Expires()
	if in.owed.saved.Revision == 0 {
		ends = in.m.committed.Expires()
	}
	if !ends.IsZero() {
		if left := ends.Sub(e.cfg.Now()); left < delay {
			delay = max(left/2, 0)
		}
	}
	return delay
}
