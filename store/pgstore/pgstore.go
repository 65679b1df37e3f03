// Package pgstore keeps Stay's records in PostgreSQL, version 13 or newer, where
// any number of processes on any number of machines share them.
//
//	store, err := pgstore.Open(ctx, "postgres://app:secret@db.example.com/app?sslmode=verify-full")
//
// [New] uses a pool of connections that the program has already. Either may lead to
// a proxy that lends a connection to each transaction, such as PgBouncer.
//
// Set sslmode=verify-full if others can reach the network in between: pgx's default
// accepts any server, and goes on without TLS if that has none.
//
// # Tables
//
// The tables stay_records and stay_meta and the sequence stay_rev are created by
// the first Open, in the first schema of the search_path that exists. A newer
// version of this package changes them when it opens them, while other processes
// wait, and an older one then refuses them. To choose a schema, set search_path
// in the URL. Several schemas of one database are several stores.
//
// Once they exist, a role is enough that may SELECT, INSERT, UPDATE and DELETE in
// the tables, and SELECT and UPDATE the sequence.
//
// Other programs may read the tables. Whoever changes a record by hand has to
// give it a higher rev, or programs do not notice.
//
// # Durability
//
// What is applied is on the disk of the server (C5), also if the server turns
// synchronous_commit off by default. A server with fsync off does not keep this
// promise. Whether it is on the disk of a standby too is decided by
// synchronous_standby_names: after a failover to a standby without it, the last
// writes may be missing.
//
// A group that waits for a standby which does not answer is [store.Unknown] after
// an attempt, and also if the wait is cancelled on the server, although the server
// then says that it has committed. Until it is sent again and answered, others may
// read what the standby lacks. On a pool given to [New], a wait that somebody
// cancels on the server cannot be told from success.
//
// # Revisions
//
// A revision is the timeline of the server in the high bits, and a sequence below.
// A failover and a recovery to a point in time begin a new timeline, so no
// revision is given twice (C3). If the tables come from a dump or from logical
// replication, the next Open moves the sequence on. What this package cannot
// notice is a copy of the server's files that is put back and started as it is:
// restart all programs then.
//
// # Limits
//
//   - The server's clock decides until when a write that was held up on its way may
//     still begin (C6). If the clock is set back, a write that is on its way at that
//     time may begin as much later.
//   - A group with more than about 5,000 new records is rejected by a server with
//     its default max_locks_per_transaction.
//   - Reads go to the primary. Connections to a standby are refused.
//   - Behind a proxy the clocks of a primary and of the standby that takes over
//     must agree to within a second, as the server of a connection may change.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/store"
)

const (
	// maxValue bounds values and meta. PostgreSQL takes up to 1 GB, but a value
	// of 64 MiB takes longer than an attempt.
	maxValue = 16 << 20

	// attempt is how long one sending of a commit may take unless an option says
	// otherwise.
	attempt = 2 * time.Second

	// maxRead is how long a read may take, whatever its caller says.
	maxRead = 30 * time.Second
)

// A Store is a [store.Store], [store.Lister] and [store.Watcher] in a PostgreSQL database. Its
// methods may be called concurrently.
//
// If the server cannot be reached or refuses a statement, groups are rejected
// and reads fail with [store.ErrUnavailable]. Groups are [store.Unknown] if they
// were sent and no answer came. The store works again as soon as the server
// does; it need not be reopened.
type Store struct {
	pool    *pgxpool.Pool
	foreign bool    // the pool belongs to the user, and so do its settings
	proxied bool    // a proxy lends a connection to each transaction
	local   *locals // nil if the connections have the settings
	attempt time.Duration
	doubts  doubts

	announcer   *announcer
	heartbeat   time.Duration
	watchURL    string
	watchConfig *pgx.ConnConfig // where Watch listens; nil: where the pool leads

	closing context.Context // ends when Close begins
	close   context.CancelFunc

	mu        sync.Mutex
	closed    bool
	calls     sync.WaitGroup // under way; grows only under mu while not closed
	closeOnce sync.Once
}

// An Option changes how [Open] and [New] open a store.
type Option func(*Store)

// Attempt bounds how long one sending of a commit may take, and how long a read
// waits before it is sent again. The default is two seconds; large values get
// more. Set it longer if the database is far away and slow.
func Attempt(d time.Duration) Option {
	return func(s *Store) { s.attempt = d }
}

// Open opens the store in the database that url names, as a URL or as
// "key=value" pairs, with connections of its own. The url takes what pgx takes,
// such as sslmode, search_path, pool_max_conns and several hosts, of which the
// primary is chosen. Errors do not contain the password.
//
// If the url leads to a proxy that lends connections, Open notices: it makes its
// settings, and those of the url, for each transaction, and prepares no statements.
//
// It fails with [store.ErrUnavailable] if the server cannot be reached, and with
// a plain error if the url cannot be parsed or the tables were written by a newer
// version of this package.
func Open(ctx context.Context, url string, options ...Option) (*Store, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	return openPool(ctx, cfg, options)
}

// New opens the store in the database of a pool that the program uses for other
// things too. It leaves the settings of the connections as they are: what a
// commit needs is set for its transaction. Close does not close the pool. A pool
// that leads to a proxy must prepare no statements (default_query_exec_mode=exec),
// unless the proxy can. Announcements for [Store.Watch] go through one more
// connection, which is made as the pool's are but for AfterConnect. The errors are
// those of [Open].
func New(ctx context.Context, pool *pgxpool.Pool, options ...Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	s.pool, s.foreign = pool, true
	s.local = newLocals(planning, transactionSettings)
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		s.proxied, err = proxied(ctx, c.Conn())
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// openPool opens a store with a pool of its own.
func openPool(ctx context.Context, cfg *pgxpool.Config, options []Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	if err := s.configure(ctx, cfg); err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, unavailable(err)
	}
	if err := s.prepare(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

func newStore(options []Option) (*Store, error) {
	s := &Store{attempt: attempt, heartbeat: heartbeat, announcer: newAnnouncer()}
	s.closing, s.close = context.WithCancel(context.Background())
	for _, option := range options {
		option(s)
	}
	if s.attempt <= 0 {
		return nil, fmt.Errorf("pgstore: Attempt(%v) must be positive", s.attempt)
	}
	if s.watchURL != "" {
		cfg, err := parse(s.watchURL)
		if err != nil {
			return nil, err
		}
		s.watchConfig = cfg.ConnConfig
		findPrimary(s.watchConfig)
	}
	return s, nil
}

// Features returns what the store can do: everything except SoleOwner and
// Immediate, and Watch behind a proxy without [WatchURL]. MaxValue is 16 MiB, for
// Value and for Meta.
func (s *Store) Features() store.Features {
	return store.Features{Durable: true, Groups: true, Expire: true, List: true, Watch: s.watches(), MaxValue: maxValue}
}

// Close waits for calls under way and closes the connections, unless they belong
// to the pool of [New]. Calls that begin later are answered with
// [store.ErrClosed]. The error is always nil.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.close()
		s.calls.Wait()
		s.announcer.stop()
		if !s.foreign {
			s.pool.Close()
		}
	})
	return nil
}

// begin counts a call as under way, unless the store is closed. If the error is
// nil, the caller must call calls.Done.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("pgstore: %w", store.ErrClosed)
	}
	s.calls.Add(1)
	return nil
}

// unavailable wraps the cause of a call that could not be done. Damaged data does
// not repair itself, so trying again does not help.
func unavailable(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return err
	case errors.As(err, &pg) && (pg.Code == dataCorrupted || pg.Code == indexCorrupted):
		return fmt.Errorf("pgstore: %w: %w", store.ErrCorrupt, err)
	}
	return fmt.Errorf("pgstore: %w: %w", store.ErrUnavailable, err)
}
