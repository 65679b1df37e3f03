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

	// maxLogPages is the length at which writers wait for the log to be moved,
	// if they write faster than it is moved. The log exceeds it only by what
	// one commit wrote, unless a single read lasts longer than a second.
	maxLogPages = 2 * logPages

	// checkpointWait is how long writers then wait for readers.
	checkpointWait = time.Second
)

// logged counts the pages that a commit wrote, and wakes the checkpointer when
// there are many. The caller holds the writer.
func (s *Store) logged(c *conn) {
	if s.unsaved += c.pagesWritten(); s.unsaved < s.due {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // the checkpointer has been woken already
	}
}

// checkpoints moves the log into the database whenever it has grown, until the
// store closes. A checkpoint that fails is tried again when the log has grown
// by half of logPages; until then a failure costs only space.
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
		// SQLite writes the log from its beginning again only when all of it
		// has been moved, so the writer waits for the rest.
		_ = s.checkpoint(ctx, false)
		if w, err := s.writer.take(ctx); err == nil {
			s.restart(ctx)
			s.writer.put(w)
		}
	}
}

// restart moves the rest of a long log while nobody writes, so that the log is
// written from its beginning again. The caller holds the writer.
func (s *Store) restart(ctx context.Context) {
	if s.unsaved < s.due {
		return // another process has done it
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

// checkpoint moves as much of the log into the database as it can. Only with
// restart does it wait for pages that readers and other processes still need.
func (s *Store) checkpoint(ctx context.Context, restart bool) error {
	c, err := s.keeper.take(ctx)
	if err != nil {
		return err
	}
	if restart {
		// Each attempt checks the readers again and so gets a little further.
		// SQLite's own way of waiting is for one lock, which readers in turn may hold
		// forever.
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

// checkpoint runs a statement that does not fail if another connection still
// needs the log, but reports it in its result.
func (c *conn) checkpoint(id statement) error {
	blocked, err := c.number(id)
	if err == nil && blocked != 0 {
		err = &sqliteError{code: sqlite3.SQLITE_BUSY, text: "the log is still in use"}
	}
	return err
}
