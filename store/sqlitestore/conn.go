package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to the database and the statements prepared on it.
// It uses the driver without database/sql in between: the store manages its
// few connections itself, and must be sure that no context interrupts a
// transaction half way. One goroutine uses a conn at a time.
type conn struct {
	raw   driver.Conn
	stmts [statements]driver.Stmt
	args  []driver.NamedValue // reused from call to call
	row   []driver.Value      // likewise
	bytes []byte              // likewise, see key
}

// dsn returns what the driver opens path by, with further settings of the
// connection in pairs of name and value; a value of 0 leaves the setting out.
func dsn(path string, settings ...any) string {
	file := filepath.ToSlash(path)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // a drive letter
	}
	// SQLite creates the database, and so the files beside it, with the mode
	// of the lock file. Its parser does not read "+" as a space.
	mode := strings.ReplaceAll(url.QueryEscape(lockName(path)), "+", "%20")
	var b strings.Builder
	b.WriteString("file://" + (&url.URL{Path: file}).EscapedPath() + "?modeof=" + mode)
	pragma := func(name string, value any) { fmt.Fprintf(&b, "&_pragma=%s(%v)", name, value) }
	pragma("synchronous", "FULL")
	// Without it, a sync on macOS does not reach the disk. No effect elsewhere.
	pragma("fullfsync", 1)
	// Checkpoints inside a commit would make some commits much slower.
	pragma("wal_autocheckpoint", 0)
	pragma("journal_size_limit", maxLogPages*pageSize)
	for i := 0; i+1 < len(settings); i += 2 {
		if settings[i+1] != int64(0) {
			pragma(settings[i].(string), settings[i+1])
		}
	}
	return b.String()
}

func openConn(dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw}, nil
}

// close finalizes the statements and closes the connection, which rolls back
// what it had not committed.
func (c *conn) close() error {
	var errs []error
	for _, stmt := range c.stmts {
		if stmt != nil {
			// What it reports is the error of the statement's last run.
			_ = stmt.Close()
		}
	}
	errs = append(errs, c.raw.Close())
	return errors.Join(errs...)
}

// key returns a key as an argument for the next statement. The driver copies
// arguments, so that one buffer serves all keys.
func (c *conn) key(key string) []byte {
	c.bytes = append(c.bytes[:0], key...)
	return c.bytes
}

func (c *conn) prepared(id statement, args []driver.Value) (driver.Stmt, []driver.NamedValue, error) {
	if c.stmts[id] == nil {
		stmt, err := c.raw.Prepare(statementText[id])
		if err != nil {
			return nil, nil, err
		}
		c.stmts[id] = stmt
	}
	c.args = c.args[:0]
	for i, arg := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return c.stmts[id], c.args, nil
}

// exec runs a statement to its end and returns how many rows it changed.
func (c *conn) exec(id statement, args ...driver.Value) (int64, error) {
	stmt, named, err := c.prepared(id, args)
	if err != nil {
		return 0, err
	}
	// The driver interrupts a statement only for a context that can end.
	result, err := stmt.(driver.StmtExecContext).ExecContext(context.Background(), named)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query calls each with every row that a statement returns. The slice is
// reused for the next row, the bytes in it are not.
func (c *conn) query(id statement, each func(row []driver.Value) error, args ...driver.Value) (err error) {
	stmt, named, err := c.prepared(id, args)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	defer func() {
		// A statement that was not run to its end resets without an error.
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	columns := len(rows.Columns())
	if cap(c.row) < columns {
		c.row = make([]driver.Value, columns)
	}
	row := c.row[:columns]
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// number runs a statement that returns one row and returns its first column.
func (c *conn) number(id statement, args ...driver.Value) (n int64, err error) {
	err = c.query(id, func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	}, args...)
	return n, err
}

// rollback ends a transaction if there is one. It reports whether the
// connection is fit for further use.
func (c *conn) rollback() bool {
	// The error of a transaction that SQLite rolled back by itself cannot be
	// told from others, so such a connection counts as unfit too.
	_, err := c.exec(rollback)
	return err == nil
}

// pagesWritten returns how many pages the connection has written.
func (c *conn) pagesWritten() int64 {
	n, _, err := c.raw.(sqlite.DBStatus).Status(sqlite.DBStatusCacheWrite, true)
	if err != nil {
		return 0
	}
	return int64(n)
}

// code returns SQLite's extended result code of an error, 0 if it has none.
func code(err error) int {
	if err == nil {
		return 0 // without the allocation below
	}
	var e interface{ Code() int } // *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func busy(err error) bool { return code(err)&0xff == sqlite3.SQLITE_BUSY }

// patiently repeats f while somebody is in its way, for a time and until ctx
// ends.
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

// pool holds connections that callers borrow. A slot is nil when its
// connection is yet to be opened, at first or after it failed.
type pool struct {
	dsn   string
	slots chan *conn
}

func newPool(size int, dsn string) *pool {
	p := &pool{dsn: dsn, slots: make(chan *conn, size)}
	for range size {
		p.slots <- nil
	}
	return p
}

// take borrows a connection; the caller gives it back by put or drop.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-p.slots:
		if c != nil {
			return c, nil
		}
		c, err := openConn(p.dsn)
		if err != nil {
			p.slots <- nil
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pool) put(c *conn) { p.slots <- c }

// drop closes a connection that failed; the next caller opens another.
func (p *pool) drop(c *conn) {
	_ = c.close() // it is given up because it does not work
	p.slots <- nil
}

// close closes every connection. Nobody may hold or take one any more.
func (p *pool) close() error {
	var errs []error
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
