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

// Simple is what a custom store needs to have to be adapted by [FromSimple]:
// bytes under names, nothing conditional.
//
// Keys are made for file names and URLs: 1 to 200 characters out of a-z, 0-9
// and "-_.=", neither beginning nor ending with a dot. Methods are called by
// several goroutines at once, but never twice at the same time for one key.
// Slices that went in or came out are not modified by either side.
//
// A Simple that also has a method Close() error is closed by FromSimple's
// store, once, when no call is under way.
type Simple interface {
	// Load returns what was saved last under the key, or nil, nil if there is
	// nothing. An empty slice that is not nil is something.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save stores the value under the key. It returns nil when the value is as
	// durable as this store makes it; a Save that returned an error must not
	// take effect later, and must leave the old value or the new one whole.
	Save(ctx context.Context, key string, value []byte) error
	// Delete removes what is stored under the key. It is not an error if there
	// is nothing. What is said of the errors of Save is true of Delete.
	Delete(ctx context.Context, key string) error
}

// FromSimple makes a Store of s. It adds revisions, conditions, groups and
// expiry, and keeps everything about a record in the one value that s saves:
// a line of JSON (revision, expiry, schema version, meta), a newline, then the
// record's value as it is.
//
// The store must be the only one that changes what is in s: it declares
// SoleOwner. It declares Durable, at the level at which Save is. It also
// declares Groups, with one reservation: a group is applied all or none as
// long as the process lives (what was saved before a failure is taken back,
// and nobody sees it meanwhile), but a crash can cut a group short. Its writes
// are made in order, see [Group].
// It declares neither Expire nor List: an expired record is absent, and is
// removed from s when a Load finds it more than a minute after its time. One
// that nobody asks for again stays: a public site fills such a store with the
// states of sessions that have ended, unless something else removes them.
//
// Revisions are at least the wall clock in nanoseconds, which is what makes
// them grow across deletions and restarts. A clock set back by more than the
// time that the process was down can break that for deleted keys.
//
// What s returns for a key and is not what FromSimple saved is not lost: Load
// returns it whole as the value of a record with revision 1.
//
// A failed Save makes a group Unknown, unless reading back shows that nothing
// has changed; then it is Rejected. Reading and taking back may go on for ten
// seconds after the context of the call has ended. Calls wait for each other
// only where they share a key. FromSimple panics on a nil Simple.
func FromSimple(s Simple) Store {
	if s == nil {
		panic("store.FromSimple: the store is nil")
	}
	return &simpleStore{simple: s, pending: &pending{undo: make(map[string][]byte)}, locks: newKeyLocks()}
}

const (
	// dropAfter is how long a record stays after it expired, so that a claim,
	// or a caller whose clock is behind, finds it.
	dropAfter = time.Minute
	// mendTime bounds what is done after a failure, when the context of the
	// call may have ended already.
	mendTime = 10 * time.Second
	// atOnce is the number of groups or reads of one call that are worked on
	// at the same time.
	atOnce = 16
)

type simpleStore struct {
	simple Simple
	locks  *keyLocks     // by key; whoever touches a key in simple holds its lock
	last   atomic.Uint64 // highest revision seen or given

	mu       sync.Mutex
	closed   bool
	underWay sync.WaitGroup // added to under mu, while not closed
	*pending                // guarded by mu

	closeOnce sync.Once
	closeErr  error
}

// pending is apart so that package fmt prints none of it with the store.
type pending struct {
	// undo holds what must be saved under a key before anything else happens
	// to it, nil for nothing: the rest of groups that could not be taken back
	// at once.
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

func (s *simpleStore) Load(ctx context.Context, now time.Time, reads []Read) ([]Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.underWay.Done()
	recs := make([]Record, len(reads))
	errs := make([]error, len(reads))
	each(len(reads), func(i int) { recs[i], errs[i] = s.loadOne(ctx, now, reads[i]) })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return recs, nil
}

func (s *simpleStore) loadOne(ctx context.Context, now time.Time, r Read) (Record, error) {
	unlock, err := s.locks.lock(ctx, r.Key)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	rec, _, err := s.get(ctx, r.Key)
	switch {
	case err != nil:
		return Record{}, err
	case rec.Expired(now):
		if rec.Expired(now.Add(-dropAfter)) {
			// An error means that it is removed another time.
			_ = s.simple.Delete(ctx, simpleKey(r.Key))
		}
		return Record{Key: r.Key}, nil
	case rec.Revision == r.Have:
		return Record{Key: r.Key, Revision: rec.Revision}, nil
	}
	return rec, nil
}

// get returns the record of a key, expired or not, and the bytes that it is
// made of. The caller holds the key's lock.
func (s *simpleStore) get(ctx context.Context, key string) (Record, []byte, error) {
	if err := s.mend(ctx, key); err != nil {
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

// Commit answers groups one by one, several at the same time: their keys are
// distinct.
func (s *simpleStore) Commit(ctx context.Context, now time.Time, groups []Group) []Result {
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
		results[i] = s.commit(ctx, now, groups[i])
	})
	return results
}

// Expired returns nothing, as Features says.
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

// seen notes a revision, so that those given later are greater.
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

// keyLocks are locks by key that exist while somebody holds or awaits them.
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
// that gives them back. It fails when ctx ends. Everybody takes locks in the
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
