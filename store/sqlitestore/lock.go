package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stay-go/stay/store"
)

func lockName(path string) string { return path + ".lock" }

// own takes the lock that says who has the file open: one store alone, or
// several that share it. The lock is held until the returned file is closed.
//
// The name of the lock comes from the name of the database, as the name of
// SQLite's log does, and inspect makes sure that there is only one name. A lock
// on the database itself would keep an owner by another name out while the
// first one lives, and afterwards let it open the database without the log that
// the first one left. (Nor may the database be opened by hand: closing it drops
// SQLite's locks.)
func own(path string, shared bool, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(lockName(path), os.O_RDWR|os.O_CREATE, newMode)
	switch {
	case forbidden(err):
		return nil, unwritable(path, err)
	case err != nil:
		return nil, fmt.Errorf("sqlitestore: opening the lock file of %s: %w", path, err)
	}
	if err = acquire(f, path, shared, wait); err == nil {
		err = adaptModes(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func acquire(f *os.File, path string, shared bool, wait time.Duration) error {
	// The system does not report when a lock is released, so own tries again and
	// again.
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(wait); ; <-again.C {
		held, err := tryLock(f, shared)
		switch {
		case held:
			return nil
		case err != nil:
			return fmt.Errorf("sqlitestore: locking %s: %w", f.Name(), err)
		case time.Until(end) <= 0:
			return inUse(path, shared)
		}
	}
}

func inUse(path string, shared bool) error {
	if shared {
		return fmt.Errorf("sqlitestore: %s is open with a sole owner: close it there, or open it with Shared there too: %w", path, store.ErrUnavailable)
	}
	return fmt.Errorf("sqlitestore: %s is already open, in this process or another: close it there, or open it with Shared everywhere: %w", path, store.ErrUnavailable)
}

// resolve returns an absolute path without symbolic links: the lock and the log
// are beside the file, so two names of one file must resolve to one path.
func resolve(abs string) (string, error) {
	// On Windows this also turns short names into long ones.
	target, err := filepath.EvalSymlinks(abs)
	switch {
	case err == nil:
		return target, inspect(target)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("sqlitestore: %w", err)
	}
	if info, e := os.Lstat(abs); e == nil && info.Mode()&os.ModeSymlink != 0 {
		return "", fmt.Errorf("sqlitestore: %s is a symbolic link whose target does not exist: %w", abs, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("sqlitestore: the folder %s does not exist: create it before opening %s", filepath.Dir(abs), filepath.Base(abs))
	}
	if err != nil {
		return "", fmt.Errorf("sqlitestore: %w", err)
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// inspect refuses a file that cannot be a database, and a database that has
// another name, except by symbolic links: under each name it would have a
// separate owner and a separate log.
func inspect(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("sqlitestore: %w", err)
	case info.IsDir():
		return fmt.Errorf("sqlitestore: %s is a folder: name a file in it", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("sqlitestore: %s is not a regular file: open a file that only Stay uses", path)
	}
	n, err := links(path)
	switch {
	case err != nil:
		return fmt.Errorf("sqlitestore: %w", err)
	case n > 1:
		return fmt.Errorf("sqlitestore: %s has %d names (hard links), but the names of its lock and its log follow from one: remove the other names, and keep the one under which it was open", path, n)
	case mounted(path):
		return fmt.Errorf("sqlitestore: %s is mounted as a single file, but its lock and its log must be in the same folder: mount the folder instead", path)
	}
	return nil
}

// newMode is the mode of a new database: it holds the keys that sign cookies.
const newMode fs.FileMode = 0o600

// adaptModes derives the mode of the files beside the database from the
// database's own mode, whoever created them: the log holds what the database
// holds, and anyone who can open the lock can keep everybody out. A database
// that does not exist yet gets the mode of the lock (see sourceOf).
func adaptModes(path string) error {
	mode := newMode
	info, err := os.Stat(path)
	switch {
	case err == nil:
		mode |= info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sqlitestore: %w", err)
	}
	writers := mode & 0o222
	err = errors.Join(
		adaptMode(lockName(path), writers|writers<<1),
		adaptMode(path+"-wal", mode),
		adaptMode(path+"-shm", mode),
	)
	if forbidden(err) {
		return unwritable(path, err)
	}
	return err
}

func adaptMode(name string, mode fs.FileMode) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Perm() != mode {
		err = os.Chmod(name, mode)
		if info.Mode().Perm()&^mode == 0 {
			err = nil // another user made it with a stricter mode: SQLite reports it if that is too strict
		}
	}
	if err != nil {
		return fmt.Errorf("sqlitestore: the mode of %s must be %v, because it follows the database's: %w", name, mode, err)
	}
	return nil
}
