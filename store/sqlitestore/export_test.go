package sqlitestore

import (
	"context"
	"database/sql/driver"
)

const (
	PageSize    = pageSize
	LogPages    = logPages
	MaxLogPages = maxLogPages
)

// FailCommit makes the next COMMIT fail with one of SQLite's result codes,
// after it was done or instead of it.
func (s *Store) FailCommit(code int, done bool) error {
	c, err := s.writer.take(context.Background())
	if err != nil {
		return err
	}
	defer s.writer.put(c)
	stmt, _, err := c.prepared(commit, nil)
	if err != nil {
		return err
	}
	c.stmts[commit] = &failingStmt{Stmt: stmt, conn: c, err: codeError(code), done: done}
	return nil
}

type failingStmt struct {
	driver.Stmt
	conn *conn
	err  error
	done bool
}

func (f *failingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	f.conn.stmts[commit] = f.Stmt
	if f.done {
		if _, err := f.Stmt.(driver.StmtExecContext).ExecContext(ctx, args); err != nil {
			return nil, err
		}
	}
	return nil, f.err
}

type codeError int

func (e codeError) Error() string { return "injected" }
func (e codeError) Code() int     { return int(e) }

// ExpiredPlan returns how SQLite finds expired records.
func (s *Store) ExpiredPlan() (plan string, err error) {
	c, err := openConn(s.readers.dsn)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.close() }()
	rows, err := c.raw.(driver.QueryerContext).QueryContext(context.Background(),
		"EXPLAIN QUERY PLAN "+statementText[listExpired], []driver.NamedValue{{Ordinal: 1, Value: int64(1)}, {Ordinal: 2, Value: int64(1)}})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for rows.Next(row) == nil {
		text, _ := row[len(row)-1].(string)
		plan += text + "\n"
	}
	return plan, nil
}

// Pragma returns a setting of the connection that writes.
func (s *Store) Pragma(name string) (value driver.Value, err error) {
	c, err := s.writer.take(context.Background())
	if err != nil {
		return nil, err
	}
	defer s.writer.put(c)
	rows, err := c.raw.(driver.QueryerContext).QueryContext(context.Background(), "PRAGMA "+name, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	err = rows.Next(row)
	return row[0], err
}

// HoldCheckpoints keeps the log from being moved until release is called.
func (s *Store) HoldCheckpoints() (release func(), err error) {
	c, err := s.keeper.take(context.Background())
	return func() { s.keeper.put(c) }, err
}
