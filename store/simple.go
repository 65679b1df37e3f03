package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Simple is the interface of a custom store that [FromSimple] adapts: bytes
// under names, with no conditions.
//
// Keys are suitable as file names and in URLs: 1 to 200 characters out of a-z,
// 0-9 and "-_.=", with no dot at the beginning or the end. Several goroutines
// call the methods at once, but never two at the same time for one key. Neither
// side modifies slices that were passed in or returned.
//
// If a Simple also has a method Close() error, FromSimple's store calls it
// once, when no call is under way.
type Simple interface {
	// Load returns the value that was saved last under the key, or nil, nil if
	// there is none. An empty slice that is not nil is a value.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save stores the value under the key. It returns nil when the value is as
	// durable as this store makes it. A Save that returned an error must not
	// take effect later, and must leave either the old value or the new one,
	// complete.
	Save(ctx context.Context, key string, value []byte) error
	// Delete removes the value under the key. It is not an error if there is none.
	// The rules for errors of Save also hold for Delete.
	Delete(ctx context.Context, key string) error
}

// FromSimple makes a Store from s. It adds revisions, conditions, groups and
// expiry, and keeps everything about a record in the one value that s saves: a
// line of JSON (revision, expiry, schema version, meta), a newline, then the
// record's value as it is.
//
// Nothing else may change what is in s: the store declares SoleOwner. It
// declares Durable, at the level of Save. It also declares Groups, with one
// limit: as long as the process lives, a group is applied completely or not at
// all (what was saved before a failure is undone, and nobody sees it
// meanwhile), but a crash can cut a group short. Its writes are made in order,
// see [Group]. It declares neither Expire nor List, and drops nothing: an
// expired record stays until its key is used again. A public site fills such a
// store with the states of sessions that have ended, unless something else
// removes them.
//
// Revisions are at least the wall clock in nanoseconds. That makes them grow
// across deletions and restarts. If the clock is set back by more than the time
// that the process was down, this can fail for deleted keys.
//
// If s returns bytes that FromSimple did not save, they are not lost: Load
// returns them whole as the value of a record with revision 1.
//
// A failed Save makes a group Unknown, unless reading back shows that nothing
// has changed; then it is Rejected. Reading back and undoing may go on for ten
// seconds after the context of the call has ended. Calls wait for each other
// only if they share a key. FromSimple panics on a nil Simple.
func FromSimple(s Simple) Store {
	if s == nil {
		panic("store.FromSimple: the store is nil")
	}
	return &simpleStore{simple: s, pending: &pending{undo: make(map[string][]byte)}, locks: newKeyLocks()}
}

const (
	// repairTime bounds the work after a failure, when the context of the call
	// may have ended already.
	repairTime = 10 * time.Second
	// atOnce is the number of groups or reads of one call that run at the same
	// time.
	atOnce = 16
)

type simpleStore struct {
	simple Simple
	locks  *keyLocks     // by key; code that touches a key in simple holds its lock
	last   atomic.Uint64 // highest revision seen or given

	mu       sync.Mutex
	closed   bool
	underWay sync.WaitGroup // added to under mu, while not closed
	*pending                // guarded by mu

	closeOnce sync.Once
	closeErr  error
}

// pending is a separate struct so that package fmt does not print it with the
// store.
type pending struct {
	// undo holds, for a key, the bytes that must be saved before anything else
	// happens to it, nil to delete them: the rest of groups that could not be
	// undone at once.
	undo map[string][]byte
}

func (s *simpleStore) Features() Features {
	return Features{Durable: true, SoleOwner: true, Groups: true}
}

func (s *simpleStore) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("store: simple: %w", ErrClosed)
	}
	s.underWay.Add(1)
	return nil
}

func (s *simpleStore) Load(ctx context.Context, reads []Read) ([]Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.underWay.Done()
	recs := make([]Record, len(reads))
	errs := make([]error, len(reads))
	each(len(reads), func(i int) { recs[i], errs[i] = s.loadOne(ctx, reads[i]) })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return recs, nil
}

func (s *simpleStore) loadOne(ctx context.Context, r Read) (Record, error) {
	unlock, err := s.locks.lock(ctx, r.Key)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	rec, _, err := s.get(ctx, r.Key)
	switch {
	case err != nil:
		return Record{}, err
	case rec.Revision == r.Have:
		return Record{Key: r.Key, Revision: rec.Revision}, nil
	}
	return rec, nil
}

// get returns the record of a key and the bytes that it was decoded from. The
// caller holds the key's lock.
func (s *simpleStore) get(ctx context.Context, key string) (Record, []byte, error) {
	if err := s.repair(ctx, key); err != nil {
		return Record{}, nil, err
	}
	raw, err := s.simple.Load(ctx, simpleKey(key))
	if err != nil {
		return Record{}, nil, fmt.Errorf("store: simple: load: %w", err)
	}
	rec := decodeEnvelope(key, raw)
	s.seen(rec.Revision)
	return rec, raw, nil
}

// Commit answers each group separately, several at the same time: their keys
// are distinct.
func (s *simpleStore) Commit(ctx context.Context, groups []Group) []Result {
	results := make([]Result, len(groups))
	if err := s.begin(); err != nil {
		for i := range results {
			results[i] = Result{Outcome: Rejected, Err: err}
		}
		return results
	}
	defer s.underWay.Done()
	bad := CheckGroups(groups, s.Features())
	each(len(groups), func(i int) {
		if bad != nil && bad[i] != nil {
			results[i] = Result{Outcome: Rejected, Err: bad[i]}
			return
		}
		results[i] = s.commit(ctx, groups[i])
	})
	return results
}

// Expired returns nothing: the store does not declare Expire.
func (s *simpleStore) Expired(context.Context, time.Time, int) ([]Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	s.underWay.Done()
	return nil, nil
}

func (s *simpleStore) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.underWay.Wait()
		if c, ok := s.simple.(io.Closer); ok {
			s.closeErr = c.Close()
		}
	})
	return s.closeErr
}

// seen records a revision, so that later revisions are greater.
func (s *simpleStore) seen(rev Revision) {
	for {
		last := s.last.Load()
		if uint64(rev) <= last || s.last.CompareAndSwap(last, uint64(rev)) {
			return
		}
	}
}

// next returns a revision above all that were seen.
func (s *simpleStore) next() Revision {
	for {
		last := s.last.Load()
		rev := max(last+1, uint64(max(0, time.Now().UnixNano())))
		if s.last.CompareAndSwap(last, rev) {
			return Revision(rev)
		}
	}
}

// each calls do for 0 to n-1, several at once, and returns when all are done.
func each(n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// keyLocks are locks by key. A lock exists while somebody holds it or waits for
// it.
type keyLocks struct {
	mu    sync.Mutex
	byKey map[string]*keyLock
}

type keyLock struct {
	held  chan struct{} // holds one value while the lock is held
	users int           // holders and waiters; guarded by keyLocks.mu
}

func newKeyLocks() *keyLocks {
	return &keyLocks{byKey: make(map[string]*keyLock)}
}

// lock takes the locks of all keys, which are distinct, and returns a function
// that releases them. It fails when ctx ends. All callers take locks in the
// order of the keys, so nobody waits in a circle.
func (l *keyLocks) lock(ctx context.Context, keys ...string) (unlock func(), err error) {
	keys = slices.Sorted(slices.Values(keys))
	held := 0
	unlock = func() {
		for _, key := range keys[:held] {
			l.leave(key, true)
		}
	}
	for _, key := range keys {
		select {
		case l.enter(key).held <- struct{}{}:
			held++
		case <-ctx.Done():
			l.leave(key, false)
			unlock()
			return nil, fmt.Errorf("store: simple: %w: %w", ErrUnavailable, ctx.Err())
		}
	}
	return unlock, nil
}

func (l *keyLocks) enter(key string) *keyLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.byKey[key]
	if k == nil {
		k = &keyLock{held: make(chan struct{}, 1)}
		l.byKey[key] = k
	}
	k.users++
	return k
}

func (l *keyLocks) leave(key string, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.byKey[key]
	if held {
		<-k.held
	}
	if k.users--; k.users == 0 {
		delete(l.byKey, key)
	}
}
