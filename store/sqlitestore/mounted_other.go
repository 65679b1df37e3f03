//go:build !linux

package sqlitestore

// mounted reports whether a file is mounted as a single file, which is possible
// only on Linux.
func mounted(string) bool { return false }
