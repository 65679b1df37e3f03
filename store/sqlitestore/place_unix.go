//go:build unix

package sqlitestore

import (
	"errors"
	"os"
	"syscall"
)

// identity tells a file from all others. The numbers of one that is open are
// not given to another.
type identity struct{ device, inode uint64 }

// identify returns which file a path leads to.
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
