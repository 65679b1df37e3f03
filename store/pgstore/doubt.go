package pgstore

import (
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// doubts are the groups whose outcome is unknown. The server may still begin
// them until their time is over, so a later group that writes one of their keys
// waits until then (C6).
type doubts struct {
	mu    sync.Mutex
	byKey map[string]doubt
}

type doubt struct {
	until time.Time
	// base is what the group in doubt replaces under this key; 0 if it is a
	// creation, or if there are several groups.
	base store.Revision
}

// add notes that a group may begin until then.
func (d *doubts) add(g store.Group, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for key, known := range d.byKey {
		if !known.until.After(now) {
			delete(d.byKey, key)
		}
	}
	if !until.After(now) {
		return
	}
	if d.byKey == nil {
		d.byKey = map[string]doubt{}
	}
	for i := range g {
		w := &g[i]
		next := doubt{until: until, base: w.Base}
		if known, ok := d.byKey[w.Key]; ok {
			if known.until.After(until) {
				next.until = known.until
			}
			if known.base != w.Base {
				next.base = 0
			}
		}
		d.byKey[w.Key] = next
	}
}

// until returns the time at which the groups may be sent.
func (d *doubts) until(groups []store.Group, places []int) (until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.byKey) == 0 {
		return until
	}
	for _, i := range places {
		for j := range groups[i] {
			known, ok := d.byKey[groups[i][j].Key]
			if ok && known.until.After(until) && !settles(groups[i], known) {
				until = known.until
			}
		}
	}
	return until
}

// settles reports whether the answer to a group of one write says that the group
// in doubt has been applied or never will be: whether the write is applied or its
// condition fails, the record no longer has the revision that both name, and
// never will have it again. So a change that is sent again does not wait.
func settles(g store.Group, d doubt) bool {
	return len(g) == 1 && g[0].Op != store.Check && g[0].Base != 0 && g[0].Base == d.base
}
