// Package sharded spreads state over several places, such as several databases.
// A [Router] keeps every record in one of the stores that it was made of, and a
// [Store] makes atomic what has its records in several of them:
//
//	router, err := sharded.OpenRouter(ctx, map[string]store.Store{"one": one, "two": two})
//	...
//	s, err := sharded.New(router)
//
// What belongs together is in one place: [store.Home] says so. A group of writes
// at one home is passed on as it is, in one call. A group over several homes,
// such as a login, takes about five calls (see [Store.Commit]).
//
// # Groups over several homes
//
// All homes of a group but the last are locked, in their order: in the place of
// each record there is a lock then, which holds the record and what it becomes.
// One group of the store below, at the last home, makes the changes there and
// creates a record that says that the group is committed. Then each lock becomes
// the new record, and the record about the group is deleted.
//
// A process may stop at any of these steps. Whoever finds its lock asks for the
// record about the group. If it says committed, the lock becomes the new record.
// If there is none, the group is not committed: a reader gets the old record, and
// a writer waits a fifth of a second, creates the record as aborted, and goes on.
// That record can be created only once, so no clock and no process that is
// believed to be dead takes part in the decision.
//
// # What is stored
//
// The records below are the caller's, with the same keys, values and Metas, but
// for locks and for those whose revision had to be kept, which have a Meta that
// begins with a byte from 0x80 on. So a store that is in use can be given to New,
// and only with all of its programs at once: a program that uses the store below
// directly takes locks for records. Keys that begin with "stay/tx/" are reserved:
// groups that name them are Rejected.
//
// Revisions are twice those of the store below, so those have to be less than
// 1<<61.
package sharded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// transactions is what the keys of records about groups begin with. The home of
// such a key is that of the key at its end.
const transactions = "stay/tx/"

const (
	// pushTime is how long a lock is left alone from when it is first seen.
	pushTime = 200 * time.Millisecond
	// fateTime bounds how long the place of a record about a group is asked for it.
	fateTime = time.Second
	// finishTime bounds what is done for a group once it is decided.
	finishTime = 2 * time.Second
	// recordTime is how long the record of a group is kept when its process has
	// stopped: whoever may still ask for it, or want to commit the group, meets it.
	recordTime = 24 * time.Hour
	// decideTime is how long a process goes on to decide a group that it has begun,
	// and relies on its record. It leaves much of recordTime to clocks that differ.
	decideTime = time.Minute
	// tries bounds how often a group is tried again.
	tries = 100
	// atOnce is how many groups over several homes a call has under way.
	atOnce = 16
)

// A Store has atomic groups over several homes, on a store that has them at one
// home. All methods may be called concurrently.
type Store struct {
	inner    store.Store
	features store.Features
	locality // says which keys have atomic groups below
	known    *known
	doubts   *doubts
	silent   silent

	closing chan struct{} // closed when Close begins
	mu      sync.Mutex
	closed  bool           // guarded by mu
	calls   sync.WaitGroup // grows only under mu while not closed
	watches sync.WaitGroup // the same, for Watch
}

// A locality says which keys are close enough for one group below.
type locality interface {
	// place names what holds the key.
	place(key string) string
	// commit commits groups of which each has its keys in one place.
	commit(ctx context.Context, groups []store.Group) []store.Result
}

// New returns a store with groups over several homes on a store that has groups,
// at one home at least ([store.Features].GroupsAtHome), finds expired records and
// has no stale reads. It fails if the store below does not. Values may have a bit
// less than half of what the store below takes, since a lock holds two.
//
// The store below belongs to the returned one, which closes it.
func New(inner store.Store) (*Store, error) {
	f := inner.Features()
	switch {
	case !f.Groups && !f.GroupsAtHome:
		return nil, errors.New("sharded: the store below has no groups, not even at one home")
	case !f.Expire:
		return nil, errors.New("sharded: the store below does not find expired records, so nobody would find what a stopped process has left")
	case f.StaleReads > 0:
		return nil, errors.New("sharded: the store below has stale reads, so a group could be taken for finished that is not")
	}
	if f.MaxValue > 0 {
		if f.MaxValue = (f.MaxValue - overhead) / 2; f.MaxValue <= 0 {
			return nil, fmt.Errorf("sharded: the store below takes values of %d bytes, which leaves nothing beside a lock", inner.Features().MaxValue)
		}
	}
	f.Groups = true
	f.Immediate = false // a lock is waited for
	if _, ok := inner.(store.Placer); !ok {
		f.Places = false
	}
	s := &Store{
		inner: inner, features: f, locality: homes{inner}, known: newKnown(), doubts: newDoubts(),
		closing: make(chan struct{}),
	}
	if l, ok := inner.(locality); ok {
		s.locality = l
	}
	return s, nil
}

// homes is the locality of a store that has groups at one home.
type homes struct{ store.Store }

func (h homes) place(key string) string { return store.Home(key) }

func (h homes) commit(ctx context.Context, groups []store.Group) []store.Result {
	return h.Commit(ctx, groups)
}

// Features implements store.Store: those of the store below with Groups, without
// Immediate, and with less than half of its MaxValue.
func (s *Store) Features() store.Features { return s.features }

// Close implements store.Store. It closes the store below. Groups that wait for a
// lock are given up.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.calls.Wait()
	err := s.inner.Close()
	s.watches.Wait()
	return err
}

// enter begins a call, or returns the reason why it must not.
func (s *Store) enter(ctx context.Context, calls *sync.WaitGroup) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("sharded: %w", store.ErrClosed)
	}
	calls.Add(1)
	return nil
}

// pause waits, and fails when the call must not wait any longer.
func (s *Store) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-s.closing:
		return fmt.Errorf("sharded: %w", store.ErrClosed)
	}
}

// finishing returns the context for what is done once a group is decided.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishTime)
}

// unavailable wraps an error that does not say what it is for callers.
func unavailable(err error) error {
	for _, known := range []error{store.ErrUnavailable, store.ErrCorrupt, store.ErrTooLarge, store.ErrClosed} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("sharded: %w: %w", store.ErrUnavailable, err)
}

func reserved(key string) bool { return strings.HasPrefix(key, transactions) }
