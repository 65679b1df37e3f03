package sharded

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay/store"
)

// mostDoubts is how many keys may be in doubt before all of them are settled, and
// no group is taken until some are.
const mostDoubts = 4096

// doubts are keys of groups whose outcome is not known and that may still be
// applied: each with the transaction, or with "" for a group at one home. Before
// a later group with such a key is answered, its doubt is settled (C6).
type doubts struct {
	some  atomic.Bool // whether there are any
	mu    sync.Mutex
	byKey map[string]string
}

func newDoubts() *doubts { return &doubts{byKey: map[string]string{}} }

// add puts the keys of a group in doubt.
func (d *doubts) add(g store.Group, tx string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range g {
		if tx != "" || d.byKey[g[i].Key] == "" {
			d.byKey[g[i].Key] = tx
		}
	}
	d.some.Store(true)
}

// of returns what is in doubt about the keys of groups: about all keys if there
// are too many.
func (d *doubts) of(groups []store.Group) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := map[string]string{}
	if len(d.byKey) > mostDoubts {
		for key, tx := range d.byKey {
			found[key] = tx
		}
		return found
	}
	for _, g := range groups {
		for i := range g {
			if tx, ok := d.byKey[g[i].Key]; ok {
				found[g[i].Key] = tx
			}
		}
	}
	return found
}

// full reports whether too many keys are in doubt.
func (d *doubts) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.byKey) > mostDoubts
}

// remove forgets the doubts about keys, as they were when somebody looked.
func (d *doubts) remove(settled map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, tx := range settled {
		if now, ok := d.byKey[key]; ok && now == tx {
			delete(d.byKey, key)
		}
	}
	d.some.Store(len(d.byKey) > 0)
}

// settle makes sure that what is in doubt about the keys of groups has been
// applied or never will be, by writes of the same keys. It returns the keys
// about which that is not certain.
func (s *Store) settle(ctx context.Context, groups []store.Group) (open map[string]string) {
	if !s.doubts.some.Load() {
		return nil
	}
	open = s.doubts.of(groups)
	if len(open) == 0 {
		return nil
	}
	var txs, keys []string
	seen := map[string]bool{}
	for key, tx := range open {
		switch {
		case tx == "":
			keys = append(keys, key)
		case !seen[tx]:
			seen[tx] = true
			txs = append(txs, tx)
		}
	}
	settled := map[string]string{}
	fates, _ := s.abort(ctx, txs)
	for i, f := range fates {
		for key, tx := range open {
			if f != pending && tx == txs[i] {
				settled[key] = tx
			}
		}
	}
	if len(keys) > 0 {
		checks := make([]store.Group, len(keys))
		for i, key := range keys {
			checks[i] = store.Group{{Op: store.Check, Key: key}}
		}
		for i, res := range s.inner.Commit(ctx, checks) {
			if res.Outcome == store.Applied || res.Outcome == store.Conflict {
				settled[keys[i]] = ""
			}
		}
	}
	s.doubts.remove(settled)
	for key := range settled {
		delete(open, key)
	}
	return open
}

var (
	errDoubts = fmt.Errorf("sharded: %w: it is not known what became of many earlier groups", store.ErrUnavailable)
	errDoubt  = fmt.Errorf("sharded: %w: it is not known yet what became of an earlier group with this key", store.ErrUnavailable)
)

// doubtful reports whether one of the keys of a group is open.
func doubtful(g store.Group, open map[string]string) bool {
	for i := range g {
		if _, ok := open[g[i].Key]; ok {
			return true
		}
	}
	return false
}
