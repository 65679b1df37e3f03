package sqlitestore

import (
	"context"
	"time"
)

const (
	PageSize    = pageSize
	LogPages    = logPages
	MaxLogPages = maxLogPages
	WatchEvery  = watchEvery
)

// FailCommit makes the next COMMIT fail with one of SQLite's result codes,
// after it was done or instead of it.
func (s *Store) FailCommit(code int, done bool) error {
	c, err := s.writer.take(context.Background())
	if err != nil {
		return err
	}
	defer s.writer.put(c)
	c.failCommit = func() error {
		if done {
			if err := c.commit(); err != nil {
				return err
			}
		}
		return &sqliteError{code: code, text: "injected"}
	}
	return nil
}

// ExpiredPlan returns how SQLite finds expired records.
func (s *Store) ExpiredPlan() (plan string, err error) {
	err = s.read(context.Background(), func(c *conn) error {
		stmt, err := c.prepare("EXPLAIN QUERY PLAN "+statementText[listExpired], 0)
		if err != nil {
			return err
		}
		defer c.finalize(stmt)
		r := rows{conn: c, stmt: stmt}
		for r.next() {
			plan += r.text(3) + "\n"
		}
		return r.close()
	})
	return plan, err
}

// Pragma returns a setting of the connection that writes.
func (s *Store) Pragma(name string) (value string, err error) {
	c, err := s.writer.take(context.Background())
	if err != nil {
		return "", err
	}
	defer s.writer.put(c)
	stmt, err := c.prepare("PRAGMA "+name, 0)
	if err != nil {
		return "", err
	}
	defer c.finalize(stmt)
	r := rows{conn: c, stmt: stmt}
	if r.next() {
		value = r.text(0)
	}
	return value, r.close()
}

// HoldCheckpoints keeps the log from being moved until release is called.
func (s *Store) HoldCheckpoints() (release func(), err error) {
	c, err := s.keeper.take(context.Background())
	return func() { s.keeper.put(c) }, err
}

// DuringCommit has f run before the next COMMIT.
func (s *Store) DuringCommit(f func() error) error {
	c, err := s.writer.take(context.Background())
	if err != nil {
		return err
	}
	defer s.writer.put(c)
	c.failCommit = func() error {
		if err := f(); err != nil {
			return err
		}
		return c.commit()
	}
	return nil
}

// TrustFolder makes the store trust the names in its folder, as it does by
// itself when the folder has not changed for some seconds.
func (s *Store) TrustFolder() {
	if folder, known := lookAtFolder(s.place.folder); known {
		s.place.quiet.Store(&quiet{folder, time.Now().Add(time.Hour)})
	}
}
