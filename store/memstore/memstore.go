// Package memstore keeps records in memory. It is the simplest correct store,
// and the one to read first when you write another: it has every rule of
// package store once, without a disk or a network.
//
// Nothing survives the end of the process.
package memstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// breath is the number of records that List reads before it lets other calls
// in.
const breath = 4096

// A Store keeps records in memory. It waits only for its own lock, which a call
// holds for the time of its map accesses. All methods may be called
// concurrently. The zero value is not usable: see New and Shared.
type Store struct {
	data   *records
	shared bool
	closed bool // guarded by data.mu

	closing chan struct{}  // closed when Close begins
	calls   sync.WaitGroup // of Watch; grows only under data.mu while not closed
}

// records is what the handles of one Shared call share.
type records struct {
	mu sync.Mutex
	// last is the newest revision of all keys together. One counter for the
	// store, never reset, is the easiest way to satisfy C3 without a tombstone
	// for every deleted key.
	last store.Revision
	*kept
}

// kept is a separate struct because package fmt, which follows at most one
// pointer, then prints no keys when a Store is printed.
type kept struct {
	// byKey also has the expired records.
	byKey   map[string]*store.Record
	due     due
	watches map[*watch]struct{}
}

// New returns an empty store with one owner.
func New() *Store {
	return &Store{data: newRecords(), closing: make(chan struct{})}
}

// Shared returns n handles on one empty set of records, as if n processes had
// opened one database. None of them is a sole owner, and each is closed
// separately. Use it to test programs that run on several nodes.
func Shared(n int) []*Store {
	data := newRecords()
	handles := make([]*Store, n)
	for i := range handles {
		handles[i] = &Store{data: data, shared: true, closing: make(chan struct{})}
	}
	return handles
}

func newRecords() *records {
	return &records{kept: &kept{byKey: make(map[string]*store.Record), due: newDue(), watches: make(map[*watch]struct{})}}
}

// Features declares groups, expiry, listing and watching. A store made by New is also a
// sole owner and Immediate; handles made by Shared are neither. Only memory
// limits the size of values.
func (s *Store) Features() store.Features {
	return store.Features{
		SoleOwner: !s.shared,
		Groups:    true,
		Expire:    true,
		List:      true,
		Watch:     true,
		Immediate: !s.shared,
	}
}

// Load implements store.Store. The records that it returns share their slices
// with the writes that were given to Commit. It fails only when ctx has ended
// or the store is closed.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.data.mu.Unlock()
	recs := make([]store.Record, len(reads))
	for i, r := range reads {
		recs[i].Key = r.Key
		switch rec := s.data.byKey[r.Key]; {
		case rec == nil:
		case rec.Revision == r.Have:
			recs[i].Revision = r.Have
		default:
			recs[i] = *rec
		}
	}
	return recs, nil
}

// Commit implements store.Store. It keeps the slices of the writes. It never
// answers Unknown: when ctx has ended before it begins, or the store is
// closed, every group is Rejected; once begun it runs to its end.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	var results []store.Result
	var revs []store.Revision
	if len(groups) == 1 && len(groups[0]) == 1 { // most calls: one allocation is enough
		one := new(struct {
			results [1]store.Result
			revs    [1]store.Revision
		})
		results, revs = one.results[:], one.revs[:]
	} else {
		results = make([]store.Result, len(groups))
	}
	if err := s.enter(ctx); err != nil {
		for i := range results {
			results[i].Outcome, results[i].Err = store.Rejected, err
		}
		return results
	}
	defer s.data.mu.Unlock()
	bad := store.CheckGroups(groups, s.Features())
	for i, g := range groups {
		if bad != nil && bad[i] != nil {
			results[i].Outcome, results[i].Err = store.Rejected, bad[i]
			continue
		}
		if revs == nil || i > 0 {
			revs = make([]store.Revision, len(g))
		}
		s.data.commit(g, revs, &results[i])
	}
	return results
}

// Expired implements store.Store. Expired records are indexed by the minute in
// which they expire, and Expired reads a minute only when it is over, so the
// work of a call grows with limit and not with the number of records; records
// that expired in the current minute are returned when it is over.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.data.mu.Unlock()
	var recs []store.Record
	for key := range s.data.due.before(now) {
		if len(recs) >= limit {
			break
		}
		recs = append(recs, *s.data.byKey[key])
	}
	return recs, nil
}

// List implements store.Lister. Every call reads every key, and lets other
// calls in after every few thousand keys: use a large limit. A key that is
// created or deleted while List runs may be listed or not.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	var keys []string
	n := 0
	// The map may change between two steps of the loop, which a range allows.
	// It is never touched without the lock.
	for key, rec := range s.data.byKey {
		if key > after && strings.HasPrefix(key, prefix) && !rec.Expired(now) {
			keys = append(keys, key)
		}
		if n++; n%breath == 0 {
			s.data.mu.Unlock()
			if err := s.enter(ctx); err != nil {
				return nil, err
			}
		}
	}
	s.data.mu.Unlock()
	slices.Sort(keys)
	return keys[:max(0, min(limit, len(keys)))], nil
}

// Close implements store.Store. Other handles on the same records stay open.
// It never fails.
func (s *Store) Close() error {
	s.data.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.data.mu.Unlock()
	s.calls.Wait()
	return nil
}

// enter takes the lock, or returns the reason why the call must not go on.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w: %w", store.ErrUnavailable, err)
	}
	s.data.mu.Lock()
	if s.closed {
		s.data.mu.Unlock()
		return fmt.Errorf("memstore: %w", store.ErrClosed)
	}
	return nil
}

// commit checks every condition of a group before it changes anything. Under
// one lock, atomicity needs no more (C2).
func (d *records) commit(g store.Group, revs []store.Revision, res *store.Result) {
	for i := range g {
		if !d.holds(&g[i]) {
			res.Outcome, res.Current = store.Conflict, d.current(g)
			return
		}
	}
	for i := range g {
		revs[i] = d.apply(&g[i])
	}
	if len(d.watches) > 0 {
		d.tell(g, revs)
	}
	res.Outcome, res.Revisions = store.Applied, revs
}

// holds reports whether the condition of a write holds.
func (d *records) holds(w *store.Write) bool {
	if rec := d.byKey[w.Key]; rec != nil {
		return w.Base == rec.Revision
	}
	return w.Base == 0
}

func (d *records) current(g store.Group) []store.Record {
	current := make([]store.Record, len(g))
	for i := range g {
		current[i].Key = g[i].Key
		if rec := d.byKey[g[i].Key]; rec != nil {
			current[i] = *rec
		}
	}
	return current
}

// apply makes a write whose condition holds and returns its revision.
func (d *records) apply(w *store.Write) store.Revision {
	switch w.Op {
	case store.Put:
		d.last++
		expires := w.Expires
		if !expires.IsZero() {
			expires = expires.Truncate(time.Millisecond)
		}
		rec := d.byKey[w.Key]
		if rec == nil {
			rec = new(store.Record)
			d.byKey[w.Key] = rec
		}
		d.due.move(w.Key, rec.Expires, expires)
		rec.Key, rec.Revision, rec.Version = w.Key, d.last, w.Version
		rec.Value, rec.Meta, rec.Expires = w.Value, w.Meta, expires
		return d.last
	case store.Delete:
		if w.Base != 0 { // otherwise there is no record
			d.due.move(w.Key, d.byKey[w.Key].Expires, time.Time{})
			delete(d.byKey, w.Key)
		}
		return 0
	default:
		return w.Base
	}
}
