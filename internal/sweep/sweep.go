// Package sweep removes what has expired in a store: it finds it, claims what a
// hook is to hear of, so that one of several processes runs it, and removes a
// session with all that belongs to it in one step. It knows records and keys
// only; what they are, an [Owner] tells.
package sweep

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

const (
	// maxBatch is how many expired records are asked for at once, at most.
	maxBatch = 256
	// maxBytes is how much they may take, with the states of their sessions.
	// It is known only when they are there; then fewer are asked for.
	maxBytes = 32 << 20
	// maxStuck is how many records that cannot be removed a sweep goes
	// around before it leaves the rest to the next one.
	maxStuck = 4096
	// maxLeft is how many expired records a sweep leaves where they are for
	// other programs.
	maxLeft = 1024
	// maxVain is after how many batches in a row that brought nothing but
	// failures a sweep takes the store to be down.
	maxVain = 3
	// maxReads is how many records are loaded in one call.
	maxReads = 1024
)

// A Config is what a sweep needs of the program that it runs in.
type Config struct {
	Store store.Store
	Now   func() time.Time
	// MaxWait bounds each look at the store, CommitTimeout each change of it.
	MaxWait, CommitTimeout time.Duration
	// MaxState is how large a record may be, in bytes.
	MaxState int
	// Begin reports whether work may begin, which lasts until End is called.
	Begin func() bool
	End   func()
	// Closing reports whether no further hook may begin.
	Closing func() bool
}

// An Owner knows what the records are, and what happens when they expire. A key
// is the key of a state, as it is in the store. One goroutine calls the
// methods, for one sweep.
type Owner interface {
	// Prepare is called before records are looked at. If it fails, all stay.
	Prepare(ctx context.Context) error
	// Ended is when the session with this record was ended; the zero time if it
	// was not.
	Ended(session *store.Record) time.Time
	// States are the keys of all states that the session with this ID and record
	// may have in the store.
	States(id string, session *store.Record) []string
	// Save stores the changes of these states that are acknowledged and not stored.
	Save(ctx context.Context, keys []string)
	// Hooked reports whether this program runs OnExpire of the state.
	Hooked(key string) bool
	// HookElsewhere reports whether other programs do, and this one does not.
	HookElsewhere(key string) bool
	// Expire runs OnExpire with the state in the record, which may have been set
	// aside. It fails if the record cannot be read.
	Expire(ctx context.Context, rec *store.Record) error
	// Gone gets what was removed.
	Gone(d *Due)
}

// A Sweeper removes what has expired in one store, a bounded number of records
// at a time.
type Sweeper struct {
	Config
	batch atomic.Int64 // how many records the next look brings
}

// New returns a Sweeper.
func New(c Config) *Sweeper {
	w := &Sweeper{Config: c}
	w.batch.Store(min(max(maxBytes/int64(c.MaxState), 1), maxBatch))
	return w
}

// A pass is one sweep of a store.
type pass struct {
	*Sweeper
	owner   Owner
	hint    hint
	stuck   map[string]bool // keys of expired records that stay for now
	left    int             // how many of them are left to other programs
	removed bool            // something was, since the last look
	vain    int             // looks since something was
	failed  int             // how much went wrong
	err     error           // the first of it
}

// Sweep removes what has expired. It fails with the first of what went wrong, and
// goes on with the rest.
func (w *Sweeper) Sweep(ctx context.Context, owner Owner) error {
	s := &pass{Sweeper: w, owner: owner, stuck: map[string]bool{}}
	for more := w.Store.Features().Expire; more; {
		more = s.look(ctx)
	}
	s.end(ctx)
	if s.failed > 1 {
		return fmt.Errorf("%d failures, the first: %w", s.failed, s.err)
	}
	return s.err
}

func (s *pass) fail(err error) {
	if err == nil {
		err = ErrSilent
	}
	s.failed++
	if s.err == nil {
		s.err = err
	}
}

// ErrSilent is the error of a call that the store has not answered as a whole.
var ErrSilent = fmt.Errorf("%w: the store returned no result for the call", store.ErrUnavailable)

// look removes one batch of expired records and reports whether there is more
// to do. A record that could not be removed is skipped afterwards, so every
// look makes progress.
func (s *pass) look(ctx context.Context) (more bool) {
	if ctx.Err() != nil || !s.Begin() {
		return false
	}
	defer s.End()
	now := s.Now()
	limit := int(s.batch.Load()) + len(s.stuck)
	own, cancel := context.WithTimeout(ctx, s.MaxWait)
	defer cancel()
	recs, err := s.Store.Expired(own, now, limit)
	if err != nil {
		s.fail(err)
		return false
	}
	if len(recs) > 0 && !s.Store.Features().SoleOwner && !s.hint.lost && now.Add(hintTime/2).After(s.hint.expires) {
		first := s.hint.rev == 0
		if !s.begin(ctx, now) {
			return false
		}
		if first && !s.hint.lost {
			return true // what is due now: another node may just have removed this
		}
	}
	more = len(recs) >= limit
	fresh := recs[:0:0]
	for _, rec := range recs {
		if !s.stuck[rec.Key] {
			s.stuck[rec.Key] = true // until it is gone
			fresh = append(fresh, rec)
		}
	}
	some := len(fresh)
	if fresh = s.removeTombstones(ctx, now, fresh); len(fresh) == 0 {
		return more && some > 0 && len(s.stuck) < maxStuck
	}
	if err := s.owner.Prepare(ctx); err != nil {
		s.fail(err)
		return false
	}
	failed := s.failed
	s.removed = false
	s.remove(ctx, now, s.leaveToOthers(ctx, now, s.byOwner(fresh)))
	if s.vain++; s.removed || s.failed == failed {
		s.vain = 0
	}
	return more && len(s.stuck) < maxStuck && s.vain < maxVain
}

// leaveToOthers takes out of what is due what other programs run OnExpire of.
// Their sweeps find it. If there is so much of it that a sweep would not get
// past it, it is set aside.
func (s *pass) leaveToOthers(ctx context.Context, now time.Time, all []*Due) []*Due {
	var groups []store.Group
	var keys []string
	for _, d := range all {
		if d.over != nil { // its states are taken together: see loadStates
			continue
		}
		d.expired = slices.DeleteFunc(d.expired, func(rec store.Record) bool {
			if !s.hookElsewhere(&rec) {
				return false
			}
			if s.left++; s.left > maxLeft {
				groups, keys = append(groups, aside(&rec, now.Add(unreadTime))), append(keys, rec.Key)
			}
			return true
		})
	}
	for i, res := range s.commit(ctx, groups) {
		switch res.Outcome {
		case store.Applied:
			delete(s.stuck, keys[i])
			s.removed = true
		case store.Conflict: // somebody else has used it, or taken it away
		default:
			s.fail(res.Err)
		}
	}
	return slices.DeleteFunc(all, func(d *Due) bool { return len(d.expired) == 0 })
}

// hookElsewhere reports whether other programs run OnExpire of the record's
// state, and this one does not.
func (s *pass) hookElsewhere(rec *store.Record) bool {
	return s.owner.HookElsewhere(keyspace.Original(rec.Key))
}

// remove removes what is due: what has hooks after they have run.
func (s *pass) remove(ctx context.Context, now time.Time, all []*Due) {
	if len(all) == 0 {
		return
	}
	if err := s.loadStates(ctx, now, all); err != nil {
		s.fail(err)
		return
	}
	s.measure(all)
	var plain, hooked []*Due
	for _, d := range all {
		if s.hooked(d) {
			hooked = append(hooked, d)
		} else {
			plain = append(plain, d)
		}
	}
	s.delete(ctx, now, plain)
	for some := range slices.Chunk(hooked, claimBatch) {
		s.expire(ctx, now, some)
	}
}

// measure computes how many records the next look may load, from the size of
// those of this one.
func (s *pass) measure(all []*Due) {
	var n, size int64
	for _, d := range all {
		n += int64(len(d.expired))
		for rec := range d.records() {
			size += int64(len(rec.Value))
		}
	}
	s.batch.Store(min(max(n*maxBytes/max(size, 1), 1), maxBatch))
}

// delete removes each of them as one group, which is also the claim: of several
// processes that try, one succeeds. It returns the records that others have
// changed meanwhile.
func (s *pass) delete(ctx context.Context, now time.Time, all []*Due) (changed []*Due) {
	groups := make([]store.Group, len(all))
	for i, d := range all {
		groups[i] = d.deletes(now)
	}
	for i, res := range s.commit(ctx, groups) {
		switch res.Outcome {
		case store.Applied:
			s.gone(all[i])
		case store.Conflict:
			changed = append(changed, all[i])
		default:
			s.fail(res.Err)
		}
	}
	return changed
}

// gone reports to the owner what was removed.
func (s *pass) gone(d *Due) {
	s.removed = true
	for _, recs := range [][]store.Record{d.expired, d.unread} {
		for i := range recs {
			delete(s.stuck, recs[i].Key)
		}
	}
	s.owner.Gone(d)
}

// commit is the store's, with a result for each group.
func (s *pass) commit(ctx context.Context, groups []store.Group) []store.Result {
	if len(groups) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.CommitTimeout)
	defer cancel()
	res := s.Store.Commit(ctx, groups)
	for len(res) < len(groups) {
		res = append(res, store.Result{Err: ErrSilent})
	}
	return res[:len(groups)]
}

// load is the store's, in bounded calls.
func (s *pass) load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.MaxWait)
	defer cancel()
	var recs []store.Record
	for len(reads) > 0 {
		n := min(len(reads), maxReads)
		some, err := s.Store.Load(ctx, reads[:n])
		if err == nil && len(some) != n {
			err = ErrSilent
		}
		if err != nil {
			return nil, err
		}
		recs, reads = append(recs, some...), reads[n:]
	}
	return recs, nil
}

// loadStates finds the states of the sessions that are over.
func (s *pass) loadStates(ctx context.Context, now time.Time, all []*Due) error {
	var reads []store.Read
	var unsaved []string
	var of []*Due
	for _, d := range all {
		for i := range d.expired { // changes that are not saved may have put that off
			unsaved = append(unsaved, d.expired[i].Key)
		}
		for _, key := range s.statesOf(d) {
			reads, of = append(reads, store.Read{Key: key}), append(of, d)
			unsaved = append(unsaved, key)
		}
	}
	// What is not saved belongs to what expires; a failure reports itself.
	s.owner.Save(ctx, unsaved)
	recs, err := s.load(ctx, reads)
	if err != nil {
		return err
	}
	for i := range recs {
		// An expired state is found by itself, maybe under a former name.
		if isState(&recs[i]) && !recs[i].Expired(now) {
			of[i].states = append(of[i].states, recs[i])
		}
	}
	for _, d := range all {
		if d.over != nil {
			d.hookElsewhere = map[string]bool{}
			for rec := range d.records() {
				d.hookElsewhere[rec.Key] = d.expires(rec) && s.hookElsewhere(rec)
			}
		}
	}
	return nil
}
