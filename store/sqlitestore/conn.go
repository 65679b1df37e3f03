package sqlitestore

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/libc"
	// It prepares SQLite for this platform.
	_ "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to the database and the statements prepared on it. It
// calls SQLite's C interface and not the driver for database/sql. That driver
// would take a third of the time of a small commit: it copies every argument
// twice, makes several calls per argument, each of them under a lock, and
// allocates. One goroutine uses a conn at a time, so SQLite need not lock it,
// and one statement runs on it at a time.
type conn struct {
	tls   *libc.TLS // the stack of the C code
	db    uintptr
	stmts [statements]uintptr
	args  memory // the memory that the arguments of the running statement point to

	failCommit func() error // set by a test, and called instead of the next COMMIT
}

// source opens connections.
type source struct {
	path    string
	place   *place // where the database must be, if that is known yet
	create  bool   // the database if it does not exist
	pragmas []string
}

// sourceOf returns the source of the database at path, with further settings
// of the connections in pairs of name and value; a value of 0 leaves the
// setting out.
func sourceOf(path string, place *place, settings ...any) source {
	src := source{path: path, place: place}
	pragma := func(name string, value any) {
		src.pragmas = append(src.pragmas, fmt.Sprintf("PRAGMA %s = %v", name, value))
	}
	pragma("synchronous", "FULL")
	// Without it, a sync on macOS does not reach the disk. It has no effect
	// elsewhere.
	pragma("fullfsync", 1)
	// Checkpoints inside a commit would make some commits much slower.
	pragma("wal_autocheckpoint", 0)
	pragma("journal_size_limit", maxLogPages*pageSize)
	for i := 0; i+1 < len(settings); i += 2 {
		if settings[i+1] != int64(0) {
			pragma(settings[i].(string), settings[i+1])
		}
	}
	return src
}

func (src source) uri() string {
	file := filepath.ToSlash(src.path)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // a drive letter
	}
	uri := "file://" + (&url.URL{Path: file}).EscapedPath()
	if !src.create {
		return uri // with a mode SQLite would change that of an empty file
	}
	// SQLite creates the database with the mode of the lock file, which is right
	// by then (see adaptModes), and the files beside it with the mode of the
	// database. Its parser does not read "+" as a space.
	return uri + "?modeof=" + strings.ReplaceAll(url.QueryEscape(lockName(src.path)), "+", "%20")
}

// open opens a connection. If the database's files are open already, it must be
// the same database: opening another one would make files beside it.
func (src source) open() (*conn, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	c := &conn{tls: libc.NewTLS()}
	err := c.connect(src)
	if err == nil {
		err = src.check()
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (src source) check() error {
	if src.place == nil {
		return nil
	}
	return src.place.check()
}

func (c *conn) connect(src source) error {
	name, err := libc.CString(src.uri())
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	var flags int32 = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_URI
	if src.create {
		flags |= sqlite3.SQLITE_OPEN_CREATE
	}
	db := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, db, flags, 0)
	c.db = libc.AtomicLoadPUintptr(db) // set even after most errors
	if rc == sqlite3.SQLITE_OK {
		rc = sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	}
	if rc == sqlite3.SQLITE_OK {
		rc = c.configure(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0) // they are for people who change records by hand
	}
	if rc == sqlite3.SQLITE_OK {
		rc = c.configure(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1) // see Store.letGo
	}
	if rc == sqlite3.SQLITE_OK && sqlite3.Xsqlite3_db_readonly(c.tls, c.db, 0) == 1 {
		rc = sqlite3.SQLITE_READONLY // which is enough for SQLite
	}
	if rc != sqlite3.SQLITE_OK {
		return c.failed(rc)
	}
	for _, pragma := range src.pragmas {
		if err := c.run(pragma); err != nil {
			return err
		}
	}
	return nil
}

// configure switches a setting of the connection on or off.
func (c *conn) configure(setting, on int32) int32 {
	const size = 16 // two arguments: the value, and where to return it (nowhere)
	args := c.tls.Alloc(size)
	defer c.tls.Free(size)
	return sqlite3.Xsqlite3_db_config(c.tls, c.db, setting, libc.VaList(args, on, uintptr(0)))
}

// tidyOnClose makes SQLite move the log into the database and remove it when
// the connection closes, if no other connection has the database open.
func (c *conn) tidyOnClose() {
	c.configure(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
}

// close finalizes the statements and closes the connection, which rolls back
// what it had not committed.
func (c *conn) close() error {
	for _, stmt := range c.stmts {
		c.finalize(stmt)
	}
	var err error
	if rc := sqlite3.Xsqlite3_close(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		err = c.failed(rc)
	}
	c.args.free(c.tls)
	c.tls.Close()
	return err
}

// prepare compiles the text of a statement. The caller must finalize the
// statement.
func (c *conn) prepare(text string, flags uint32) (uintptr, error) {
	sql, err := libc.CString(text)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(c.tls, sql)
	stmt := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, sql, -1, flags, stmt, 0); rc != sqlite3.SQLITE_OK {
		return 0, c.failed(rc)
	}
	return libc.AtomicLoadPUintptr(stmt), nil
}

func (c *conn) finalize(stmt uintptr) {
	// It returns the error of the statement's last run.
	_ = sqlite3.Xsqlite3_finalize(c.tls, stmt)
}

// run runs a statement that is not needed again and drops its rows.
func (c *conn) run(text string) error {
	stmt, err := c.prepare(text, 0)
	if err != nil {
		return err
	}
	r := rows{conn: c, stmt: stmt}
	err = r.drain()
	c.finalize(stmt)
	return err
}

// query runs a statement. The caller closes the rows before the next one.
func (c *conn) query(id statement, args ...arg) rows {
	r := rows{conn: c, stmt: c.stmts[id]}
	if r.stmt == 0 {
		if r.stmt, r.err = c.prepare(statementText[id], sqlite3.SQLITE_PREPARE_PERSISTENT); r.err != nil {
			return r
		}
		c.stmts[id] = r.stmt
	}
	r.err = c.bind(r.stmt, args)
	return r
}

// exec runs a statement to its end and returns how many rows it changed.
func (c *conn) exec(id statement, args ...arg) (int64, error) {
	r := c.query(id, args...)
	if err := r.drain(); err != nil {
		return 0, err
	}
	return int64(sqlite3.Xsqlite3_changes(c.tls, c.db)), nil
}

// number runs a statement that returns one row and returns its first column.
func (c *conn) number(id statement, args ...arg) (n int64, err error) {
	r := c.query(id, args...)
	if r.next() {
		n = r.integer(0)
	}
	return n, r.close()
}

// commit ends a transaction. When it returns nil, the transaction is on disk.
func (c *conn) commit() error {
	if fail := c.failCommit; fail != nil {
		c.failCommit = nil
		return fail()
	}
	_, err := c.exec(commit)
	return err
}

// rollback ends a transaction if there is one. It reports whether the
// connection can be used again.
func (c *conn) rollback() bool {
	// When SQLite has rolled a transaction back by itself, the error looks like
	// any other, so such a connection counts as unusable too.
	_, err := c.exec(rollback)
	return err == nil
}

// pagesWritten returns how many pages the connection has written since the last
// call.
func (c *conn) pagesWritten() int64 {
	const size = 8 // two numbers of 32 bits
	p := c.tls.Alloc(size)
	defer c.tls.Free(size)
	if rc := sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, p, p+4, 1); rc != sqlite3.SQLITE_OK {
		return 0
	}
	return int64(libc.AtomicLoadPInt32(p))
}
