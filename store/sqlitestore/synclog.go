package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// syncLog makes the content of the log durable. A process that was killed may
// have left a commit there before its sync. SQLite takes such a commit as
// complete, so it would be read and relied on until a power cut removes it.
//
// Closing a file by hand drops the locks that this process has on it. SQLite
// locks the database and the index of the log, never the log itself.
func syncLog(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the last owner has closed the database
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil && runtime.GOOS != "windows" { // which has no such sync
		err = syncFolder(filepath.Dir(path)) // and the name of the log
	}
	switch {
	case forbidden(err):
		return unwritable(path, err)
	case err != nil:
		return unavailable(fmt.Errorf("syncing the log of %s: %w", path, err))
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
