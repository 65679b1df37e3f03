package sharded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// rounds bounds how often Expired asks the store below.
const rounds = 8

// Expired implements store.Store. It also finishes groups of processes that have
// stopped, and removes what they have left, which takes a call more.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if err := s.enter(ctx, &s.calls); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if lister, ok := s.inner.(store.Lister); ok && s.features.List {
		_ = s.finishAll(ctx, lister) // what fails is finished another time
	}
	var recs []store.Record
	stuck := 0
	for range rounds {
		raws, err := s.inner.Expired(ctx, now, limit+stuck)
		if err != nil {
			return nil, err
		}
		full := limit > 0 && len(raws) >= limit+stuck
		if recs, stuck, err = s.sortOut(ctx, now, raws); err != nil {
			return nil, err
		}
		if !full || len(recs) >= limit || len(recs) == len(raws) {
			break
		}
	}
	return recs[:min(len(recs), max(limit, 0))], nil
}

// sortOut returns the callers' records among expired ones, and deals with the
// others. It counts those that stay.
func (s *Store) sortOut(ctx context.Context, now time.Time, raws []store.Record) (recs []store.Record, stuck int, err error) {
	var views []view
	var locks []int
	for _, raw := range raws {
		if reserved(raw.Key) {
			if !s.clean(ctx, raw) {
				stuck++
			}
			continue
		}
		v, err := viewOf(raw)
		if err != nil {
			return nil, 0, err
		}
		if v.lock != nil {
			locks = append(locks, len(views))
		} else {
			s.known.note(v.Key, v.Revision, v.at)
		}
		views = append(views, v)
	}
	if len(locks) > 0 {
		reads := make([]store.Read, len(views))
		for i := range views {
			reads[i].Key = views[i].Key
		}
		if err := s.unlock(ctx, reads, views, locks, false); err != nil {
			return nil, 0, err
		}
	}
	for i := range views {
		if v := &views[i]; v.Revision != 0 && v.Expired(now) {
			recs = append(recs, v.Record)
		} else {
			stuck++
		}
	}
	return recs, stuck, nil
}

// clean deals with the record of a transaction: it finishes what is committed, and
// deletes the record if nothing needs it any more. It reports whether it is gone.
func (s *Store) clean(ctx context.Context, raw store.Record) bool {
	f, keys, err := fateOf(raw)
	if err != nil {
		return false
	}
	if time.Now().Before(raw.Expires) {
		return false // by this process's clock, whatever the caller's says
	}
	if f == committed && s.finish(ctx, raw.Key, keys) != nil {
		return false
	}
	results := s.inner.Commit(ctx, []store.Group{{{Op: store.Delete, Key: raw.Key, Base: raw.Revision}}})
	return len(results) == 1 && (results[0].Outcome == store.Applied || results[0].Outcome == store.Conflict)
}

// finish makes of the locks of a committed transaction what they become. It fails
// unless none is left.
func (s *Store) finish(ctx context.Context, tx string, keys []string) error {
	reads := make([]store.Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	raws, err := s.inner.Load(ctx, reads)
	if err != nil {
		return err
	}
	if len(raws) != len(reads) {
		return errSilent
	}
	var left []held
	for _, raw := range raws {
		v, err := viewOf(raw)
		if err != nil {
			return err
		}
		if v.lock != nil && v.lock.tx == tx {
			left = append(left, held{v.lock, v.at})
		}
	}
	return s.release(ctx, left, map[string]fate{tx: committed})
}

// page is how many keys of transactions are listed at once.
const page = 256

// List implements store.Lister. It first finishes the groups that are committed
// and not finished, which takes a call more.
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.enter(ctx, &s.calls); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	lister, ok := s.inner.(store.Lister)
	if !ok || !s.features.List {
		return nil, errors.New("sharded: the store below cannot list its keys")
	}
	if err := s.finishAll(ctx, lister); err != nil {
		return nil, err
	}
	var keys []string
	for len(keys) < limit {
		more, err := lister.List(ctx, now, prefix, after, limit-len(keys))
		if err != nil {
			return nil, err
		}
		full := len(more) == limit-len(keys)
		for _, key := range more {
			if !reserved(key) {
				keys = append(keys, key)
			}
		}
		if !full {
			break
		}
		after = more[len(more)-1]
	}
	return keys, nil
}

// finishAll finishes all groups that are committed. Their records are there until
// their locks are gone, and those of processes that have stopped for longer.
func (s *Store) finishAll(ctx context.Context, lister store.Lister) error {
	for after := ""; ; {
		// By the beginning of time nothing has expired.
		txs, err := lister.List(ctx, time.Time{}, transactions, after, page)
		if err != nil || len(txs) == 0 {
			return err
		}
		reads := make([]store.Read, len(txs))
		for i, tx := range txs {
			reads[i].Key = tx
		}
		raws, err := s.inner.Load(ctx, reads)
		if err != nil {
			return err
		}
		for _, raw := range raws {
			f, keys, err := fateOf(raw)
			if err == nil && f == committed {
				err = s.finish(ctx, raw.Key, keys)
			}
			if err != nil {
				return err
			}
		}
		if len(txs) < page {
			return nil
		}
		after = txs[len(txs)-1]
	}
}

// Place implements store.Placer, with the places of the store below.
func (s *Store) Place(key string) string {
	if p, ok := s.inner.(store.Placer); ok {
		return p.Place(key)
	}
	return ""
}

// Watch implements store.Watcher. A record that a group over several homes changes
// is announced when its lock becomes the new record, and may be announced when it
// is locked. The announced revision is that of the record or a later one.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.enter(ctx, &s.watches); err != nil {
		return err
	}
	defer s.watches.Done()
	watcher, ok := s.inner.(store.Watcher)
	if !ok || !s.features.Watch {
		return fmt.Errorf("sharded: %w: the store below announces nothing", store.ErrUnavailable)
	}
	return watcher.Watch(ctx, func(changes []store.Change, lost bool) {
		seen := make([]store.Change, 0, len(changes))
		for _, c := range changes {
			if !reserved(c.Key) {
				seen = append(seen, store.Change{Key: c.Key, Revision: outside(c.Revision)})
			}
		}
		if lost || len(seen) > 0 {
			announce(seen, lost)
		}
	})
}
