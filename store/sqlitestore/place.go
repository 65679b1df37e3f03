package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A place is the location of the database: the names with which it was opened,
// and the files that they named then.
//
// A file that is removed, renamed or replaced stays open, so SQLite goes on
// writing to it, and acknowledged changes would be lost. So the store checks
// the names before each call, after each commit and before it is acknowledged,
// and around the opening of each connection.
//
// Checking a name takes a third of the time of a small read, and a commit
// checks twice. But as long as a folder is unchanged, so are the names in it.
type place struct {
	names  []name // empty until the database is open
	folder string
	quiet  atomic.Pointer[quiet]
}

// quiet is the state of the folder when all files were there.
type quiet struct {
	folder folderState
	until  time.Time // all are checked once in a while: one may be mounted over
}

const quietTime = time.Second

type name struct {
	path string
	what role
	is   identity
}

type role int

const (
	roleDatabase role = iota
	roleLog
	roleIndex
	roleLock
)

// beside is the number of names in one folder. The names after these may be in
// other folders.
const beside = 4

// note records the files of the database. The name that Open got may be a link,
// and a restart follows it.
func (p *place) note(given, path string) error {
	names := make([]name, 0, beside+1)
	names = append(names, name{path: path}, name{path: path + "-wal", what: roleLog},
		name{path: path + "-shm", what: roleIndex}, name{path: lockName(path), what: roleLock})
	if given != path {
		names = append(names, name{path: given})
	}
	for i := range names {
		var err error
		if names[i].is, err = identify(names[i].path); err != nil {
			return err
		}
	}
	p.names, p.folder = names, filepath.Dir(path)
	return nil
}

// check returns an error that says what to do, nil if all files are there.
func (p *place) check() error {
	if len(p.names) == 0 {
		return nil
	}
	now := time.Now()
	folder, known := lookAtFolder(p.folder) // before the names
	if q := p.quiet.Load(); known && q != nil && folder == q.folder && now.Before(q.until) {
		return p.look(beside)
	}
	if err := p.look(0); err != nil {
		return err
	}
	if known && folder.rested(now) {
		p.quiet.Store(&quiet{folder, now.Add(quietTime)})
	}
	return nil
}

// look checks the names, beginning with the given one.
func (p *place) look(from int) error {
	for i := from; i < len(p.names); i++ {
		n := &p.names[i]
		if is, err := identify(n.path); err != nil || is != n.is {
			return &lostError{name: *n, cause: err}
		}
	}
	return nil
}

// A lostError means that a name belongs to another file than the open one, or
// to none.
type lostError struct {
	name  name
	cause error // why it cannot be seen; nil = another file is there
}

func (e *lostError) Error() string {
	how := "was replaced by another file"
	switch {
	case errors.Is(e.cause, fs.ErrNotExist):
		how = "was removed or renamed"
	case e.cause != nil:
		how = "cannot be seen (" + e.cause.Error() + ")"
	}
	var what, fix string
	switch e.name.what {
	case roleDatabase:
		what, fix = "database", "a restart would not find what is stored now: put the file back where it was, or restart the program to use the file that is there now"
	case roleLog:
		what, fix = "log", "a restart would not find the latest changes: put the file back where it was; if it is lost, close the store, which then saves what it can, and restart the program"
	case roleIndex:
		what, fix = "index of the log", "other processes would not see what is stored now: stop all processes of the program, and start it again"
	case roleLock:
		what, fix = "lock", "another process could open the database at the same time: stop all processes of the program, and start it again"
	}
	return fmt.Sprintf("sqlitestore: %s %s while the store had it open as its %s: %s", e.name.path, how, what, fix)
}

// Unwrap makes it store.ErrUnavailable.
func (e *lostError) Unwrap() error { return store.ErrUnavailable }

// saves reports whether closing the database may still save the changes in a
// log that has no name any more. A process that opened the database since has
// made another log.
func (e *lostError) saves() bool {
	return e.name.what == roleLog && errors.Is(e.cause, fs.ErrNotExist)
}

// hold opens a connection that stays open as long as the store, so that the
// files beside the database stay the same: SQLite removes them with the last
// connection. It creates the database, and no other connection does.
func (s *Store) hold() error {
	src := sourceOf(s.path, nil)
	src.create = !exists(s.path)
	return openError(s.path, patiently(context.Background(), busyWait, func() (err error) {
		s.holder, err = src.open()
		return err
	}))
}

// settleDown records the place of the database, now that all its files exist.
func (s *Store) settleDown(given string) error {
	// A connection that has read keeps the log and its index open.
	if err := patiently(context.Background(), busyWait, func() error {
		_, err := s.holder.number(getFloor)
		return err
	}); err != nil {
		return openError(s.path, err)
	}
	if err := s.place.note(given, s.path); err != nil {
		return unavailable(fmt.Errorf("opening %s: %w", s.path, err))
	}
	return nil
}

// giveUp closes a database that is not opened after all. It does not touch the
// log: it may be another program's.
func (s *Store) giveUp() error {
	err := s.writer.close()
	if s.holder == nil {
		return err
	}
	if !hasLog(s.path) {
		s.holder.tidyOnClose()
	}
	return errors.Join(err, s.holder.close())
}

// letGo closes the connection that holds the files, as the last one. If no
// other process has the database open, SQLite moves the log into it then and
// removes the log, by its name: so that name must not belong to another file.
func (s *Store) letGo() error {
	lost := s.place.check()
	var e *lostError
	switch {
	case lost == nil:
		s.holder.tidyOnClose()
	case errors.As(lost, &e) && e.saves():
		if err := s.holder.checkpoint(checkpointRestart); err == nil {
			lost = nil
		}
	}
	return errors.Join(lost, s.holder.close())
}
