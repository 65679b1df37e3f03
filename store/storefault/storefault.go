// Package storefault wraps a store and lets tests decide what goes wrong with
// its calls: delays, failures before and after the work is done, lost answers,
// writes that arrive late, damaged records, and gates at which calls stop until
// the test lets them go on.
//
//	s := storefault.Wrap(memstore.New(), nil)
//	s.Add(storefault.Rule{
//		Op:    storefault.Commit,
//		Key:   "counter",
//		Skip:  1, // the first commit of the key goes well
//		Times: 1, // and so do all after the second
//		Fault: storefault.LoseAck(nil),
//	})
//
// Without rules the wrapper only counts. Its behaviour depends only on the
// rules and the order of calls; there is no randomness.
package storefault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// ErrInjected is the error of a fault that was given no error. It wraps
// store.ErrUnavailable.
var ErrInjected = fmt.Errorf("storefault: injected: %w", store.ErrUnavailable)

// An Op names a method of a store, or what one of them calls.
type Op uint8

// The operations. Any, the zero value, means all of them in a Rule.
const (
	Any Op = iota
	Load
	Commit
	Expired
	List
	Close
	Watch
	Announce // a change that Watch announces, see Store.Watch
	ops      // the number of operations
)

// String returns the name of the method in lower case.
func (op Op) String() string {
	names := [...]string{"any", "load", "commit", "expired", "list", "close", "watch", "announce"}
	if int(op) < len(names) {
		return names[op]
	}
	return "invalid"
}

// A Call describes a call, or the part of a call that a rule is matched
// against.
type Call struct {
	Op Op
	// N is the number of the call among the calls of its Op, counted from 1.
	N int
	// Keys are the keys of the reads or of the writes, in order; the prefix for
	// List, and the key of the change for Announce, none if announcements are lost.
	Keys []string
	// Groups are the groups of a Commit: all of them for Options.Hook, only the
	// matched one for a Rule. Neither may modify them.
	Groups []store.Group
}

// Options change what a wrapper does besides its rules.
type Options struct {
	// Features, if not nil, gets the features of the wrapped store and returns
	// those of the wrapper. It is called once. It changes the declaration and
	// nothing else. List cannot be declared for a store that is not a
	// store.Lister, Watch for one that is not a store.Watcher, and Places for one
	// that is not a store.Placer.
	Features func(store.Features) store.Features
	// Hook, if not nil, is called at the beginning of every call, in the
	// goroutine of the caller and before any rule applies. An Announce is no call.
	Hook func(Call)
}

// A Store is a wrapper around another store. All methods may be called
// concurrently.
type Store struct {
	inner    store.Store
	features store.Features
	hook     func(Call)
	closing  chan struct{} // closed when Close begins; ends every wait

	mu       sync.Mutex
	rules    []*Added
	counts   [ops]int
	closed   bool
	late     []*lateGroup
	underWay sync.WaitGroup // calls and late writes; added to under mu only

	closeOnce sync.Once
	closeErr  error
}

// Wrap returns a wrapper around s. From then on s belongs to the wrapper:
// closing the wrapper closes s. Nil options mean the defaults.
func Wrap(s store.Store, opts *Options) *Store {
	if opts == nil {
		opts = &Options{}
	}
	w := &Store{inner: s, features: s.Features(), hook: opts.Hook, closing: make(chan struct{})}
	if opts.Features != nil {
		w.features = opts.Features(w.features)
	}
	if _, ok := s.(store.Lister); !ok {
		w.features.List = false
	}
	if _, ok := s.(store.Watcher); !ok {
		w.features.Watch = false
	}
	if _, ok := s.(store.Placer); !ok {
		w.features.Places = false
	}
	return w
}

// Features returns the features of the wrapped store, as Options.Features
// changed them.
func (s *Store) Features() store.Features { return s.features }

// Count returns the number of calls of an operation that have begun since Wrap
// or, for Any, of all operations together. Calls after Close do not count.
func (s *Store) Count(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op != Any {
		return s.counts[op]
	}
	n := 0
	for _, count := range s.counts {
		n += count
	}
	return n
}

// begin counts a call and refuses it after Close. If the error is nil, the
// caller must call s.underWay.Done.
func (s *Store) begin(call *Call) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("storefault: %w", store.ErrClosed)
	}
	s.underWay.Add(1)
	s.counts[call.Op]++
	call.N = s.counts[call.Op]
	s.mu.Unlock()
	if s.hook != nil {
		s.hook(*call)
	}
	return nil
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	call := Call{Op: Load, Keys: make([]string, len(reads))}
	for i, r := range reads {
		call.Keys[i] = r.Key
	}
	return read(ctx, s, call, func() ([]store.Record, error) { return s.inner.Load(ctx, reads) }, corruptAll)
}

// Expired implements store.Store.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	return read(ctx, s, Call{Op: Expired}, func() ([]store.Record, error) { return s.inner.Expired(ctx, now, limit) }, corruptAll)
}

// List implements store.Lister. It fails with errors.ErrUnsupported when the
// wrapped store is not a Lister.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return read(ctx, s, Call{Op: List, Keys: []string{prefix}}, func() ([]string, error) {
		l, ok := s.inner.(store.Lister)
		if !ok {
			return nil, fmt.Errorf("storefault: the wrapped store lists nothing: %w", errors.ErrUnsupported)
		}
		return l.List(ctx, now, prefix, after, limit)
	}, func(keys []string, _ []Fault) []string { return keys })
}

// Place implements store.Placer. It is "" when the wrapped store is not a Placer.
// It is no call: rules and counts leave it out.
func (s *Store) Place(key string) string {
	if p, ok := s.inner.(store.Placer); ok {
		return p.Place(key)
	}
	return ""
}

// read makes a call that changes nothing.
func read[T any](ctx context.Context, s *Store, call Call, do func() (T, error), edit func(T, []Fault) T) (T, error) {
	var none T
	if err := s.begin(&call); err != nil {
		return none, err
	}
	defer s.underWay.Done()
	faults := s.match(call)
	w := s.waiting(ctx, call)
	if err := w.before(faults); err != nil {
		return none, err
	}
	for _, f := range faults {
		if f.fate == failed || f.fate == dropped || f.fate == late {
			return none, f.err
		}
	}
	result, err := do()
	if lost := w.after(faults); lost != nil {
		return none, lost
	}
	for _, f := range faults {
		if f.fate == unacknowledged {
			return none, f.err
		}
	}
	if err != nil {
		return none, err
	}
	return edit(result, faults), nil
}

// corruptAll lets faults change copies of the records that are present.
func corruptAll(recs []store.Record, faults []Fault) []store.Record {
	for _, f := range faults {
		if f.corrupt == nil {
			continue
		}
		for i := range recs {
			if recs[i].Revision == 0 {
				continue
			}
			// The slices may belong to the wrapped store.
			recs[i].Value = append([]byte(nil), recs[i].Value...)
			recs[i].Meta = append([]byte(nil), recs[i].Meta...)
			f.corrupt(&recs[i])
		}
	}
	return recs
}

// Close implements store.Store. Calls that wait at a gate or in a delay fail,
// late writes that have not arrived are dropped, then the wrapped store is
// closed. Faults can delay Close, stop it at a gate and replace its answer by
// an error; the wrapped store is closed in any case. Close does this once;
// later calls return the same answer.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		call := Call{Op: Close, N: 1}
		s.mu.Lock()
		s.counts[Close]++
		s.mu.Unlock()
		if s.hook != nil {
			s.hook(call)
		}
		faults := s.match(call)
		w := s.waiting(context.Background(), call)
		_ = w.before(faults) // cannot fail: nothing ends the wait but the gate
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.closing)
		s.closeErr = s.inner.Close()
		s.underWay.Wait()
		for _, f := range faults {
			if f.fate != untouched {
				s.closeErr = f.err
			}
		}
	})
	return s.closeErr
}
