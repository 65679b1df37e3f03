package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/stay-go/stay/store"
)

func lockName(path string) string { return path + ".lock" }

// own takes the lock that says who has the file open: alone or among others.
// The lock is held until the file returned is closed.
func own(path string, shared bool, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(lockName(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: the lock file beside %s: %w", path, err)
	}
	// Nothing tells when a lock is given up, so it is tried again and again.
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(wait); ; <-again.C {
		held, err := tryLock(f, shared)
		switch {
		case held:
			return f, nil
		case err != nil:
			err = fmt.Errorf("sqlitestore: locking %s: %w", f.Name(), err)
		case time.Until(end) <= 0:
			err = inUse(path, shared)
		default:
			continue
		}
		return nil, errors.Join(err, f.Close())
	}
}

func inUse(path string, shared bool) error {
	if shared {
		return fmt.Errorf("sqlitestore: %s is open with a sole owner: close it there, or open it with Shared there too: %w", path, store.ErrUnavailable)
	}
	return fmt.Errorf("sqlitestore: %s is already open, in this process or another: close it there, or open it with Shared everywhere: %w", path, store.ErrUnavailable)
}
