// Package redisstore keeps Stay's records in Redis, version 7 or newer, or in
// Valkey, where any number of processes on any number of machines share them.
//
//	store, err := redisstore.Open(ctx, "rediss://app:secret@redis.example.com:6379")
//
// [New] uses a client that the program has already.
//
// # Durability
//
// What is applied is as durable as the server's configuration makes it (C5), and
// [store.Features].Durable says which of these it is when the store is opened:
//
//   - appendonly yes, appendfsync always, no-appendfsync-on-rewrite no: everything
//     that was applied is on the server's disk, and Durable is true.
//   - appendfsync everysec: the end of the server's process loses next to nothing,
//     and that of its machine the last second or two. Durable is false.
//   - anything else: what was written since the last snapshot may be lost.
//
// In a cluster, one of the servers is asked: all must have the same configuration.
// Many services do not let a program read the configuration. Then Durable is false,
// unless [AssumeDurable] says what the operator knows.
//
// # Replicas
//
// Redis acknowledges a write before its replicas have it. After a failover the
// last writes may be missing, whatever appendfsync says: a Redis with automatic
// failover is not a place for what must not be lost. WAIT would not change that: a
// replica that has a write may still not be the one that is promoted. Every process
// then goes on from what the new primary has, and no revision is given twice, as
// long as the clocks of the servers agree.
//
// Reads are answered by the primary. A primary that was cut off from the others
// answers, and takes writes that get lost, until it notices; min-replicas-to-write
// and min-replicas-max-lag bound that, for reads too. A replica refuses both, also
// one that was the primary a moment ago.
//
// # Memory
//
// A server with maxmemory must not evict records: an allkeys policy is refused.
// No key of the store has a time to live, so volatile policies are as good as
// noeviction. When the memory is full, groups that put something are rejected, and
// those that only delete go on.
//
// A record takes its value and about 450 bytes, since its key is there three times
// if it expires: two indexes find what has expired and what begins with a prefix.
//
// # Revisions
//
// A revision is the server's time in microseconds, or one more than the one before,
// if that is greater. So no revision is given twice after a loss (C3), unless the
// server's clock was set back in the meantime.
//
// # Keys
//
// The keys of a store begin with its name in braces, which is "stay" unless [Name]
// says otherwise, so in a cluster all of them are in one slot, unless the store is
// [Spread]. Records are below {stay}:r:. Whoever deletes one by hand may do so with DEL. To change a record by
// hand is not possible.
//
// A user of Redis needs the rights +@read +@write +@scripting +@connection
// +@pubsub +time +info +config|get, ~{stay}* and &{stay}*.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

const (
	// maxValue bounds values and meta: one that is larger takes longer than an
	// attempt.
	maxValue = 16 << 20

	// attempt is how long one sending of a commit may take unless an option says
	// otherwise.
	attempt = 2 * time.Second

	// maxRead is how long a read may take, whatever its caller says.
	maxRead = 30 * time.Second

	// maxSpread bounds how many scripts one call of List or Watch is.
	maxSpread = 1024
)

// A Store is a [store.Store], [store.Lister] and [store.Watcher] in Redis. Its
// methods may be called concurrently.
//
// If the server cannot be reached or refuses a script, groups are rejected and
// reads fail with [store.ErrUnavailable]. Groups are [store.Unknown] if they were
// sent and no answer came. The store works again as soon as the server does; it
// need not be reopened.
type Store struct {
	client   rueidis.Client
	foreign  bool                                          // the client belongs to the user
	listener func(context.Context) (rueidis.Client, error) // for Watch
	name     string
	spread   int
	parts    []*part
	node     string // names this store among those that write to the place
	assumed  bool
	durable  bool
	attempt  time.Duration

	closing context.Context // ends when Close begins
	close   context.CancelFunc
	waiting context.Context // ends when Close waits for no caller any more
	abandon context.CancelFunc
	conns   conns

	mu        sync.Mutex
	closed    bool
	calls     sync.WaitGroup // under way; grows only under mu while not closed
	sends     sync.WaitGroup // commands under way, of calls or of callers that have left
	closeOnce sync.Once
}

// An Option changes how [Open] and [New] open a store.
type Option func(*Store)

// Attempt bounds how long one sending of a commit may take, and how long a read
// waits before it is sent again. The default is two seconds; large values get
// more. Set it longer if the server is far away and slow.
func Attempt(d time.Duration) Option {
	return func(s *Store) { s.attempt = d }
}

// Name names the store, for several in one database. The default is "stay". A name
// has no braces.
func Name(name string) Option {
	return func(s *Store) { s.name = name }
}

// AssumeDurable says that the server keeps on its disk what it has acknowledged,
// and evicts nothing. It is for servers that do not let programs read their
// configuration; what can be read counts.
func AssumeDurable() Option {
	return func(s *Store) { s.assumed = true }
}

// Spread divides the records among n hash tags, 1 to 1024, so that a cluster has them
// on several servers. Records with one [store.Home] stay together, and a group must
// have one home: the store declares GroupsAtHome and not Groups, which stay.New
// needs. It is the ground for a store that makes groups of several homes. The
// number cannot change once there are records.
func Spread(n int) Option {
	return func(s *Store) { s.spread = n }
}

// Open opens the store on the server that url names, with connections of its own:
//
//	redis://user:password@host:6379/0
//	rediss://...                        with TLS
//	unix:///path/to/socket?db=0
//
// Parameters are addr for further nodes, as "addr=host:port", db, client_name,
// dial_timeout, and skip_verify=true for TLS without a check of the certificate.
// With master_set the hosts are Sentinels. Errors do not contain the password.
//
// It fails with [store.ErrUnavailable] if the server cannot be reached, and with a
// plain error if the url cannot be parsed or the server is not one for records.
func Open(ctx context.Context, url string, options ...Option) (*Store, error) {
	o, err := parse(url)
	if err != nil {
		return nil, err
	}
	return openWith(ctx, o, options)
}

// openWith opens a store with connections of its own.
func openWith(ctx context.Context, o rueidis.ClientOption, options []Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	o = s.connections(o)
	if s.client, err = connect(ctx, o); err != nil {
		return nil, unavailable(fmt.Errorf("%w: %w", errNotSent, err))
	}
	s.listener = func(ctx context.Context) (rueidis.Client, error) { return connect(ctx, s.listening(o)) }
	if err := s.prepare(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// New opens the store on the servers of a client that the program uses for other
// things too. Close does not close the client. How soon a connection that hangs is
// given up is up to the client (ConnWriteTimeout); until then calls that use it
// get no answer. The errors are those of [Open].
func New(ctx context.Context, client rueidis.Client, options ...Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	s.client, s.foreign = client, true
	s.listener = func(context.Context) (rueidis.Client, error) { return client, nil }
	if err := s.prepare(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

func newStore(options []Option) (*Store, error) {
	s := &Store{name: "stay", spread: 1, attempt: attempt, node: rand.Text()}
	for _, option := range options {
		option(s)
	}
	if s.attempt <= 0 {
		return nil, fmt.Errorf("redisstore: Attempt(%v) must be positive", s.attempt)
	}
	if s.name == "" || strings.ContainsAny(s.name, "{}") {
		return nil, fmt.Errorf("redisstore: Name(%q) must have characters, and no braces", s.name)
	}
	if s.spread < 1 || s.spread > maxSpread {
		return nil, fmt.Errorf("redisstore: Spread(%d) must be from 1 to %d", s.spread, maxSpread)
	}
	s.parts = newParts(s.name, s.spread)
	s.closing, s.close = context.WithCancel(context.Background())
	s.waiting, s.abandon = context.WithCancel(context.Background())
	return s, nil
}

// Features returns what the store can do: everything except SoleOwner and
// Immediate, Durable if the server is not, and Groups with [Spread]. MaxValue is
// 16 MiB, for Value and for Meta.
func (s *Store) Features() store.Features {
	return store.Features{Durable: s.durable, Groups: s.spread == 1, GroupsAtHome: true, Expire: true, List: true, Watch: true, MaxValue: maxValue}
}

// Close waits for calls under way and closes the connections, unless they belong
// to the client of [New]. Calls that begin later are answered with
// [store.ErrClosed]. The error is always nil.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.close()
		s.calls.Wait()
		s.disconnect()
	})
	return nil
}

// disconnect ends what callers have not waited for, and the connections.
func (s *Store) disconnect() {
	s.abandon()
	if !s.foreign {
		s.conns.close()
		s.client.Close()
	}
	s.sends.Wait()
}

// begin counts a call as under way, unless the store is closed. If the error is
// nil, the caller must call calls.Done.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.calls.Add(1)
	return nil
}

var errClosed = fmt.Errorf("redisstore: %w", store.ErrClosed)

// unavailable wraps the cause of a call that could not be done.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("redisstore: %w: %w", store.ErrUnavailable, err)
}
