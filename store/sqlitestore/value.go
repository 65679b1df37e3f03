package sqlitestore

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const pointerSize = int(unsafe.Sizeof(uintptr(0)))

// arg is an argument of a statement; the zero value is NULL.
type arg struct {
	kind  argKind
	n     int64
	bytes []byte
	text  string
}

type argKind uint8

const (
	nullArg argKind = iota
	integerArg
	bytesArg
	textArg
)

func integer(n int64) arg { return arg{kind: integerArg, n: n} }

// blob returns bytes as an argument; nil is NULL.
func blob(b []byte) arg {
	if b == nil {
		return arg{}
	}
	return arg{kind: bytesArg, bytes: b}
}

// key returns the bytes of a key as an argument.
func key(k string) arg { return arg{kind: textArg, text: k} }

// bind binds the arguments to a statement. SQLite does not copy them: they stay
// in the connection's memory until the next statement's arguments replace them.
func (c *conn) bind(stmt uintptr, args []arg) error {
	size := 0
	for i := range args {
		size += len(args[i].bytes) + len(args[i].text)
	}
	if !c.args.reserve(c.tls, size) {
		return c.failed(sqlite3.SQLITE_NOMEM)
	}
	at := 0
	for i := range args {
		a := &args[i]
		place := int32(i + 1)
		var rc int32
		switch a.kind {
		case nullArg:
			rc = sqlite3.Xsqlite3_bind_null(c.tls, stmt, place)
		case integerArg:
			rc = sqlite3.Xsqlite3_bind_int64(c.tls, stmt, place, a.n)
		default:
			n := copy(c.args.bytes[at:], a.bytes)
			n += copy(c.args.bytes[at:], a.text)
			rc = sqlite3.Xsqlite3_bind_blob(c.tls, stmt, place, c.args.address+uintptr(at), int32(n), static)
			at += n
		}
		if rc != sqlite3.SQLITE_OK {
			return c.failed(rc)
		}
	}
	return nil
}

// static is SQLITE_STATIC: the bytes stay in place while SQLite needs them.
const static = 0

// memory is a piece of memory that C code can read. The garbage collector does
// not know about it.
type memory struct {
	address uintptr
	bytes   []byte // the same as Go sees it
}

// usualMemory is how much a connection keeps for arguments. If a statement
// needs more, the next statement frees it.
const usualMemory = 64 << 10

// reserve makes room for size bytes and forgets what was there.
func (m *memory) reserve(tls *libc.TLS, size int) bool {
	if size = max(size, usualMemory); size == len(m.bytes) {
		return true
	}
	m.free(tls)
	m.address = sqlite3.Xsqlite3_malloc(tls, int32(size))
	if m.address == 0 {
		return false
	}
	m.bytes = libc.GoBytes(m.address, size)
	return true
}

func (m *memory) free(tls *libc.TLS) {
	sqlite3.Xsqlite3_free(tls, m.address)
	*m = memory{}
}

// rows are the results of a running statement.
//
//	r := c.query(...)
//	for r.next() { ... r.integer(0) ... }
//	err := r.close()
type rows struct {
	conn *conn
	stmt uintptr
	err  error
}

// next goes to the next row. It returns false at the end and after an error,
// which close returns.
func (r *rows) next() bool {
	if r.err != nil {
		return false
	}
	switch rc := sqlite3.Xsqlite3_step(r.conn.tls, r.stmt); rc {
	case sqlite3.SQLITE_ROW:
		return true
	case sqlite3.SQLITE_DONE:
		return false
	default:
		r.err = r.conn.failed(rc)
		return false
	}
}

// close ends the statement and returns its error. It may be called before the
// last row.
func (r *rows) close() error {
	// It returns the error of the last step, which is known.
	_ = sqlite3.Xsqlite3_reset(r.conn.tls, r.stmt)
	return r.err
}

// drain runs the statement to its end and closes it.
func (r *rows) drain() error {
	for r.next() {
	}
	return r.close()
}

// integer returns a column of the row, 0 if it is NULL.
func (r *rows) integer(column int32) int64 {
	return sqlite3.Xsqlite3_column_int64(r.conn.tls, r.stmt, column)
}

func (r *rows) null(column int32) bool {
	return sqlite3.Xsqlite3_column_type(r.conn.tls, r.stmt, column) == sqlite3.SQLITE_NULL
}

// view returns the bytes of a column, nil if it has none. They belong to SQLite
// and are valid until the next row.
func (r *rows) view(column int32) []byte {
	p := sqlite3.Xsqlite3_column_blob(r.conn.tls, r.stmt, column)
	if p == 0 {
		return nil
	}
	return libc.GoBytes(p, int(sqlite3.Xsqlite3_column_bytes(r.conn.tls, r.stmt, column)))
}

// blob returns a copy of the bytes of a column, nil if it has none.
func (r *rows) blob(column int32) []byte {
	return append([]byte(nil), r.view(column)...)
}

// text returns the bytes of a column as a string.
func (r *rows) text(column int32) string { return string(r.view(column)) }
