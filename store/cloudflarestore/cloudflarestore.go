// Package cloudflarestore keeps Stay's records in Durable Objects of Cloudflare,
// where any number of processes on any number of machines share them. The objects
// belong to a Worker, which is part of this package: [Worker] is its script.
//
//	store, err := cloudflarestore.Open(ctx, "https://stay.example.workers.dev", secret)
//
// # Deploying the Worker
//
// Write [Worker] to a file, worker.js, and beside it this wrangler.jsonc:
//
//	{
//		"name": "stay",
//		"main": "worker.js",
//		"compatibility_date": "2026-10-01",
//		"durable_objects": {"bindings": [{"name": "STAY", "class_name": "StayRecords"}]},
//		"exports": {"StayRecords": {"type": "durable-object", "storage": "sqlite"}}
//	}
//
// Then wrangler secret put STAY_SECRET, with 16 characters or more that nobody can
// guess, as from openssl rand -base64 32, and wrangler deploy. Never rename the
// class: its objects are the records.
//
// To change the secret, put the one in use as STAY_SECRET_OLD and the new one as
// STAY_SECRET. Both are accepted then. Start the programs with the new one, and
// delete STAY_SECRET_OLD.
//
// # Objects
//
// By default there are 64 objects ([Shards]), and the records of one [store.Home]
// are in one of them. With [ObjectPerHome] each home has an object for itself, so
// that nobody's records share storage with those of a stranger. The choice is kept
// with the records, and cannot change later.
//
// Several writes are atomic if they have one home, or with one object for all of
// them, Shards(1). Otherwise the store declares GroupsAtHome and not Groups, which
// stay.New needs: it is the ground for a store that makes groups of several homes.
//
// # Durability and revisions
//
// What is applied is on the disks of Cloudflare (C5); an object answers nothing
// before. All objects answer for themselves, and there is one of each in the world
// at a time, so reads miss nothing (C1).
//
// A revision is the object's time in microseconds, or one more than the one before,
// if that is greater. So no revision is given twice after an object was restored to
// a point in time (C3), unless its clock was set back meanwhile.
//
// # Costs
//
// Each call of Load or Commit is one request to the Worker, and one to each object
// that it is about. A change writes one row, and one more if its expiry changes. A
// deletion writes two. With [ObjectPerHome] a home's first record that expires is one
// request and four rows more. Every call pays for the way to the object, which is created
// near where it is first used: keep the programs near there.
package cloudflarestore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

//go:embed worker.js
var worker string

// Worker returns the script of the Worker, a module in JavaScript. It exports the
// class StayRecords, and expects its objects as STAY. Deploy the one of the version
// that programs use, or a newer one: [Open] refuses what it does not understand.
func Worker() string { return worker }

const (
	// maxValue bounds values and meta.
	maxValue = 4 << 20

	// attempt is how long one sending of a commit may take unless an option says
	// otherwise.
	attempt = 2 * time.Second

	// maxRead is how long a read may take, whatever its caller says.
	maxRead = 30 * time.Second

	// shards is how many objects there are unless an option says otherwise.
	shards = 64

	// maxShards bounds that number.
	maxShards = 1024

	// minSecret is how many characters a secret has at least.
	minSecret = 16
)

// A Store is a [store.Store], [store.Lister] and [store.Watcher] in Durable Objects.
// Its methods may be called concurrently.
//
// If the Worker cannot be reached or refuses a request, groups are rejected and
// reads fail with [store.ErrUnavailable]. Groups are [store.Unknown] if they were
// sent and no answer came, or if their object failed; those of other objects are
// applied. The store works again as soon as the Worker does; it need not be
// reopened.
type Store struct {
	url     *url.URL
	secret  string
	client  *http.Client
	attempt time.Duration
	places  places
	fences  *fences

	closing context.Context // ends when Close begins
	close   context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // under way; grows only under mu while not closed
}

// An Option changes how [Open] opens a store.
type Option func(*Store)

// Attempt bounds how long one sending of a commit may take, and how long a read
// waits before it is sent again. The default is two seconds; large calls get more.
func Attempt(d time.Duration) Option {
	return func(s *Store) { s.attempt = d }
}

// Name names the store, for several in one Worker. The default is "stay".
func Name(name string) Option {
	return func(s *Store) { s.places.name = name }
}

// Shards divides the records among n objects, 1 to 1024; the default is 64. An object
// takes about a thousand requests a second and 10 GB at most. With one object, groups
// of any writes are atomic.
func Shards(n int) Option {
	return func(s *Store) { s.places.shards = n }
}

// ObjectPerHome gives each [store.Home] an object of its own: each session, user, key
// and Global module. No record shares storage with one of another home. As many
// objects as there are homes answer at the same time.
//
// An object is called by a hash of its home, and nothing knows all of them, so there
// is no List and no Watch. Expired finds what has expired by 64 more objects, which
// have no records, and are told by the others when to ask them. An object without
// records gives its storage back a minute later.
func ObjectPerHome() Option {
	return func(s *Store) { s.places.shards = 0 }
}

// Open opens the store in the Worker at the URL, which is https; for one on this
// machine it may be http. The secret is the Worker's STAY_SECRET.
//
// It fails with [store.ErrUnavailable] if the Worker cannot be reached, and with a
// plain error if the URL or the secret cannot be right, if the Worker refuses the
// secret or is of another version, or if the records are divided among objects in
// another way. Errors do not contain the secret.
func Open(ctx context.Context, url, secret string, options ...Option) (*Store, error) {
	return openWith(ctx, nil, url, secret, options)
}

// openWith opens a store that connects with dial; nil is the usual way.
func openWith(ctx context.Context, dial dialer, url, secret string, options []Option) (*Store, error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	s := &Store{url: u, secret: secret, attempt: attempt, places: places{name: "stay", shards: shards}, fences: newFences()}
	for _, option := range options {
		option(s)
	}
	switch n := s.places.shards; {
	case n < 0 || n > maxShards:
		return nil, fmt.Errorf("cloudflarestore: Shards(%d) must be from 1 to %d", n, maxShards)
	case s.attempt <= 0:
		return nil, fmt.Errorf("cloudflarestore: Attempt(%v) must be positive", s.attempt)
	case s.places.name == "":
		return nil, errors.New("cloudflarestore: Name must not be empty")
	}
	s.client = newClient(dial)
	s.closing, s.close = context.WithCancel(context.Background())
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// prepare finds out whether the Worker answers, and whether the records are divided
// as this store divides them.
func (s *Store) prepare(ctx context.Context) error {
	want := s.places.layout()
	var known string
	err := s.retry(ctx, func(ctx context.Context) error {
		answers, err := s.ask(ctx, "layout", []any{layoutCall{Object: s.places.first(), Text: want}})
		if err != nil {
			return err
		}
		return answers[0].into(&known)
	})
	if refused, ok := errors.AsType[*refusal](err); ok {
		return fmt.Errorf("cloudflarestore: %w", refused)
	}
	if err != nil {
		return unavailable(err)
	}
	if known != want {
		return fmt.Errorf("cloudflarestore: the records are divided as %q, and the options say %q: that cannot change", known, want)
	}
	return nil
}

// Features returns what the store can do: it is Durable, has GroupsAtHome, Expire and
// a MaxValue of 4 MiB for Value and for Meta; with shards it has List and Watch, and
// with a single one Groups.
func (s *Store) Features() store.Features {
	known := s.places.shards > 0
	return store.Features{
		Durable: true, Groups: s.places.shards == 1, GroupsAtHome: true, Expire: true, List: known, Watch: known, MaxValue: maxValue,
	}
}

// Close ends reads and waits for commits under way, each for up to an attempt. Calls
// that begin later are answered with [store.ErrClosed]. The error is always nil.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	s.calls.Wait()
	s.client.CloseIdleConnections()
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

var errClosed = fmt.Errorf("cloudflarestore: %w", store.ErrClosed)

// unavailable wraps the cause of a call that could not be done.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed) {
		return err
	}
	return fmt.Errorf("cloudflarestore: %w: %w", store.ErrUnavailable, err)
}
