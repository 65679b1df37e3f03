package sqlitestore

import (
	"context"
	"errors"

	"github.com/stay-go/stay/store"
)

// Commit applies the groups in one transaction, which is synced to the disk
// once. It waits for its turn while other calls commit, at most until ctx ends.
// Once its transaction has begun, it is finished even if ctx ends.
//
// When SQLite cannot finish the transaction, every group that was part of it is
// [store.Rejected] with [store.ErrUnavailable]. If the cause is a lack of
// space, or of memory for one of them, the groups are first tried again one by
// one, so that only those fail that do not fit. Groups are [store.Unknown] only
// if a sync fails and the database cannot be written afterwards either.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.begin(); err != nil {
		reject(results, err)
		return results
	}
	defer s.calls.Done()
	valid := s.validate(groups, results)
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
	if !s.started {
		c = s.markStart(ctx, c)
	}
	b := batch{store: s, ctx: ctx, groups: groups, results: results, conn: c}
	b.commit(valid)
	s.writer.put(b.conn)
	if err := s.place.check(); err != nil {
		doubt(results, err)
	}
	s.tell(groups, results)
	return results
}

// validate rejects the groups that no store accepts and returns the places of
// the others.
func (s *Store) validate(groups []store.Group, results []store.Result) []int {
	bad := store.CheckGroups(groups, s.features)
	valid := make([]int, 0, len(groups))
	for i := range groups {
		if bad != nil && bad[i] != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
			continue
		}
		valid = append(valid, i)
	}
	return valid
}

func rejected(err error) store.Result {
	return store.Result{Outcome: store.Rejected, Err: unavailable(err)}
}

func reject(results []store.Result, err error) {
	for i := range results {
		results[i] = store.Result{Outcome: store.Rejected, Err: err}
	}
}

// doubt makes applied groups Unknown: they are in a file that is not where it
// was. If the file is put back, they are applied.
func doubt(results []store.Result, err error) {
	for i := range results {
		if results[i].Outcome == store.Applied {
			results[i] = store.Result{Outcome: store.Unknown, Err: err}
		}
	}
}

// batch is one call of Commit while it holds the writer.
type batch struct {
	store   *Store
	ctx     context.Context
	groups  []store.Group
	results []store.Result
	conn    *conn // nil after it failed, until it is needed again
}

// commit fills in the results of the groups at the given places.
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
		b.results[i] = store.Result{Outcome: outcome, Err: b.store.failed(err)}
	}
}

// transaction applies the groups at the given places in one transaction. After
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
	t := tx{conn: b.conn, revisions: make([]store.Revision, 0, len(places))}
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
	base := b.store.base
	if t.witness == nil {
		base = nil // nothing has changed
	}
	if base != nil {
		if err := b.conn.setMark(base); err != nil {
			b.abandon()
			return err
		}
	}
	if err := b.conn.commit(); err != nil {
		b.abandon()
		return b.settle(&t, err)
	}
	if base != nil {
		b.store.base = nil
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
