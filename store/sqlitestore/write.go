package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// Commit applies the groups in one transaction, which is synced to the disk
// once. It waits its turn while other calls commit, at most until ctx ends;
// once its transaction has begun it is finished whatever becomes of ctx.
//
// When SQLite cannot finish the transaction, every group that was part of it
// is [store.Rejected] with [store.ErrUnavailable]; for want of space, or of
// memory for one of them, the groups are tried once more one by one, so that
// those fail that do not fit. Only if a sync fails and the database cannot be
// written afterwards either are they [store.Unknown].
func (s *Store) Commit(ctx context.Context, now time.Time, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.begin(); err != nil {
		reject(results, err)
		return results
	}
	defer s.calls.Done()
	valid := validate(groups, results)
	if len(valid) == 0 {
		return results
	}
	c, err := s.writer.take(ctx)
	if err != nil {
		for _, i := range valid {
			results[i] = rejected(err)
		}
		return results
	}
	if s.unsaved >= maxLogPages {
		s.restart(ctx)
	}
	b := batch{store: s, ctx: ctx, now: now, groups: groups, results: results, conn: c}
	b.commit(valid)
	s.writer.put(b.conn)
	return results
}

// validate rejects the groups that no database would change anything about
// and returns the places of the others.
func validate(groups []store.Group, results []store.Result) []int {
	valid := make([]int, 0, len(groups))
	var seen map[string]struct{}
	if len(groups) > 1 || len(groups) == 1 && len(groups[0]) > 1 {
		seen = make(map[string]struct{}, len(groups))
	}
	for i, group := range groups {
		if err := validGroup(group, seen); err != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: err}
			continue
		}
		valid = append(valid, i)
	}
	return valid
}

// validGroup says what is wrong with a group. It enters its keys in seen,
// where it finds those of earlier groups of the call.
func validGroup(group store.Group, seen map[string]struct{}) error {
	if len(group) == 0 {
		return errors.New("sqlitestore: a group without a write")
	}
	var first error
	for i := range group {
		w := &group[i]
		err := validWrite(w)
		if _, repeated := seen[w.Key]; repeated && err == nil {
			err = fmt.Errorf("sqlitestore: the key %q is in the call twice", w.Key)
		}
		if seen != nil {
			seen[w.Key] = struct{}{}
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func validWrite(w *store.Write) error {
	switch {
	case w.Op > store.Check:
		return fmt.Errorf("sqlitestore: unknown operation %d", w.Op)
	case w.Key == "":
		return errors.New("sqlitestore: an empty key")
	case len(w.Key) > store.MaxKey:
		return fmt.Errorf("sqlitestore: a key of %d bytes, at most %d are taken: %w", len(w.Key), store.MaxKey, store.ErrTooLarge)
	case w.Op == store.Put && max(len(w.Value), len(w.Meta)) > maxValue:
		return fmt.Errorf("sqlitestore: a value or meta of %d bytes, at most %d are taken: %w", max(len(w.Value), len(w.Meta)), maxValue, store.ErrTooLarge)
	}
	return nil
}

func rejected(err error) store.Result {
	return store.Result{Outcome: store.Rejected, Err: unavailable(err)}
}

func reject(results []store.Result, err error) {
	for i := range results {
		results[i] = store.Result{Outcome: store.Rejected, Err: err}
	}
}

// batch is one call of Commit while it holds the writer.
type batch struct {
	store   *Store
	ctx     context.Context
	now     time.Time
	groups  []store.Group
	results []store.Result
	conn    *conn // nil after it failed, until it is needed again
}

// commit fills in the results of the groups at the places given.
func (b *batch) commit(places []int) {
	err := b.transaction(places)
	if err == nil {
		return
	}
	if len(places) > 1 && oneIsToBlame(err) {
		for i := range places {
			b.commit(places[i : i+1])
		}
		return
	}
	outcome := store.Rejected
	if errors.Is(err, errUnsettled) {
		outcome = store.Unknown
	}
	for _, i := range places {
		b.results[i] = store.Result{Outcome: outcome, Err: unavailable(err)}
	}
}

// transaction applies the groups at the places given in one transaction. After
// an error nothing was changed, unless it is errUnsettled.
func (b *batch) transaction(places []int) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.conn == nil {
		c, err := b.store.writer.source.open()
		if err != nil {
			return err
		}
		b.conn = c
	}
	err := patiently(b.ctx, busyWait, func() error {
		_, err := b.conn.exec(beginWrite)
		return err
	})
	if err != nil {
		b.abandon()
		return err
	}
	t := tx{conn: b.conn, now: b.now, revisions: make([]store.Revision, 0, len(places))}
	for _, i := range places {
		if err := t.group(b.groups[i], &b.results[i]); err != nil {
			b.abandon()
			return err
		}
	}
	if err := t.saveFloor(); err != nil {
		b.abandon()
		return err
	}
	if err := b.conn.commit(); err != nil {
		b.abandon()
		return b.settle(&t, err)
	}
	b.store.logged(b.conn)
	return nil
}

// abandon rolls back, and closes the connection if it may be broken.
func (b *batch) abandon() {
	if !b.conn.rollback() {
		_ = b.conn.close()
		b.conn = nil
	}
}
