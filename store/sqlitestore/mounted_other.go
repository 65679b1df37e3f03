//go:build !linux

package sqlitestore

// mounted reports whether a file is mounted by itself, which is possible only
// on Linux.
func mounted(string) bool { return false }
