//go:build unix

package sqlitestore

import (
	"errors"
	"os"
	"syscall"
)

// identity distinguishes a file from all others. No other file gets its numbers
// while it is open.
type identity struct{ device, inode uint64 }

// identify returns the identity of the file at a path.
func identify(path string) (identity, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Stat(path, &st)
		switch {
		case err == nil:
			return identity{uint64(st.Dev), uint64(st.Ino)}, nil
		case !errors.Is(err, syscall.EINTR):
			return identity{}, &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}
