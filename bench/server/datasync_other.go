//go:build !linux

package main

import "os"

// datasync puts a file on the disk.
func datasync(file *os.File) error { return file.Sync() }
