package sqlitestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite applies a log to any database beside it. If a backup has replaced the
// database and the log of a crash is still there, SQLite undoes the restore, or
// reads a mixture of both. So database and log have a mark, from which Open can
// tell that they do not belong together.
//
// The mark is a row that names itself and the mark before it. A new mark
// replaces one only if that one is certainly in the database file: it was read,
// then all of the log was moved into the file, and it is still the same. So the
// file has one of the two marks that the row in the log names, whatever has
// reached the file since and however a crash left it. A store sets a mark
// before its first change and moves it into the file at once, so that the file
// differs from older copies. It sets another mark with the first change after
// the log begins from its start again, so that the log has the row.
//
// The row also has the schema cookie of the database. Copies that SQLite makes
// have a different one.
//
// A log without the row, for example from an earlier version, is accepted.
type mark struct {
	before, self uint64
	schema       uint32 // what it was; it may be greater by now
}

const (
	createMark = `CREATE TABLE IF NOT EXISTS stay_log (
		id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
		mark TEXT    NOT NULL
	)`
	fillMark = `INSERT INTO stay_log (id, mark) VALUES (1, '%s') ON CONFLICT DO NOTHING`
	setMark  = `UPDATE stay_log SET mark = '%s' WHERE mark = '%s'`
	findMark = `SELECT rootpage FROM sqlite_schema WHERE name = 'stay_log'`
	getMark  = `SELECT mark FROM stay_log`
	getPages = `PRAGMA page_size`
	schemaOf = `PRAGMA schema_version`
)

// markPrefix finds a row in a page. All rows have the same length, so that a
// new row replaces the old one byte by byte, and a page that is written in part
// has one or the other.
const (
	markPrefix = "stay log "
	markFormat = markPrefix + "%016x %016x %08x"
	markLength = len(markPrefix) + 16 + 1 + 16 + 1 + 8 + 1 + 8
)

func (m mark) String() string {
	text := fmt.Sprintf(markFormat, m.before, m.self, m.schema)
	return fmt.Sprintf("%s %08x", text, crc32.ChecksumIEEE([]byte(text)))
}

// parseMark finds a mark in a row or a page.
func parseMark(b []byte) (m mark, ok bool) {
	at := bytes.Index(b, []byte(markPrefix))
	if at < 0 || len(b) < at+markLength {
		return mark{}, false
	}
	text := string(b[at : at+markLength])
	_, err := fmt.Sscanf(text, markFormat, &m.before, &m.self, &m.schema)
	return m, err == nil && m.String() == text
}

// next returns a mark that follows another one.
func (m mark) next(schema uint32) mark {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return mark{before: m.self, self: binary.BigEndian.Uint64(random[:]), schema: schema}
}

// view is the mark as a connection sees it, through the log.
type view struct {
	mark   mark
	marked bool
	root   int64  // the page of the row; 0 = there is no table
	schema uint32 // of the database
}

func (c *conn) view() (v view, err error) {
	err = c.snapshot(func() error {
		schema, err := c.one(schemaOf)
		if err != nil {
			return err
		}
		v.schema = uint32(schema.n)
		root, err := c.one(findMark)
		if v.root = root.n; err != nil || v.root == 0 {
			return err
		}
		row, err := c.one(getMark)
		v.mark, v.marked = parseMark([]byte(row.text))
		return err
	})
	return v, err
}

// one runs a statement that is not needed again and returns the first column of
// its first row.
func (c *conn) one(text string) (value arg, err error) {
	stmt, err := c.prepare(text, 0)
	if err != nil {
		return value, err
	}
	defer c.finalize(stmt)
	r := rows{conn: c, stmt: stmt}
	if r.next() {
		value.n, value.text = r.integer(0), r.text(0)
	}
	return value, r.close()
}

// ownLog returns an error if the log certainly does not belong to the database.
func (c *conn) ownLog(path string) error {
	if !hasLog(path) {
		return nil
	}
	const looks = 10 // others may be writing
	for range looks {
		v, err := c.view()
		if err != nil || !v.marked {
			return err
		}
		belongs, err := c.belongs(v)
		if err != nil || belongs {
			return err
		}
		switch again, err := c.view(); {
		case err != nil:
			return err
		case again == v:
			return fmt.Errorf("sqlitestore: %s-wal is the log of another database than %s, which replaced it: "+
				"to use %s as it is, remove %s-wal and %s-shm while no program has it open; otherwise put back the database that the log belongs to",
				path, path, path, path, path)
		}
	}
	return nil
}

// belongs reports whether the log of the view may belong to the database file.
func (c *conn) belongs(v view) (bool, error) {
	h, err := c.header()
	if err != nil || !h.valid || h.schema == 0 {
		return err == nil, err // after a power cut, or if everything is still in the log
	}
	if h.schema < v.mark.schema || h.schema > v.schema {
		return false, nil
	}
	size, err := c.one(getPages)
	if err != nil {
		return false, err
	}
	page, err := c.readRaw((v.root-1)*size.n, int(size.n))
	if err != nil {
		return false, err
	}
	m, ok := parseMark(page)
	return !ok || m.self == v.mark.self || m.self == v.mark.before, nil
}

// markStart marks the database before the first change that a store makes in
// it, and returns the connection, nil if it broke. The mark is optional: on a
// full disk, or while others write, there is none.
func (s *Store) markStart(ctx context.Context, c *conn) *conn {
	s.started = true
	base := s.moveLog(ctx)
	if base == nil || c == nil {
		return c
	}
	switch err := c.markNow(base); {
	case err == nil:
		s.base = s.moveLog(ctx)
	case !c.rollback():
		_ = c.close()
		return nil
	}
	return c
}

// markNow sets a mark in a separate transaction.
func (c *conn) markNow(base *view) error {
	if _, err := c.exec(beginWrite); err != nil {
		return err
	}
	set := func() error { return c.setMark(base) }
	if base.root == 0 {
		set = func() error { return c.addMark(base.schema) }
	}
	if err := set(); err != nil {
		return err
	}
	_, err := c.exec(commit)
	return err
}

// addMark makes the table with the first mark, in a transaction.
func (c *conn) addMark(schema uint32) error {
	if err := c.run(createMark); err != nil {
		return err
	}
	return c.run(fmt.Sprintf(fillMark, mark{}.next(schema)))
}

// moveLog moves all of the log into the database file and returns the mark that
// was seen before, which the file has afterwards; nil if something fails.
func (s *Store) moveLog(ctx context.Context) *view {
	seen := s.view(ctx)
	c, err := s.keeper.take(ctx)
	if err != nil {
		return nil
	}
	defer s.keeper.put(c)
	if err := c.checkpoint(checkpointRestart); err != nil {
		return nil
	}
	return seen
}

// setMark replaces the mark that was seen, if it is still there. It is called
// in a transaction. It writes page 1 too, so that the log names the tables.
func (c *conn) setMark(base *view) error {
	if !base.marked {
		return nil
	}
	if err := c.run(fmt.Sprintf(setMark, base.mark.next(base.schema), base.mark)); err != nil {
		return err
	}
	if sqlite3.Xsqlite3_changes(c.tls, c.db) == 0 {
		return nil
	}
	_, err := c.exec(setVersion)
	return err
}

// view returns the mark as the connection sees it, nil if it cannot be read.
func (s *Store) view(ctx context.Context) *view {
	c, err := s.keeper.take(ctx)
	if err != nil {
		return nil
	}
	defer s.keeper.put(c)
	v, err := c.view()
	if err != nil {
		return nil
	}
	return &v
}
