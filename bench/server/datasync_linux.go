package main

import (
	"errors"
	"os"
	"syscall"
)

// datasync puts the content of a file on the disk, and not the time of its change,
// which a sync of all would add.
func datasync(file *os.File) error {
	for {
		err := syscall.Fdatasync(int(file.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
