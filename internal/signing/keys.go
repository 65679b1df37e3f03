package signing

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// A Config is what keys need to be read, made and rotated.
type Config struct {
	// Store has the record of the keys.
	Store store.Store
	Now   func() time.Time
	// IdleTimeout is how long a cookie is good after it was signed.
	IdleTimeout time.Duration
	// MaxWait bounds how long a caller waits for the store, and one reading.
	MaxWait time.Duration
	// Begin says that a caller is going to wait for the store, until End is
	// called. Its error is what the caller gets instead.
	Begin func() error
	End   func()
	// Go runs a function in a goroutine, with a context that ends when the
	// goroutine must. It reports false if nothing may begin any more.
	Go func(func(context.Context)) bool
	// Failed makes the error of a caller who cannot have the keys, of what it
	// wraps: ErrCorrupt, ErrUnavailable, ErrClosed or none of them. It makes one
	// for each caller, for callers add to their errors.
	Failed func(cause error) error
}

// Keys keeps the signing keys in a store, in one record that is made when the
// first token is signed or read, and shared by all processes on that store. It
// is read again at each sweep, and when a token names a key that is not in it;
// each reading also does what is due (see storedKeys.next). So a record that is
// deleted, because a key leaked, is replaced by one with a new key, and what
// the old keys signed is no longer valid. An operator deletes it by hand, with
// any tool of the store, so its revision proves nothing: each reading loads the
// keys themselves and compares them.
type Keys struct {
	Config
	set   atomic.Pointer[keySet] // nil before first use
	lasts atomic.Int64           // the longest argument of Outlast, in nanoseconds

	mu      sync.Mutex
	reading *keyReading // under way
	read    time.Time   // when the last one was over
	failed  error       // how that went
}

// A keyReading is one reading of the record, for all who wait for it.
type keyReading struct {
	done chan struct{} // closed when the fields below are set
	set  *keySet       // nil: the record could not be read
	err  error         // with a set: what was due could not be done
}

// keyPause is the time between two readings for the sake of unknown keys.
const keyPause = time.Second

// New returns keys that are not read before they are used.
func New(c Config) *Keys { return &Keys{Config: c} }

// signer returns the key that signs now.
func (s *Keys) signer(ctx context.Context) (*signKey, error) {
	set, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	return set.signer(s.Now()), nil
}

// verifiers returns the keys that verify. Where none has this id, the record
// is read again first, but not twice within keyPause, however many ask.
func (s *Keys) verifiers(ctx context.Context, id [4]byte) ([]*signKey, error) {
	set, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	if !set.has(id) {
		if set, err = s.again(ctx, set, false); err != nil {
			return nil, err
		}
	}
	return set.keys, nil
}

// get returns the keys, from memory once they have been read.
func (s *Keys) get(ctx context.Context) (*keySet, error) {
	if set := s.set.Load(); set != nil {
		return set, nil
	}
	return s.again(ctx, nil, false)
}

// outlast keeps every key for at least d after it has signed.
func (s *Keys) outlast(ctx context.Context, d time.Duration) error {
	set, err := s.get(ctx)
	for range 3 { // a reading that is under way may not know d yet
		if err != nil || set.record.Lasts >= d.Milliseconds() {
			return err
		}
		for old := s.lasts.Load(); old < int64(d) && !s.lasts.CompareAndSwap(old, int64(d)); {
			old = s.lasts.Load()
		}
		set, err = s.again(ctx, set, true)
	}
	if err == nil && set.record.Lasts < d.Milliseconds() {
		err = s.Failed(unavailable(errors.New("the signing keys cannot be kept for as long as the cookie is to last")))
	}
	return err
}

// again returns newer keys than those seen, or these if there are no newer
// ones. If that cannot be found out, it fails: a token with an unknown key may
// be good. It does not wait for keyPause to be over if something is due.
func (s *Keys) again(ctx context.Context, seen *keySet, due bool) (*keySet, error) {
	if err := s.Begin(); err != nil {
		return nil, err
	}
	defer s.End()
	ctx, cancel := context.WithTimeout(ctx, s.MaxWait)
	defer cancel()
	set, joined, err := s.ask(ctx, seen, due)
	if err != nil && joined && ctx.Err() == nil {
		// The reading began before this call: that it failed may be old news.
		set, _, err = s.ask(ctx, seen, due)
	}
	return set, err
}

// ask is again with one reading at most; joined says that another call had
// begun it.
func (s *Keys) ask(ctx context.Context, seen *keySet, due bool) (set *keySet, joined bool, err error) {
	s.mu.Lock()
	if set := s.set.Load(); set != seen {
		s.mu.Unlock()
		return set, false, nil
	}
	joined = s.reading != nil
	if seen != nil && !joined && !due {
		// A clock that was set back does not make the pause longer.
		if d := s.Now().Sub(s.read); d >= 0 && d < keyPause {
			defer s.mu.Unlock()
			if s.failed != nil {
				return nil, false, s.Failed(s.failed)
			}
			return seen, false, nil
		}
	}
	r := s.start()
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, joined, s.Failed(unavailable(ctx.Err()))
	}
	if r.set == nil {
		return nil, joined, s.Failed(r.err)
	}
	return r.set, joined, nil
}

// Sweep reads the keys again if they are in use, and does what is due. It
// returns what keeps it from doing so.
func (s *Keys) Sweep(ctx context.Context) error {
	if s.set.Load() == nil {
		return nil
	}
	s.mu.Lock()
	r := s.start()
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	return r.err
}

// start returns the reading that is under way, or begins one. It is called
// with the lock. The reading does not depend on the request that began it,
// whose client may leave.
func (s *Keys) start() *keyReading {
	if s.reading != nil {
		return s.reading
	}
	r := &keyReading{done: make(chan struct{}), err: errors.New("the goroutine that read the keys ended early (runtime.Goexit)")}
	s.reading = r
	if !s.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.MaxWait)
		defer cancel()
		defer s.finish(r)
		r.set, r.err = s.load(ctx)
	}) {
		s.reading, r.err = nil, ErrClosed
		close(r.done)
	}
	return r
}

// finish publishes what a reading found.
func (s *Keys) finish(r *keyReading) {
	now := s.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading, s.read, s.failed = nil, now, nil
	if r.set != nil {
		s.set.Store(r.set)
	} else {
		s.failed = r.err
	}
	close(r.done)
}

// load reads the record, makes it if it is absent, and does what is due. Of
// several processes that write it, one succeeds, and the others read what it
// wrote. Keys that were read are returned even if writing fails.
func (s *Keys) load(ctx context.Context) (*keySet, error) {
	var set *keySet
	st, idle := s.Store, max(s.IdleTimeout, time.Duration(s.lasts.Load()))
	have := s.set.Load()
	for range 4 {
		now := s.Now()
		recs, err := st.Load(ctx, []store.Read{{Key: keyspace.SigningKeys}})
		if err == nil && len(recs) != 1 {
			err = errors.New("the store did not answer the read")
		}
		if err != nil {
			return set, unavailable(err)
		}
		var due storedKeys
		switch rec := &recs[0]; {
		case rec.Revision == 0:
			set, due = nil, firstKeys(now, idle)
		case have.is(rec):
			set = have // with what it has verified
		default:
			if set, err = parseKeys(rec); err != nil {
				return nil, err
			}
			have = set
		}
		write := store.Write{Op: store.Put, Key: keyspace.SigningKeys, Version: keysVersion}
		if set != nil {
			var changed bool
			if due, changed = set.record.next(now, idle); !changed {
				return set, nil
			}
			write.Base = set.revision
		}
		if write.Value, err = json.Marshal(due); err != nil {
			return set, err
		}
		res := st.Commit(ctx, []store.Group{{write}})
		switch {
		case len(res) != 1:
		case res[0].Outcome == store.Applied && len(res[0].Revisions) == 1:
			return parseKeys(&store.Record{Key: keyspace.SigningKeys, Revision: res[0].Revisions[0], Value: write.Value, Version: keysVersion})
		case res[0].Outcome == store.Rejected:
			return set, unavailable(res[0].Err)
		}
		// A conflict or an unknown outcome: read what is there.
	}
	return set, unavailable(errors.New("the store does not return the signing keys it was given"))
}
