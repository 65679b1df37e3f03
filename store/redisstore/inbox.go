package redisstore

import (
	"encoding/binary"
	"sync"

	"github.com/stay-go/stay/store"
)

// maxInbox is how many changes wait for whoever watches; more of them are lost.
const maxInbox = 4096

// An inbox is changes that wait for whoever watches.
type inbox struct {
	mu      sync.Mutex
	changes []store.Change
	lost    bool          // changes is empty then
	more    chan struct{} // has room for one
}

func newInbox() *inbox { return &inbox{more: make(chan struct{}, 1)} }

func (b *inbox) add(changes []store.Change, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lost || b.lost || len(b.changes)+len(changes) > maxInbox {
		b.changes, b.lost = nil, true
	} else {
		b.changes = append(b.changes, changes...)
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take returns what waits, and empties the inbox.
func (b *inbox) take() (changes []store.Change, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changes, lost = b.changes, b.lost
	b.changes, b.lost = nil, false
	return changes, lost
}

// parseChanges reads what the script announces: the revision of what was put, and
// for each change one byte with its operation, two with the length of its key, and
// the key. Anything else is lost.
func parseChanges(text string) (changes []store.Change, lost bool) {
	b := []byte(text)
	if len(b) < 8 {
		return nil, true
	}
	rev := store.Revision(binary.BigEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; {
		if len(b) < 3 {
			return nil, true
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < 3+n || n == 0 {
			return nil, true
		}
		c := store.Change{Key: string(b[3 : 3+n])}
		switch store.Op(b[0]) {
		case store.Put:
			c.Revision = rev
		case store.Delete:
		default:
			return nil, true
		}
		changes, b = append(changes, c), b[3+n:]
	}
	return changes, len(changes) == 0
}
