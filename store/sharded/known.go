package sharded

import (
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// mostKnown is how many keys each map of known has. What drops out costs a call.
const mostKnown = 4096

// known is what a process remembers of what it has seen, to save calls: nothing
// that is answered depends on it.
type known struct {
	mu sync.Mutex
	// kept are records whose revision for callers does not follow from the one below.
	kept map[string]kept
	// locks are those that were not decided when they were seen.
	locks map[string]sighting
}

type kept struct{ seen, at store.Revision }

type sighting struct {
	at    store.Revision // of the lock
	first time.Time
}

func newKnown() *known {
	return &known{kept: map[string]kept{}, locks: map[string]sighting{}}
}

// note remembers a record that was read or written.
func (k *known) note(key string, seen, at store.Revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seen == outside(at) {
		delete(k.kept, key)
		return
	}
	room(k.kept)
	k.kept[key] = kept{seen, at}
}

// below returns the revision below that goes with one that a caller names. false
// means that the record has to be read to find out.
func (k *known) below(key string, seen store.Revision) (store.Revision, bool) {
	if seen == 0 {
		return 0, true
	}
	k.mu.Lock()
	r, ok := k.kept[key]
	k.mu.Unlock()
	switch {
	case ok && r.seen == seen:
		return r.at, true
	case seen%2 == 0:
		return seen / 2, true
	}
	return 0, false
}

// overdue reports whether a lock was first seen longer than pushTime ago. It
// remembers the lock.
func (k *known) overdue(key string, at store.Revision) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, ok := k.locks[key]; ok && l.at == at {
		return time.Since(l.first) >= pushTime
	}
	room(k.locks)
	k.locks[key] = sighting{at, time.Now()}
	return false
}

// forget forgets a lock.
func (k *known) forget(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.locks, key)
}

// room makes room for one more.
func room[V any](m map[string]V) {
	for key := range m {
		if len(m) < mostKnown {
			return
		}
		delete(m, key)
	}
}
