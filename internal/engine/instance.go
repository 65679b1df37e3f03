package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/footprint"
	"github.com/stay-go/stay/internal/meta"
)

// An Instance is the state of one module under one key, in memory. Most
// instances are at rest, so the fields that only a change needs are in active.
type Instance struct {
	kind       *Kind
	key        string
	prev, next *Instance // in the list of its segment
	used       int64     // the time of the last use: in Unix nanoseconds for state that is only in memory, for others in any order

	snapshot atomic.Pointer[Version] // what readers see: the machine's committed
	owed     *debounce               // nil unless the kind has Debounce

	*active

	mu      sync.Mutex
	pins    atomic.Int32
	fresh   bool    // there was certainly no record when it was made
	dead    bool    // it was evicted while it was at rest
	ends    bool    // it ends for good when the awaited answer of the store comes
	idle    bool    // it ends because its time is over
	counted weight  // its weight as the cache has counted it
	segment segment // of the cache
	early   bool    // it was loaded for a use that is still to come; belongs to the shard
}

// active is the part of an instance that exists while the state is loaded or
// somebody changes it, and also if the instance has died meanwhile. Instance.mu
// guards it, except for what the holder of the turn reads.
type active struct {
	loading *loading // nil once it is loaded
	m       machine
	encoded []byte        // the encoded state that the open batch leaves
	joined  time.Time     // when the first member joined the open batch
	writing meta.Writer   // the write that is at the store
	guard   Guard         // of the latest member that changed the state
	expires time.Time     // for the record that the batch creates
	checks  []Companion   // what the commit of the batch has to check
	pass    func()        // ends this node's turn to write the state; nil = it has none
	left    chan struct{} // closed when it has left memory; nil = nobody waits
}

// lock locks in.mu and makes sure that the active part is there.
func (in *Instance) lock() {
	in.mu.Lock()
	if in.active != nil {
		return
	}
	e := in.kind.cache.engine
	a, _ := e.actives.Get().(*active)
	if a == nil {
		a = new(active)
	}
	v := in.snapshot.Load()
	a.m.committed, a.m.working, a.m.dead = v, v, in.dead
	a.m.limits = &e.limits
	if k := in.kind; k.Backend == nil || k.Backend.features.Immediate || in.owed != nil {
		a.m.limits = &e.single // every change is a batch of its own
	}
	in.active = a
}

// unlock puts the instance to rest if nothing is under way, and unlocks in.mu.
func (in *Instance) unlock() {
	if a := in.active; a.m.idle() && a.loading == nil && a.left == nil {
		if a.pass != nil { // it has written nothing
			a.pass()
		}
		in.active = nil
		*a = active{}
		in.kind.cache.engine.actives.Put(a)
	}
	in.mu.Unlock()
}

// publish makes v the version that readers see. Every version becomes visible
// here: the first one, a commit, one that the group of another instance or
// another owner has written, and a version that only carries the revision of a
// save (see rebase). Readers may already see v. A deletion is not published:
// the instance ends. in.mu is locked, or nobody else knows in yet.
//
// publish wakes whoever watches the state, unless the content is the same. The
// first version of an instance is news only where the store has other owners,
// who may have changed the state since it was evicted.
func (in *Instance) publish(v *Version) {
	was, ts := in.snapshot.Swap(v), &in.kind.cache.engine.topics
	switch {
	case !ts.any():
	case was == nil && in.m.dead:
		ts.changed(topicKey{in.kind, in.key}) // it has ended since it was read
	case was == nil:
		if b := in.kind.Backend; b != nil && !b.features.SoleOwner {
			ts.found(topicKey{in.kind, in.key}, v)
		}
	case !was.alike(v):
		ts.changed(topicKey{in.kind, in.key})
	}
}

// start sets the first version.
func (in *Instance) start(v *Version) {
	in.lock()
	in.m.committed, in.m.working = v, v
	if in.owed != nil {
		in.owed.saved = v.hollow()
	}
	in.publish(v)
	in.loading = nil
	in.unlock()
}

// The memory that an instance takes in addition to its key and its version's
// value: the two structs, its part of the table in which it is found and, with
// Debounce, its unsaved changes.
const (
	restBytes     = 200
	debounceBytes = 400
	rareBytes     = 80
)

// weigh returns the memory that the instance takes with this version.
func (in *Instance) weigh(v *Version) weight {
	n := restBytes + footprint.Bytes(len(in.key)) + int(v.weight.bytes())
	if in.owed != nil {
		n += debounceBytes
	}
	if v.rare != nil {
		n += rareBytes + footprint.Bytes(cap(v.rare.others)) + footprint.Bytes(v.rare.names.bytes())
	}
	return weigh(n)
}

// loading is the process in which the instance gets its first version.
type loading struct {
	done chan struct{} // closed when it is over
	err  error         // set before
	// ahead: nobody has asked for the state yet, so a failure concerns only those
	// who did meanwhile. The fetch has a pin until it is over.
	ahead bool
}

// startLoading returns the loading of an instance that is about to be put into
// the cache.
func (in *Instance) startLoading() *loading {
	l := &loading{done: make(chan struct{})}
	in.lock()
	in.loading = l
	in.unlock()
	return l
}

// failed ends the loading of an instance that was discarded.
func (l *loading) failed(err error) {
	l.err = err
	close(l.done)
}

// underway returns the loading, nil if it is over and has succeeded.
func (in *Instance) underway() *loading {
	in.lock()
	defer in.unlock()
	return in.loading
}

// started is start for an instance that was being loaded.
func (in *Instance) started(l *loading, v *Version) {
	in.kind.cache.resize(in, v)
	in.start(v)
	close(l.done)
}
