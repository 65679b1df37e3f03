package sharded

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// Load implements store.Store, with one call of the store below unless a record
// is locked. It finishes the group that has locked a record, if that is decided.
// A record of this package's own form that is damaged fails the call.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.enter(ctx, &s.calls); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	views, err := s.see(ctx, reads, false)
	if err != nil {
		return nil, err
	}
	recs := make([]store.Record, len(reads))
	for i := range recs {
		switch v := &views[i]; {
		case reserved(reads[i].Key):
			recs[i].Key = reads[i].Key
		case v.Revision != 0 && v.Revision == reads[i].Have:
			recs[i] = store.Record{Key: reads[i].Key, Revision: v.Revision}
		default:
			recs[i] = v.Record
		}
	}
	return recs, nil
}

// see reads records as callers see them. A record that the caller has, by the
// revision in its read, may have its key and its revision only.
//
// If a group that is under way has locked one, the answer is what was there
// before, as it still was when the group was asked for. With push there are no
// locks afterwards: it is waited until the group is decided, and that is seen to.
func (s *Store) see(ctx context.Context, reads []store.Read, push bool) ([]view, error) {
	views := make([]view, len(reads))
	some := make([]int, len(reads))
	for i := range some {
		some[i] = i
	}
	locks, err := s.read(ctx, reads, views, some)
	if err == nil && len(locks) > 0 {
		err = s.unlock(ctx, reads, views, locks, push)
	}
	return views, err
}

// read reads some of the records into views, and returns those that are locked.
func (s *Store) read(ctx context.Context, reads []store.Read, views []view, some []int) (locks []int, err error) {
	below := make([]store.Read, len(some))
	for i, j := range some {
		below[i].Key = reads[j].Key
		below[i].Have, _ = s.known.below(reads[j].Key, reads[j].Have)
	}
	raws, err := s.inner.Load(ctx, below)
	if err != nil {
		return nil, err
	}
	if len(raws) != len(below) {
		return nil, errSilent
	}
	for i, j := range some {
		raw := raws[i]
		if raw.Revision != 0 && raw.Revision == below[i].Have {
			views[j] = view{Record: store.Record{Key: raw.Key, Revision: reads[j].Have}, at: raw.Revision}
			continue
		}
		if reserved(raw.Key) {
			continue
		}
		if views[j], err = viewOf(raw); err != nil {
			return nil, err
		}
		if views[j].lock != nil {
			locks = append(locks, j)
		} else {
			s.known.note(raw.Key, views[j].Revision, raw.Revision)
		}
	}
	return locks, nil
}

// errSilent means that the store below did not answer for everything.
var errSilent = fmt.Errorf("sharded: %w: the store below did not answer for everything", store.ErrUnavailable)

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 50 * time.Millisecond
)

// unlock finds out what the locked ones among views are; see says how.
func (s *Store) unlock(ctx context.Context, reads []store.Read, views []view, locks []int, push bool) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		fates, err := s.fates(ctx, views, locks, push)
		if err != nil {
			return err
		}
		var done []held
		var again []int
		waits := false
		for _, i := range locks {
			v := &views[i]
			f := fates[v.lock.tx]
			if f != pending {
				done = append(done, held{v.lock, v.at})
			}
			switch {
			case f != pending && !push:
				v.Record, v.lock = v.lock.become(f, v.at), nil
			default:
				again = append(again, i)
				waits = waits || f == pending
			}
		}
		if err := s.release(ctx, done, fates); err != nil && push {
			return err // a reader knows enough
		}
		if len(again) == 0 {
			return nil
		}
		if waits && push {
			if err := s.pause(ctx, pause); err != nil {
				return err
			}
		}
		if locks, err = s.reread(ctx, reads, views, again, push); err != nil || len(locks) == 0 {
			return err
		}
	}
}

// reread reads locked records again, and returns those that are still to be found
// out. A reader is done with one whose lock has not changed: the group was not
// decided when its fate was asked for, which was in between.
func (s *Store) reread(ctx context.Context, reads []store.Read, views []view, again []int, push bool) ([]int, error) {
	before := make(map[int]view, len(again))
	for _, i := range again {
		before[i] = views[i]
	}
	locks, err := s.read(ctx, reads, views, again)
	if err != nil || push {
		return locks, err
	}
	open := locks[:0]
	for _, i := range locks {
		if v := &views[i]; v.at == before[i].at {
			v.Record, v.lock = v.lock.become(pending, v.at), nil
		} else {
			open = append(open, i)
		}
	}
	return open, nil
}

// fates asks what became of the transactions that have locked some of the views.
// It ends those that have been waited for. If one cannot be ended, that is an error
// with push, and otherwise it is pending.
func (s *Store) fates(ctx context.Context, views []view, locks []int, push bool) (map[string]fate, error) {
	fates := map[string]fate{}
	var reads []store.Read
	for _, i := range locks {
		if tx := views[i].lock.tx; fates[tx] == 0 && !asked(reads, tx) {
			reads = append(reads, store.Read{Key: tx})
		}
	}
	raws, err := s.decisions(ctx, reads)
	if err != nil {
		return nil, err
	}
	for _, raw := range raws {
		if fates[raw.Key], _, err = fateOf(raw); err != nil {
			return nil, err
		}
	}
	var late []string
	for _, i := range locks {
		v := &views[i]
		if fates[v.lock.tx] == pending && s.known.overdue(v.Key, v.at) {
			fates[v.lock.tx] = aborted // once
			late = append(late, v.lock.tx)
		}
	}
	ended, err := s.abort(ctx, late)
	if err != nil && push {
		return nil, err
	}
	for i, f := range ended {
		fates[late[i]] = f
	}
	return fates, nil
}

func asked(reads []store.Read, key string) bool {
	for i := range reads {
		if reads[i].Key == key {
			return true
		}
	}
	return false
}

// abort ends transactions that are not committed, and returns what became of
// each: pending, and an error, if that is not known.
func (s *Store) abort(ctx context.Context, txs []string) (fates []fate, err error) {
	fates = make([]fate, len(txs))
	if len(txs) == 0 {
		return fates, nil
	}
	groups := make([]store.Group, len(txs))
	for i, tx := range txs {
		groups[i] = store.Group{decision(tx, aborted, nil)}
	}
	results := s.inner.Commit(ctx, groups)
	if len(results) != len(groups) {
		return fates, errSilent
	}
	for i, res := range results {
		switch {
		case res.Outcome == store.Applied:
			fates[i] = aborted
		case res.Outcome == store.Conflict && len(res.Current) == 1:
			fates[i], _, err = fateOf(res.Current[0])
		default:
			err = unavailable(res.Err)
		}
	}
	return fates, err
}

// A held is a lock with its revision below.
type held struct {
	lock *lock
	at   store.Revision
}

// release makes of locks whose transactions are decided what they become. It
// fails unless none of them is left afterwards.
func (s *Store) release(ctx context.Context, locks []held, fates map[string]fate) error {
	if len(locks) == 0 {
		return nil
	}
	groups := make([]store.Group, len(locks))
	become := make([]store.Record, len(locks))
	for i, h := range locks {
		rec := h.lock.become(fates[h.lock.tx], h.at)
		become[i] = rec
		w := store.Write{Op: store.Delete, Key: rec.Key, Base: h.at}
		if rec.Revision != 0 {
			w = below(store.Write{
				Op: store.Put, Key: rec.Key, Base: h.at,
				Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires,
			}, rec.Revision)
		}
		groups[i] = store.Group{w}
	}
	var failed error
	results := s.inner.Commit(ctx, groups)
	if len(results) != len(groups) {
		return errSilent
	}
	for i, res := range results {
		switch res.Outcome {
		case store.Applied:
			s.known.forget(become[i].Key)
			if become[i].Revision != 0 {
				s.known.note(become[i].Key, become[i].Revision, res.Revisions[0])
			}
		case store.Conflict: // somebody else has released it
			s.known.forget(become[i].Key)
		default:
			failed = unavailable(res.Err)
		}
	}
	return failed
}
