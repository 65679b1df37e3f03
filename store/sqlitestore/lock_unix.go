//go:build unix

package sqlitestore

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock if it is free. The lock belongs to the open file, so
// two opens in one process exclude each other as well, and the system frees it
// when the process ends.
func tryLock(f *os.File, shared bool) (bool, error) {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}
