// Package sqlitestore keeps Stay's records in one SQLite file, without cgo. It
// is the store to begin with: there is nothing to install or run, and an
// applied write survives a crash of the process, a crash of the system and a
// power cut.
//
//	store, err := sqlitestore.Open("app.db")
//
// # Durability
//
// Each Commit call is one transaction in write-ahead-log mode, synced to the
// disk before it is answered, so its level is: durable on this disk (C5). The
// groups of a call share one sync. The disk must be a local one; network file
// systems lack the locks and the shared memory that SQLite needs.
//
// # Ownership
//
// A store is the sole owner of its file unless it was opened with [Shared]. The
// operating system enforces this: a lock on a file beside the database, whose
// name ends in ".lock", is held from Open to Close and ends with the process,
// however it ends. The lock file itself stays. Neither it nor the database, nor
// the files below, may be moved, replaced or deleted while a store is open: every
// call is answered with [store.ErrUnavailable] then, until the file is put back.
//
// The names of the lock and of SQLite's log come from the name of the database,
// so it must have exactly one. Symbolic links are followed, and folders may be
// mounted anywhere and more than once. A file that has hard links, or that is
// mounted as a single file instead of with its folder (which can be detected on
// Linux since 5.8), is refused.
//
// # Files
//
// Beside app.db there are app.db-wal and app.db-shm while the store is open.
// They are part of the database, so copy a database only after Close or with
// SQLite's own backup commands. Only its owner can read and write a new
// database (mode 0600), whatever files there are beside it. An existing
// database keeps its mode. The files beside it follow it: anyone who may use
// the database may use the log, and anyone who may write it may take the lock.
// No program may open and close the database by hand inside the process that
// uses it, because that drops SQLite's locks.
//
// # Changes by hand
//
// Other programs may read the database, and change its table records in SQL,
// also while stores have it open. Triggers then make revisions grow (C3), so
// processes that share the file see such a change like any other. A sole owner
// keeps states in memory and does not see changes: stop it first.
package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// maxValue bounds values and meta. SQLite accepts up to a billion bytes,
	// but a row is copied as a whole several times on its way.
	maxValue = 32 << 20

	// readers is how many loads run at the same time. Others wait for a turn: a
	// load is short, and each reader costs a page cache of 2 MiB.
	readers = 4

	// writerCache is the page cache of the connection that writes, in KiB. It
	// holds about 50,000 small records with their index; pages that it lacks
	// are read from the file again at every write. The other connections have
	// SQLite's 2 MiB, because each commit of the writer empties their caches.
	writerCache = 16 << 10

	// ownerWait is how long Open waits for the file unless an option says
	// otherwise.
	ownerWait = time.Second

	// busyWait bounds how long a call waits for another process.
	busyWait = 5 * time.Second
)

// A Store is a [store.Store], [store.Lister] and [store.Watcher] in an SQLite file. Its methods
// may be called concurrently. Writes take turns, and reads run at the same
// time.
//
// An error from SQLite rejects the groups in question, or fails the read, with
// [store.ErrUnavailable]. The store works again as soon as the cause is gone,
// for example when a full disk has space again; it need not be reopened.
type Store struct {
	path     string
	features store.Features

	place   place
	holder  *conn // keeps the files open and does nothing else
	writer  *pool // the one connection that writes
	readers *pool
	keeper  *pool // the one connection that checkpoints

	started   bool          // the database has a mark of this store; belongs to the holder of the writer
	base      *view         // the mark that the next change replaces; belongs to the holder of the writer
	unsaved   int64         // pages in the log; belongs to the holder of the writer
	due       int64         // the number of pages at which the log is moved; belongs to the holder of the writer
	wake      chan struct{} // wakes the checkpointer; holds one token
	stop      chan struct{}
	stopped   chan struct{}
	owned     *os.File // holds the lock of the file
	mu        sync.Mutex
	closed    bool
	watches   map[*watch]struct{}
	closing   chan struct{}  // closed when Close begins
	calls     sync.WaitGroup // under way; grows only under mu while not closed
	closeOnce sync.Once
	closeErr  error
}

type config struct {
	shared  bool
	maxSize int64
	wait    time.Duration
}

// An Option changes how [Open] opens a store.
type Option func(*config)

// Shared lets several stores, in this process or in others on the same machine,
// have the file open at the same time. All of them must use it. The store then
// does not declare SoleOwner, so records are read again at every use, and pages
// that show them follow within a tenth of a second what other stores write. A
// write waits up to five seconds for those of other stores.
func Shared() Option {
	return func(c *config) { c.shared = true }
}

// MaxSize bounds the database file to about this many bytes, rounded down to
// pages of 4 KiB; the log beside it is not counted. If there is no room for a
// group, it is rejected with [store.ErrUnavailable] until others are deleted.
// 0, the default, means that only the disk bounds it. With Shared, each store
// bounds only its own writes. A file that is already larger keeps its size.
func MaxSize(bytes int64) Option {
	return func(c *config) { c.maxSize = bytes }
}

// OwnerWait is how long [Open] waits for another owner of the file to close it.
// The default is one second; 0 or less does not wait at all. Set it longer if a
// new process starts while the old one is still finishing its work.
func OwnerWait(d time.Duration) Option {
	return func(c *config) { c.wait = d }
}

// Open opens the store in the file at path and creates the file if it does not
// exist; its folder must exist. It fails with [store.ErrUnavailable] if the
// file has another owner that does not close it within [OwnerWait]. It fails
// with a plain error that says what to do if the path is a DSN, or if the file
// is not a database, cannot be written, has a second name, belongs to another
// program, was written by a newer version of this package or has the log of
// another database beside it. Such a file is not changed.
func Open(path string, options ...Option) (*Store, error) {
	cfg := config{wait: ownerWait}
	for _, option := range options {
		option(&cfg)
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if cfg.maxSize != 0 && cfg.maxSize < minSize {
		return nil, fmt.Errorf("sqlitestore: MaxSize(%d) is below the minimum of %d bytes", cfg.maxSize, minSize)
	}
	given, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	path, err = resolve(given)
	if err != nil {
		return nil, err
	}
	if err = peek(path); err != nil {
		return nil, err
	}
	owned, err := own(path, cfg.shared, cfg.wait)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path,
		features: store.Features{
			Durable:   true,
			SoleOwner: !cfg.shared,
			Groups:    true,
			Expire:    true,
			List:      true,
			Watch:     true,
			MaxValue:  maxValue,
		},
		due:     logPages,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		watches: map[*watch]struct{}{},
		closing: make(chan struct{}),
		owned:   owned,
	}
	s.writer = newPool(1, sourceOf(path, &s.place, "max_page_count", cfg.maxSize/pageSize, "cache_size", -writerCache))
	s.readers = newPool(readers, sourceOf(path, &s.place))
	s.keeper = newPool(1, sourceOf(path, &s.place))
	if err = s.open(given); err != nil {
		return nil, errors.Join(err, s.giveUp(), owned.Close())
	}
	go s.checkpoints()
	return s, nil
}

// open opens the database when its lock is held.
func (s *Store) open(given string) error {
	for _, step := range []func() error{
		func() error { return syncLog(s.path) },
		s.hold,
		s.prepare,
		func() error { return s.settleDown(given) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Features returns what the store can do: everything except Immediate, and
// SoleOwner unless it was opened with [Shared]. MaxValue is 32 MiB, for Value
// and for Meta.
func (s *Store) Features() store.Features { return s.features }

// Close waits for calls under way, moves the log into the database and releases
// the file. Calls that begin later are answered with [store.ErrClosed]. Later
// calls of Close return what the first one returned. An error means that
// closing a file failed, and no applied write is lost, or that a file is not
// where it was: then Close changes no file that may belong to others.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.closing)
		s.calls.Wait()
		close(s.stop)
		<-s.stopped
		// The last connection to the file that closes moves the log into the
		// database. If that fails, for example for lack of space, the log stays
		// for the next Open.
		s.closeErr = errors.Join(s.readers.close(), s.keeper.close(), s.writer.close(), s.letGo(), s.owned.Close())
	})
	return s.closeErr
}

// begin counts a call as under way, unless the store is closed or its files are
// not where they were. If the error is nil, the caller must call calls.Done.
func (s *Store) begin() error {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.calls.Add(1)
	}
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("sqlitestore: %s: %w", s.path, store.ErrClosed)
	}
	if err := s.place.check(); err != nil {
		s.calls.Done()
		return err
	}
	return nil
}

// unavailable wraps the cause of a call that could not be done.
func unavailable(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("sqlitestore: %w: %w", store.ErrUnavailable, err)
}
