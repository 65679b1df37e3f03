package golden

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// A disk is the store of one case, which outlives the apps that use it. It
// remembers which keys were ever written, because not every store lists them.
type disk struct {
	inner store.Store

	mu     sync.Mutex
	keys   map[string]bool
	writes int // state records committed since the first step
}

func newDisk(s store.Store) *disk { return &disk{inner: s, keys: map[string]bool{}} }

// isState tells state records from those of sessions, signing keys and guests.
func isState(key string) bool {
	kind, _, _ := strings.Cut(key, "/")
	return kind == "session" || kind == "user" || kind == "global" || kind == "key"
}

func (d *disk) committed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// put stores a record as if it had been there before the first step.
func (d *disk) put(key string, value []byte) error {
	d.note([]store.Group{{{Key: key}}})
	res := d.inner.Commit(context.Background(), []store.Group{{{Key: key, Value: value, Version: 1}}})[0]
	if res.Outcome != store.Applied {
		return fmt.Errorf("storing %q: %v: %w", key, res.Outcome, res.Err)
	}
	return nil
}

// note remembers the keys of writes, whatever becomes of them.
func (d *disk) note(groups []store.Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range groups {
		for _, w := range g {
			d.keys[w.Key] = true
		}
	}
}

// count counts the state records that were committed.
func (d *disk) count(groups []store.Group, results []store.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, g := range groups {
		if results[i].Outcome != store.Applied {
			continue
		}
		for _, w := range g {
			if isState(w.Key) && (w.Op == store.Put || w.Op == store.Delete && w.Base != 0) {
				d.writes++
			}
		}
	}
}

// records returns all that is stored, by key.
func (d *disk) records() (map[string][]byte, error) {
	d.mu.Lock()
	keys := slices.Sorted(maps.Keys(d.keys))
	d.mu.Unlock()
	reads := make([]store.Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	recs, err := d.inner.Load(context.Background(), reads)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, rec := range recs {
		if rec.Revision != 0 {
			out[rec.Key] = rec.Value
		}
	}
	return out, nil
}

// faults are what a case wants to go wrong with calls that touch a state
// record. They count over all apps of the case.
type faults struct {
	loadDelay func(key string) time.Duration
	saveDelay func(n int) time.Duration // of the nth commit, from 0 on
	failLoad  int
	failSave  int

	mu           sync.Mutex
	loads, saves int
}

// nextLoad and nextSave return the number of a call, from 0 on.
func (f *faults) nextLoad() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads++
	return f.loads - 1
}

func (f *faults) nextSave() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saves++
	return f.saves - 1
}

// A handle is the store that one app is given. When it is closed the disk
// stays, but no call of that app reaches it any more.
type handle struct {
	disk   *disk
	faults *faults

	mu     sync.RWMutex // read-held while a call is inside the store
	closed bool
}

var errInjected = fmt.Errorf("golden: injected: %w", store.ErrUnavailable)

// Features are the store's, but for List and Watch, which handles have not, and for
// Immediate where calls take their time.
func (h *handle) Features() store.Features {
	f := h.disk.inner.Features()
	f.List = false
	f.Watch = false
	if h.faults.loadDelay != nil || h.faults.saveDelay != nil {
		f.Immediate = false
	}
	return f
}

func (h *handle) enter() error {
	h.mu.RLock()
	if h.closed {
		h.mu.RUnlock()
		return fmt.Errorf("golden: %w", store.ErrClosed)
	}
	return nil
}

// Load implements store.Store.
func (h *handle) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	f, touched := h.faults, false
	var delay time.Duration
	for _, r := range reads {
		if isState(r.Key) {
			touched = true
			if f.loadDelay != nil {
				delay = max(delay, f.loadDelay(r.Key))
			}
		}
	}
	if touched {
		n := f.nextLoad()
		if err := wait(ctx, delay); err != nil {
			return nil, fmt.Errorf("golden: %w: %w", store.ErrUnavailable, err)
		}
		if n < f.failLoad {
			return nil, errInjected
		}
	}
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.mu.RUnlock()
	return h.disk.inner.Load(ctx, reads)
}

// Commit implements store.Store. Of a commit that is to fail, the groups that
// touch a state record are rejected.
func (h *handle) Commit(ctx context.Context, groups []store.Group) []store.Result {
	f, touched := h.faults, false
	states := make([]bool, len(groups))
	for i, g := range groups {
		states[i] = slices.ContainsFunc(g, func(w store.Write) bool { return isState(w.Key) })
		touched = touched || states[i]
	}
	n := f.failSave
	if touched {
		n = f.nextSave()
		if f.saveDelay != nil {
			if err := wait(ctx, f.saveDelay(n)); err != nil {
				return rejected(groups, fmt.Errorf("golden: %w: %w", store.ErrUnavailable, err))
			}
		}
	}
	if err := h.enter(); err != nil {
		return rejected(groups, err)
	}
	defer h.mu.RUnlock()
	h.disk.note(groups)
	if n >= f.failSave {
		results := h.disk.inner.Commit(ctx, groups)
		h.disk.count(groups, results)
		return results
	}
	results := rejected(groups, errInjected)
	for i, g := range groups {
		if !states[i] {
			results[i] = h.disk.inner.Commit(ctx, []store.Group{g})[0]
		}
	}
	return results
}

func rejected(groups []store.Group, err error) []store.Result {
	results := make([]store.Result, len(groups))
	for i := range results {
		results[i] = store.Result{Outcome: store.Rejected, Err: err}
	}
	return results
}

// Expired implements store.Store.
func (h *handle) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.mu.RUnlock()
	return h.disk.inner.Expired(ctx, now, limit)
}

// Close implements store.Store; see handle.
func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}
