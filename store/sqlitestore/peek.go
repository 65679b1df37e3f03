package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A header has the fields at the beginning of a database file.
type header struct {
	size int // of the read bytes; 0 = the file is empty

	valid       bool   // it is a SQLite database
	schema      uint32 // grows with every change of tables, indexes and triggers
	application uint32 // the application id
}

const headerSize = 100

// header reads the header of the database file itself, without the log.
func (c *conn) header() (header, error) {
	b, err := c.readRaw(0, headerSize)
	if err != nil || len(b) < headerSize {
		return header{size: len(b)}, err
	}
	return header{
		size:        len(b),
		valid:       bytes.HasPrefix(b, []byte("SQLite format 3\x00")),
		schema:      binary.BigEndian.Uint32(b[40:]),
		application: binary.BigEndian.Uint32(b[68:]),
	}, nil
}

// peek refuses a file that is certainly not ours, and one that may not be
// written, before Open creates files beside it. It takes no lock and changes
// nothing. Open checks the file once more, log included, when it holds the
// lock.
func peek(path string) error {
	if err := inspectBeside(path); err != nil || !exists(path) {
		return err
	}
	c, err := source{path: path}.open()
	if err != nil {
		return openError(path, err)
	}
	h, err := c.header()
	if err = errors.Join(err, c.close()); err != nil {
		return openError(path, err)
	}
	switch {
	case h.size == 0 || h.application == applicationID:
		return nil
	case !h.valid:
		if hasLog(path) || hasJournal(path) {
			return nil // after a power cut; the log or the journal repairs it
		}
		return notADatabase(path)
	case h.application != 0 || h.schema != 0:
		return anotherPrograms(path)
	}
	return nil // the tables may still be only in the log
}

// exists reports whether there is a file. If the file may not be seen, opening
// it returns the better error.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// hasLog reports whether there is a log with something in it.
func hasLog(path string) bool {
	var magic [4]byte
	return begins(path+"-wal", magic[:]) && binary.BigEndian.Uint32(magic[:])&^1 == 0x377f0682
}

// hasJournal reports whether there is a rollback journal with something in it:
// SQLite writes the first page of a new database with one.
func hasJournal(path string) bool {
	var magic [8]byte
	return begins(path+"-journal", magic[:]) && binary.BigEndian.Uint64(magic[:]) == 0xd9d505f920a163d7
}

// begins reads the beginning of a file into b, and reports whether there is so
// much. SQLite has no locks on logs and journals, so they may be opened by hand.
func begins(name string, b []byte) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	_, err = io.ReadFull(f, b)
	return err == nil
}

// inspectBeside refuses anything that is not a regular file under the name of a
// file of the database. Through a link, SQLite or the lock would change another
// file.
func inspectBeside(path string) error {
	for _, name := range []string{lockName(path), path + "-wal", path + "-shm", path + "-journal"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("sqlitestore: %w", err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("sqlitestore: %s is not a regular file, but the database %s needs a file of that name: remove it", name, path)
		}
	}
	return nil
}

func notADatabase(path string) error {
	return fmt.Errorf("sqlitestore: %s is not a SQLite database: open a file that only Stay uses", path)
}

func anotherPrograms(path string) error {
	return fmt.Errorf("sqlitestore: %s is a database of another program: open a file that only Stay uses", path)
}

func unwritable(path string, err error) error {
	return fmt.Errorf("sqlitestore: %s cannot be opened for writing: the file, its folder and the files beside it must be writable: %w", path, err)
}

// forbidden reports whether an error means that a file may not be written.
func forbidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
