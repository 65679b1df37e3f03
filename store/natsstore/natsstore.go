// Package natsstore keeps Stay's records in a stream of NATS JetStream, version
// 2.12 or newer, where any number of processes on any number of machines share
// them.
//
//	store, err := natsstore.Open(ctx, "tls://app:secret@nats1.example.com,tls://app:secret@nats2.example.com")
//
// [New] uses a connection that the program has already, and is the way for
// credentials in files and for authorities of one's own.
//
// # Durability
//
// The store makes its stream when it is opened first: with three replicas if the
// server belongs to a cluster, else with one; [Replicas] says another number. What
// is applied is as durable as that makes it (C5):
//
//   - Three replicas: a majority of the servers has written what was applied to its
//     files. Nothing is lost when servers end or are killed, nor when one machine
//     breaks down, as long as the other two go on until it has caught up.
//     [store.Features].Durable is true.
//   - One replica: the end of the server loses nothing. That of its machine loses
//     what the server has not synced: by default it syncs every two minutes. Durable
//     is false.
//
// Servers with sync_interval: always in the block jetstream of their configuration
// sync before they acknowledge. Programs cannot read it: [SyncAlways] says so, and then Durable is true with one
// replica too. With three and without it, a power cut of several machines at once
// may lose what was applied in the last two minutes.
//
// A stream in memory is never durable.
//
// # Reads
//
// Reads miss nothing (C1; StaleReads is 0). With several replicas any of them may
// answer, also one that is behind. So a Load writes a small message first, which
// only a majority of the servers can acknowledge, and takes the answer of a replica
// that has it. It costs what a write costs, and fails where a majority cannot be
// reached. The answer has the whole value, also if the caller holds it already. A
// mirror of the stream must not answer for it (mirror_direct).
//
// # Costs
//
// A change of several records is an atomic batch. On a stream with one replica the
// server makes a folder for each of them, which takes a disk 2 to 100 ms; the first
// change of each session is such a batch. So one replica is for development and
// small sites. With three a batch costs what a single write does.
//
// # Values
//
// Value, Meta and what NATS adds fit in one message: MaxValue is the server's
// max_payload less 16 KiB, so 1,032,192 bytes by default. That is less than Stay's
// default for MaxState: set [github.com/stay-go/stay.Options].MaxState, or
// max_payload.
//
// # Expiry
//
// NATS has no index of what expires, so Features.Expire is false: modules with a
// hook OnExpire are refused. The server drops a record by itself an hour after it has
// expired, measured by the clock of the server, from the clock of the program that
// wrote it (C4). Marks of deleted records stay for an hour, too. What an hour is
// longer than can be relied on: what arrives later than that is not recognized as
// late (C6).
//
// # Revisions
//
// A revision is twice the number that a message has in its stream. A stream that has been restored
// from a copy, or a server that has lost its last seconds, gives numbers again:
// start all programs again then (C3).
//
// # Subjects
//
// Stream and subjects have the store's name, which is "stay" unless [Name] says
// otherwise: a record is the last message on stay.r.<key>, where the key is in up to
// three parts in base64url, each up to a slash and with it. To delete a record by
// hand, purge its subject.
//
// A user of NATS needs the rights to publish to stay.> and to
// $JS.API.STREAM.INFO.stay, STREAM.CREATE.stay, DIRECT.GET.stay,
// CONSUMER.CREATE.stay.> and CONSUMER.DELETE.stay.*, and to subscribe to _INBOX.>.
package natsstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/store"
)

const (
	// attempt is how long one sending of a commit may take unless an option says
	// otherwise.
	attempt = 2 * time.Second

	// maxRead is how long a read may take, whatever its caller says.
	maxRead = 30 * time.Second

	// besides is the room in a message for what is not the value: meta, subjects,
	// and what NATS puts into headers.
	besides = 16 << 10

	// maxBatches is how many batches a store has under way. A server takes 50 for
	// a stream, of all programs together.
	maxBatches = 8
)

// A Store is a [store.Store], [store.Lister] and [store.Watcher] in a stream. Its
// methods may be called concurrently.
//
// If no server can be reached or a server refuses, groups are rejected and reads
// fail with [store.ErrUnavailable]. Groups are [store.Unknown] if they were sent and
// no answer came. The store works again as soon as a server does; it need not be
// reopened.
type Store struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	answers  *answers
	foreign  bool   // the connection belongs to the user
	api      string // what subjects of requests begin with
	name     string
	node     string // names this store among those that write to the stream
	replicas int
	synced   bool
	attempt  time.Duration
	features store.Features
	batches  chan int              // places for batches under way, which have the numbers from 0
	denied   atomic.Pointer[error] // what the server has forbidden first

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
// more. Set it longer if the server is far away and slow.
func Attempt(d time.Duration) Option {
	return func(s *Store) { s.attempt = d }
}

// Name names the stream and the first part of its subjects, for several stores on
// one server. The default is "stay". A name has letters, digits, - and _.
func Name(name string) Option {
	return func(s *Store) { s.name = name }
}

// Replicas says how many servers keep the stream: 1, 3 or 5. A stream that is there
// with another number is refused; change it with the tools of NATS while no program
// runs.
func Replicas(n int) Option {
	return func(s *Store) { s.replicas = n }
}

// SyncAlways says that all servers have sync_interval: always in their
// configuration of JetStream, which programs cannot read: what is acknowledged is
// on disks.
func SyncAlways() Option {
	return func(s *Store) { s.synced = true }
}

// Open opens the store on the servers that url names, separated by commas, with a
// connection of its own:
//
//	nats://user:password@host:4222
//	tls://...                        with TLS, checked with the system's authorities
//	ws://... and wss://...           over WebSocket
//
// One server is enough to find the others. Errors contain nothing of the URL.
//
// It fails with [store.ErrUnavailable] if no server can be reached, and with a
// plain error if the url cannot be parsed, the user lacks a right, or the stream is
// there and is not one for records.
func Open(ctx context.Context, url string, options ...Option) (*Store, error) {
	return openWith(ctx, url, nil, options)
}

// openWith opens a store with a connection of its own; dial is nil unless a test
// has one.
func openWith(ctx context.Context, url string, dial nats.CustomDialer, options []Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	if s.nc, err = s.connect(ctx, url, dial); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.nc); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		s.nc.Close()
		return nil, err
	}
	return s, nil
}

// New opens the store on a connection that the program uses for other things too,
// and that stays open when the store is closed. It decides which domain of JetStream is
// used, and how soon a connection that hangs is given up: set [nats.PingInterval] and
// [nats.FlusherTimeout] to a few seconds. The errors are those of [Open].
func New(ctx context.Context, js jetstream.JetStream, options ...Option) (*Store, error) {
	s, err := newStore(options)
	if err != nil {
		return nil, err
	}
	s.js, s.nc, s.foreign = js, js.Conn(), true
	if err := s.prepare(ctx); err != nil {
		if s.answers != nil {
			s.answers.close()
		}
		return nil, err
	}
	return s, nil
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func newStore(options []Option) (*Store, error) {
	s := &Store{name: "stay", attempt: attempt, node: rand.Text(), batches: make(chan int, maxBatches)}
	for i := range maxBatches {
		s.batches <- i
	}
	for _, option := range options {
		option(s)
	}
	if s.attempt <= 0 {
		return nil, fmt.Errorf("natsstore: Attempt(%v) must be positive", s.attempt)
	}
	if !goodName.MatchString(s.name) {
		return nil, fmt.Errorf("natsstore: Name(%q) must be 1 to 64 letters, digits, - and _", s.name)
	}
	if s.replicas < 0 || s.replicas > 5 || s.replicas != 0 && s.replicas%2 == 0 {
		return nil, fmt.Errorf("natsstore: Replicas(%d) must be 1, 3 or 5", s.replicas)
	}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Features returns what the store can do: Groups, List and Watch, and Durable if
// the stream is. MaxValue is what a message can hold.
func (s *Store) Features() store.Features { return s.features }

// Close waits for calls under way and closes the connection, unless it is the one
// of [New]. Calls that begin later are answered with [store.ErrClosed]. The error is
// always nil.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.close()
		s.calls.Wait()
		s.answers.close()
		if !s.foreign {
			s.nc.Close()
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
		return errClosed
	}
	s.calls.Add(1)
	return nil
}

var errClosed = fmt.Errorf("natsstore: %w", store.ErrClosed)

// unavailable wraps the cause of a call that could not be done.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("natsstore: %w: %w", store.ErrUnavailable, err)
}
