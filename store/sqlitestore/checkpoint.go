package sqlitestore

import (
	"context"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// logPages is how many pages the log takes before it is moved into the
	// database: 16 MiB. A longer log costs disk and memory, a shorter one
	// writes the same pages more often.
	logPages = 16 << 20 / pageSize

	// maxLogPages is where writers wait for that, should they write faster
	// than the log is moved. The log is longer only by what one commit wrote,
	// unless somebody reads from it in one go for more than a second.
	maxLogPages = 2 * logPages

	// checkpointWait is how long writers wait for readers then.
	checkpointWait = time.Second
)

// logged notes what a commit wrote and wakes the checkpointer when it is much.
// The caller holds the writer.
func (s *Store) logged(c *conn) {
	if s.unsaved += c.pagesWritten(); s.unsaved < s.due {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// checkpoints moves the log into the database whenever it has grown, until
// the store closes. A checkpoint that fails is tried again when the log has
// grown by half of logPages; meanwhile it costs nothing but space.
func (s *Store) checkpoints() {
	defer close(s.stopped)
	ctx := context.Background() // nothing here takes long
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		}
		// The first pass runs beside the writer and does nearly all the work.
		// The log starts anew only when all of it has been moved, so for the
		// rest the writer waits.
		_ = s.checkpoint(ctx, false)
		if w, err := s.writer.take(ctx); err == nil {
			s.restart(ctx)
			s.writer.put(w)
		}
	}
}

// restart moves the rest of a long log while nobody writes, so that it starts
// anew. The caller holds the writer.
func (s *Store) restart(ctx context.Context) {
	if s.unsaved < s.due {
		return // somebody did it before
	}
	seen := s.view(ctx)
	err := s.checkpoint(ctx, true)
	switch {
	case err == nil:
		s.base = seen
		s.unsaved, s.due = 0, logPages
	case ctx.Err() == nil:
		s.due = s.unsaved + logPages/2 // the log is as long as it was
	}
}

// checkpoint moves as much of the log into the database as it can. What
// readers and other processes still need is waited for with restart only.
func (s *Store) checkpoint(ctx context.Context, restart bool) error {
	c, err := s.keeper.take(ctx)
	if err != nil {
		return err
	}
	if restart {
		// Each attempt looks at the readers afresh and so gets a little
		// further, while SQLite's own way of waiting is for one lock that
		// readers in turn may hold for ever.
		err = patiently(ctx, checkpointWait, func() error { return c.checkpoint(checkpointRestart) })
	} else {
		err = c.checkpoint(checkpointPassive)
	}
	if err != nil && !busy(err) {
		s.keeper.drop(c)
		return err
	}
	s.keeper.put(c)
	return err
}

// checkpoint runs a statement that reports in its result, instead of failing,
// that somebody still needs the log.
func (c *conn) checkpoint(id statement) error {
	blocked, err := c.number(id)
	if err == nil && blocked != 0 {
		err = &sqliteError{code: sqlite3.SQLITE_BUSY, text: "somebody still needs the log"}
	}
	return err
}
