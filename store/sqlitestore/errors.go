package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stay-go/stay/store"
)

// sqliteError is the error of a call of SQLite.
type sqliteError struct {
	code int // the extended result code
	text string
}

func (e *sqliteError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// failed returns the error for the result code of a call that failed.
func (c *conn) failed(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	// The connection has a better text, if its last call is the one that failed.
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == rc {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &sqliteError{code: int(rc), text: text}
}

// code returns SQLite's extended result code of an error, 0 if it has none.
func code(err error) int {
	if err == nil {
		return 0 // avoids the allocation below
	}
	var e *sqliteError
	if errors.As(err, &e) {
		return e.code
	}
	return 0
}

// failed returns the error of a call that failed with err. A damaged file does
// not repair itself, so trying again does not help.
func (s *Store) failed(err error) error {
	if !damaged(err) {
		return unavailable(err)
	}
	return fmt.Errorf("sqlitestore: %w: %w", store.ErrCorrupt, damage(s.path, err))
}

// damaged reports whether an error means that the file is damaged.
func damaged(err error) bool {
	c := code(err) & 0xff
	return c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

func damage(path string, err error) error {
	return fmt.Errorf("%s is damaged: stop the program, keep a copy of the file and of its -wal and -shm files, and restore it from a backup or with the .recover command of sqlite3: %w", path, err)
}

func busy(err error) bool { return code(err)&0xff == sqlite3.SQLITE_BUSY }

// patiently repeats f while the database is busy, for at most wait, or until
// ctx ends.
func patiently(ctx context.Context, wait time.Duration, f func() error) error {
	const longest = 16 * time.Millisecond
	err := f()
	if !busy(err) {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	end := time.Now().Add(wait)
	for pause := time.Millisecond; busy(err) && time.Now().Before(end); pause = min(2*pause, longest) {
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while the database was busy: %w", ctx.Err(), err)
		case <-timer.C:
		}
		err = f()
	}
	return err
}
