package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stay-go/stay/store"
)

// tx is an open write transaction. SQLite admits one writer at a time, so
// records that the transaction has read do not change.
type tx struct {
	conn *conn
	had  []int64 // the revisions of the current group's records, 0 = there is none; reused

	revisions []store.Revision // for the results of all groups, see revise

	floor       int64 // once floorKnown
	floorKnown  bool
	floorRaised bool

	// The first record that was changed, as it was before.
	witness *store.Write
	before  int64
}

// expiry returns the value of the expires column for a time.
func expiry(t time.Time) arg {
	if t.IsZero() {
		return arg{}
	}
	return integer(t.UnixMilli())
}

// group applies a group as a whole, or answers it with a conflict. It checks
// all conditions before the first change, so nothing needs to be undone.
func (t *tx) group(group store.Group, result *store.Result) error {
	if len(group) == 1 {
		if done, err := t.single(&group[0], result); done || err != nil {
			return err
		}
	}
	t.had = t.had[:0]
	hold := true
	for i := range group {
		revision, err := t.conn.number(look, key(group[i].Key))
		if err != nil {
			return err
		}
		t.had = append(t.had, revision)
		hold = hold && uint64(revision) == uint64(group[i].Base)
	}
	if !hold {
		return t.conflict(group, result)
	}
	revisions := t.revise(len(group))
	for i := range group {
		revision, err := t.apply(&group[i], t.had[i])
		if err != nil {
			return err
		}
		revisions[i] = store.Revision(revision)
	}
	*result = store.Result{Outcome: store.Applied, Revisions: revisions}
	return nil
}

// single handles, in one statement, the form that most groups have: a new value
// for a record that keeps its expiry, or a record under a key that has no row.
// If the group has another form, it reports false and has changed nothing.
func (t *tx) single(w *store.Write, result *store.Result) (bool, error) {
	if w.Op != store.Put {
		return false, nil
	}
	var revision, n int64
	var err error
	if w.Base == 0 {
		if err := t.loadFloor(); err != nil {
			return false, err
		}
		revision = t.floor + 1
		n, err = t.insert(w, revision)
	} else {
		revision = int64(w.Base) + 1
		n, err = t.conn.exec(replace, integer(int64(w.Version)), blob(w.Meta), blob(w.Value), key(w.Key), integer(int64(w.Base)), expiry(w.Expires))
	}
	if err != nil || n == 0 {
		return false, err
	}
	t.changed(w, int64(w.Base))
	revisions := t.revise(1)
	revisions[0] = store.Revision(revision)
	*result = store.Result{Outcome: store.Applied, Revisions: revisions}
	return true, nil
}

// insert creates a record unless its key has a row.
func (t *tx) insert(w *store.Write, revision int64) (int64, error) {
	return t.conn.exec(insert, integer(revision), expiry(w.Expires), integer(int64(w.Version)), blob(w.Meta), blob(w.Value), key(w.Key))
}

// revise returns a slice for the n revisions of a result. Most results have
// one, so they share the array of the transaction while it lasts.
func (t *tx) revise(n int) []store.Revision {
	if n > cap(t.revisions)-len(t.revisions) {
		return make([]store.Revision, n)
	}
	from := len(t.revisions)
	t.revisions = t.revisions[:from+n]
	return t.revisions[from : from+n : from+n]
}

// apply makes the change of a write whose condition holds and returns the
// revision for its result. had is that of the record that there is.
func (t *tx) apply(w *store.Write, had int64) (int64, error) {
	var n int64
	var err error
	revision := int64(0)
	switch {
	case w.Op == store.Check || w.Op == store.Delete && w.Base == 0:
		return int64(w.Base), nil
	case w.Op == store.Delete:
		if err := t.raiseFloor(had); err != nil {
			return 0, err
		}
		n, err = t.conn.exec(remove, key(w.Key))
	case had != 0:
		revision = had + 1
		n, err = t.conn.exec(update, integer(revision), expiry(w.Expires), integer(int64(w.Version)), blob(w.Meta), blob(w.Value), key(w.Key))
	default:
		if err := t.loadFloor(); err != nil {
			return 0, err
		}
		revision = t.floor + 1
		n, err = t.insert(w, revision)
	}
	if err == nil && n != 1 {
		err = errors.New("sqlitestore: a write changed no record although its condition held")
	}
	t.changed(w, had)
	return revision, err
}

// changed remembers the first record that the transaction changes.
func (t *tx) changed(w *store.Write, before int64) {
	if t.witness == nil {
		t.witness, t.before = w, before
	}
}

// conflict answers a group with the records that the store has.
func (t *tx) conflict(group store.Group, result *store.Result) error {
	current := make([]store.Record, len(group))
	for i := range group {
		if err := t.conn.record(&current[i], group[i].Key, 0); err != nil {
			return err
		}
	}
	*result = store.Result{Outcome: store.Conflict, Current: current}
	return nil
}

// The floor is read when it is needed and not kept from one transaction to the
// next: other stores may share the file, and most writes do not need it.

func (t *tx) loadFloor() (err error) {
	if !t.floorKnown {
		t.floor, err = t.conn.number(getFloor)
		t.floorKnown = err == nil
	}
	return err
}

func (t *tx) raiseFloor(revision int64) error {
	if err := t.loadFloor(); err != nil {
		return err
	}
	if revision > t.floor {
		t.floor, t.floorRaised = revision, true
	}
	return nil
}

func (t *tx) saveFloor() error {
	if !t.floorRaised {
		return nil
	}
	_, err := t.conn.exec(setFloor, integer(t.floor))
	return err
}

// oneIsToBlame reports whether one group may have made a transaction fail
// because it did not fit, so that the others may succeed without it.
func oneIsToBlame(err error) bool {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

// errUnsettled means that it is not known whether a transaction was committed.
var errUnsettled = errors.New("the outcome is not known")

// settle finds out what happened to a transaction whose commit failed, and
// returns the cause if it was certainly not committed.
//
// The end of the log is what commits, so after a failed write the transaction
// is not committed. After a failed sync the log may be complete, and a crash
// would then bring the transaction back. A further commit overwrites it: once
// that commit is durable and the record is as before, the transaction cannot
// come back.
func (b *batch) settle(t *tx, cause error) error {
	switch c := code(cause); {
	case c&0xff == sqlite3.SQLITE_FULL, c&0xff == sqlite3.SQLITE_BUSY, c == sqlite3.SQLITE_IOERR_WRITE, t.witness == nil:
		return cause
	}
	if err := b.overwrite(t); err != nil {
		return fmt.Errorf("%w: %w; %w", errUnsettled, cause, err)
	}
	return cause
}

func (b *batch) overwrite(t *tx) (err error) {
	if b.conn == nil {
		if b.conn, err = b.store.writer.source.open(); err != nil {
			b.conn = nil
			return err
		}
	}
	defer func() {
		if err != nil && b.conn != nil {
			b.abandon()
		}
	}()
	// The caller must get the outcome, even if its context has ended.
	err = patiently(context.WithoutCancel(b.ctx), busyWait, func() error {
		_, err := b.conn.exec(beginWrite)
		return err
	})
	if err != nil {
		return err
	}
	revision, err := b.conn.number(look, key(t.witness.Key))
	if err != nil {
		return err
	}
	if revision != t.before {
		return fmt.Errorf("expected revision %d, found %d", t.before, revision)
	}
	if _, err := b.conn.exec(settle); err != nil {
		return err
	}
	return b.conn.commit()
}
