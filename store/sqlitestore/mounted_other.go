//go:build !linux

package sqlitestore

// mounted reports whether a file is mounted by itself, which only Linux does.
func mounted(string) bool { return false }
