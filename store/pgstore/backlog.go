package pgstore

import (
	"sync"

	"github.com/stay-go/stay/store"
)

// maxBacklog is how many changes wait to be announced; more of them are lost.
const maxBacklog = 4096

// A backlog is changes that wait to be announced.
type backlog struct {
	mu      sync.Mutex
	changes []store.Change
	lost    bool          // changes is empty then
	more    chan struct{} // has room for one
}

func newBacklog() *backlog { return &backlog{more: make(chan struct{}, 1)} }

func (b *backlog) add(changes []store.Change, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lost || b.lost || len(b.changes)+len(changes) > maxBacklog {
		b.changes, b.lost = nil, true
	} else {
		b.changes = append(b.changes, changes...)
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take returns what waits, and empties the backlog.
func (b *backlog) take() (changes []store.Change, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changes, lost = b.changes, b.lost
	b.changes, b.lost = nil, false
	return changes, lost
}
