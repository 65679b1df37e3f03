package sqlitestore

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// readRaw reads the database file itself, without the log, and returns fewer
// bytes at the end of the file. It reads through SQLite's descriptor: opening
// and closing the file by hand would drop the locks that this process has on
// it.
func (c *conn) readRaw(offset int64, size int) ([]byte, error) {
	out := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, 0, sqlite3.SQLITE_FCNTL_FILE_POINTER, out); rc != sqlite3.SQLITE_OK {
		return nil, c.failed(rc)
	}
	file := libc.AtomicLoadPUintptr(out)
	buffer := c.tls.Alloc(size)
	defer c.tls.Free(size)
	methods := libc.AtomicLoadPUintptr(file) // the first field of every file
	xRead := libc.AtomicLoadPUintptr(methods + unsafe.Offsetof(sqlite3.Tsqlite3_io_methods{}.FxRead))
	xFileSize := libc.AtomicLoadPUintptr(methods + unsafe.Offsetof(sqlite3.Tsqlite3_io_methods{}.FxFileSize))

	length := c.tls.Alloc(8)
	defer c.tls.Free(8)
	sizeOf := *(*func(*libc.TLS, uintptr, uintptr) int32)(unsafe.Pointer(&struct{ uintptr }{xFileSize}))
	if rc := sizeOf(c.tls, file, length); rc != sqlite3.SQLITE_OK {
		return nil, c.failed(rc)
	}
	size = int(max(0, min(int64(size), libc.AtomicLoadPInt64(length)-offset)))
	if size == 0 {
		return nil, nil
	}
	read := *(*func(*libc.TLS, uintptr, uintptr, int32, int64) int32)(unsafe.Pointer(&struct{ uintptr }{xRead}))
	if rc := read(c.tls, file, buffer, int32(size), offset); rc != sqlite3.SQLITE_OK {
		return nil, c.failed(rc)
	}
	return append([]byte(nil), libc.GoBytes(buffer, size)...), nil
}
