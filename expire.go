package stay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

const (
	sweepEvery = time.Minute
	// sweepBatch is how many expired records are asked for at once, at most.
	sweepBatch = 256
	// sweepBytes is how much they may take, with the states of their sessions.
	// It is known only when they are there; then fewer are asked for.
	sweepBytes = 32 << 20
	// sweepStuck is how many records that cannot be removed a sweep goes
	// around before it leaves the rest to the next one.
	sweepStuck = 4096
	// sweepLeft is how many expired records a sweep leaves where they are for
	// other programs.
	sweepLeft = 1024
	// sweepVain is after how many batches in a row that brought nothing but
	// failures a sweep takes the store to be down.
	sweepVain = 3
	// sweepReads is how many records are loaded in one call.
	sweepReads = 1024
)

// always does something about once a minute until ctx ends. Several processes
// do not do it at the same moment. If code of the user's ends the goroutine,
// that is one time and not all of them.
func always(ctx context.Context, do func(context.Context)) {
	for {
		t := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery))
		select {
		case <-t.C:
			done := make(chan struct{})
			go func() {
				defer close(done)
				do(ctx)
			}()
			<-done
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// sweepOnce removes what has expired.
func (a *App) sweepOnce(ctx context.Context) {
	a.engine.Sweep(ctx)
	for _, c := range a.allCatalogs() {
		c.refresh(ctx)
		a.sweep(ctx, c)
	}
}

// A sweep removes what has expired in one store, a bounded number of records
// at a time.
type sweep struct {
	app     *App
	backend *engine.Backend
	store   store.Store
	catalog *catalog
	modules *catalogRecord  // of all programs on the store
	stuck   map[string]bool // keys of expired records that stay for now
	left    int             // how many of them are left to other programs
	removed bool            // something was, since the last look
	vain    int             // looks since something was
	failed  int             // how much went wrong
	err     error           // the first of it
}

func (a *App) sweep(ctx context.Context, c *catalog) {
	b := c.backend
	s := &sweep{app: a, backend: b, store: b.Store(), catalog: c, stuck: map[string]bool{}}
	for more := b.Features().Expire; more; {
		more = s.look(ctx)
	}
	if s.err != nil && ctx.Err() == nil {
		e := &Error{Code: ErrUnavailable, Phase: "expire", Err: s.err}
		if s.failed > 1 {
			e.Err = fmt.Errorf("%d failures, the first: %w", s.failed, s.err)
		}
		if code := CodeOf(s.err); code != ErrInternal {
			e.Code = code
		}
		a.report(nil, a.newCall(ctx, "", ""), e)
	}
}

func (s *sweep) fail(err error) {
	if err == nil {
		err = errSilent
	}
	s.failed++
	if s.err == nil {
		s.err = err
	}
}

var errSilent = fmt.Errorf("%w: the store did not say what became of the call", store.ErrUnavailable)

// look removes one batch of expired records and reports whether there is more
// to do. What could not be removed is passed over from then on, so every look
// gets on.
func (s *sweep) look(ctx context.Context) (more bool) {
	if ctx.Err() != nil || !s.app.engine.Begin() {
		return false
	}
	defer s.app.engine.End()
	now := s.app.opts.Clock()
	limit := int(s.app.sweepBatch.Load()) + len(s.stuck)
	own, cancel := context.WithTimeout(ctx, s.app.opts.MaxWait)
	defer cancel()
	recs, err := s.store.Expired(own, now, limit)
	if err != nil {
		s.fail(err)
		return false
	}
	more = len(recs) >= limit
	fresh := recs[:0:0]
	for _, rec := range recs {
		if !s.stuck[rec.Key] {
			s.stuck[rec.Key] = true // until it is gone
			fresh = append(fresh, rec)
		}
	}
	if len(fresh) == 0 {
		return false
	}
	if s.modules, err = s.catalog.read(ctx); err != nil {
		s.fail(err) // what others have hooks of must not be removed
		return false
	}
	failed := s.failed
	s.removed = false
	s.remove(ctx, now, s.leaveToOthers(ctx, now, s.app.estates(fresh)))
	if s.vain++; s.removed || s.failed == failed {
		s.vain = 0
	}
	return more && len(s.stuck) < sweepStuck && s.vain < sweepVain
}

// leaveToOthers takes out of the estates what other programs run OnExpire of.
// Their sweeps find it. If there is so much of it that a sweep would not get
// past it, it is put into graves.
func (s *sweep) leaveToOthers(ctx context.Context, now time.Time, all []*estate) []*estate {
	var aside []store.Group
	var keys []string
	for _, e := range all {
		if e.over != nil { // its states are taken together: see loadStates
			continue
		}
		e.expired = slices.DeleteFunc(e.expired, func(rec store.Record) bool {
			if !s.hookElsewhere(&rec) {
				return false
			}
			if s.left++; s.left > sweepLeft {
				aside, keys = append(aside, entomb(&rec, now.Add(unreadTime))), append(keys, rec.Key)
			}
			return true
		})
	}
	for i, res := range s.commit(ctx, now, aside) {
		switch res.Outcome {
		case store.Applied:
			delete(s.stuck, keys[i])
			s.removed = true
		case store.Conflict: // somebody else has used it, or taken it away
		default:
			s.fail(res.Err)
		}
	}
	return slices.DeleteFunc(all, func(e *estate) bool { return len(e.expired) == 0 })
}

// hookElsewhere reports whether other programs run OnExpire of the record's
// state, and this one does not. It logs the first of each module.
func (s *sweep) hookElsewhere(rec *store.Record) bool {
	key := keyspace.Original(rec.Key)
	if !s.app.hookElsewhere(s.modules, key) {
		return false
	}
	_, name, _ := keyspace.Split(key)
	s.catalog.say("stay: expired states are left to another program on the store, which runs OnExpire of the module", name)
	return true
}

// remove removes estates, those with hooks after their hooks have run.
func (s *sweep) remove(ctx context.Context, now time.Time, all []*estate) {
	if len(all) == 0 {
		return
	}
	if err := s.loadStates(ctx, now, all); err != nil {
		s.fail(err)
		return
	}
	s.measure(all)
	var plain, hooked []*estate
	for _, e := range all {
		if s.app.hooked(e) {
			hooked = append(hooked, e)
		} else {
			plain = append(plain, e)
		}
	}
	s.delete(ctx, now, plain)
	for some := range slices.Chunk(hooked, claimBatch) {
		s.expire(ctx, now, some)
	}
}

// measure says how many records the next look may bring, by what those of this
// one take.
func (s *sweep) measure(all []*estate) {
	var n, size int64
	for _, e := range all {
		n += int64(len(e.expired))
		for rec := range e.records() {
			size += int64(len(rec.Value))
		}
	}
	s.app.sweepBatch.Store(min(max(n*sweepBytes/max(size, 1), 1), sweepBatch))
}

// delete removes each estate as one group, which is the claim as well: of
// several who try, one succeeds. It returns those that others have changed
// meanwhile.
func (s *sweep) delete(ctx context.Context, now time.Time, all []*estate) (changed []*estate) {
	groups := make([]store.Group, len(all))
	for i, e := range all {
		groups[i] = e.deletes(now)
	}
	for i, res := range s.commit(ctx, now, groups) {
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

// gone drops what memory holds of an estate that was removed.
func (s *sweep) gone(e *estate) {
	s.removed = true
	if e.over != nil && !e.ended {
		s.app.observer.measure(Measurement{Name: sessionsExpired, Value: 1})
	}
	for _, recs := range [][]store.Record{e.expired, e.unread} {
		for i := range recs {
			delete(s.stuck, recs[i].Key)
		}
	}
	s.app.forget(e)
}

// commit is the store's, with a result for each group.
func (s *sweep) commit(ctx context.Context, now time.Time, groups []store.Group) []store.Result {
	if len(groups) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.app.opts.CommitTimeout)
	defer cancel()
	res := s.store.Commit(ctx, now, groups)
	for len(res) < len(groups) {
		res = append(res, store.Result{Err: errSilent})
	}
	return res[:len(groups)]
}

// load is the store's, in bounded calls.
func (s *sweep) load(ctx context.Context, now time.Time, reads []store.Read) ([]store.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.app.opts.MaxWait)
	defer cancel()
	var recs []store.Record
	for len(reads) > 0 {
		n := min(len(reads), sweepReads)
		some, err := s.store.Load(ctx, now, reads[:n])
		if err == nil && len(some) != n {
			err = errSilent
		}
		if err != nil {
			return nil, err
		}
		recs, reads = append(recs, some...), reads[n:]
	}
	return recs, nil
}

// loadStates finds the states of the sessions that are over.
func (s *sweep) loadStates(ctx context.Context, now time.Time, all []*estate) error {
	var reads []store.Read
	var unsaved []engine.Ref
	var of []*estate
	for _, e := range all {
		for i := range e.expired { // changes that are not saved may have put that off
			if _, k, key := s.app.stateOf(e.expired[i].Key); k != nil && k.Debounce > 0 {
				unsaved = append(unsaved, engine.Ref{Kind: k, Key: key})
			}
		}
		for _, st := range s.app.statesOf(e, s.backend) {
			reads, of = append(reads, store.Read{Key: st.kind.Prefix + st.key}), append(of, e)
			unsaved = append(unsaved, engine.Ref{Kind: st.kind, Key: st.key})
		}
		for _, key := range s.app.foreignStatesOf(s.modules, e) {
			reads, of = append(reads, store.Read{Key: key}), append(of, e)
		}
	}
	// What is not saved belongs to what expires; a failure reports itself.
	_ = s.app.engine.Flush(ctx, unsaved...)
	recs, err := s.load(ctx, now, reads)
	if err != nil {
		return err
	}
	for i := range recs {
		if recs[i].Revision != 0 {
			of[i].states = append(of[i].states, recs[i])
		}
	}
	for _, e := range all {
		if e.over != nil {
			e.hookElsewhere = map[string]bool{}
			for rec := range e.records() {
				e.hookElsewhere[rec.Key] = e.expires(rec) && s.hookElsewhere(rec)
			}
		}
	}
	return nil
}
