package pgstore

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/store"
)

const (
	// freshness is how long it counts that nobody watches.
	freshness = 250 * time.Millisecond

	// idleAnnouncer is how long the announcer keeps a connection that it does not
	// use.
	idleAnnouncer = time.Minute

	// retryAfter is how long the announcer and Watch wait after a failure.
	retryAfter = 500 * time.Millisecond

	// Whoever watches holds a lock, whose two halves are in pg_locks.
	someoneWatches = `
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND classid = $1::int8::oid AND objid = $2::int8::oid)`
	lockWatching = `SELECT pg_advisory_lock_shared($1)`

	// A notification is not worth waiting for the disk.
	notSynced = `SELECT set_config('synchronous_commit', 'off', true)`
	notify    = `SELECT count(pg_notify($1, p)::text) FROM unnest($2::text[]) p`
)

// An announcer tells those who watch what was committed: after the commits, in
// transactions of its own, and several at once. A notification in a commit would
// hold a lock of the whole server until the commit is on the disk, so commits
// would wait for each other. It does nothing while nobody watches, which commits
// find out.
type announcer struct {
	channel   string
	freshness time.Duration
	backlog   *backlog
	started   sync.Once
	ended     chan struct{} // closed when the goroutine has ended; nil without one
	closing   context.Context
	close     context.CancelFunc // ends the goroutine

	mu      sync.Mutex
	asked   time.Time // when a commit was last sent to find out
	known   time.Time // when one that found out was sent
	watched bool      // what it found out
}

func newAnnouncer() *announcer {
	a := &announcer{backlog: newBacklog(), freshness: freshness}
	a.closing, a.close = context.WithCancel(context.Background())
	return a
}

// stop sends what is left and ends the goroutine. No call of announce follows.
func (a *announcer) stop() {
	a.close()
	if a.ended != nil {
		<-a.ended
	}
}

// watchLock returns the lock of those who watch a channel.
func watchLock(channel string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel))
	return h.Sum64()
}

// ask adds to a transaction the question whether somebody watches, if it is time
// to ask again.
func (a *announcer) ask(b *pgx.Batch) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.asked) < a.freshness/2 {
		return
	}
	a.asked = now
	lock := watchLock(a.channel)
	b.Queue(someoneWatches, int64(lock>>32), int64(lock&0xffffffff)).QueryRow(func(row pgx.Row) error {
		var watched bool
		if err := row.Scan(&watched); err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.known, a.watched = now, watched
		return nil
	})
}

// wanted reports whether somebody watches or may have begun to: whoever begins
// waits for freshness before it relies on announcements.
func (a *announcer) wanted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watched || time.Since(a.known) > a.freshness
}

// announce notes what a call of Commit has changed, or may have.
func (s *Store) announce(groups []store.Group, results []store.Result) {
	if !s.announcer.wanted() {
		return
	}
	var changes []store.Change
	for i, g := range groups {
		for j := range g {
			w := &g[j]
			if w.Op == store.Check || w.Op == store.Delete && w.Base == 0 {
				continue
			}
			switch results[i].Outcome {
			case store.Applied:
				changes = append(changes, store.Change{Key: w.Key, Revision: results[i].Revisions[j]})
			case store.Unknown:
				changes = append(changes, store.Change{Key: w.Key})
			}
		}
	}
	if len(changes) == 0 {
		return
	}
	s.announcer.started.Do(func() {
		s.announcer.ended = make(chan struct{})
		go s.runAnnouncer()
	})
	s.announcer.backlog.add(changes, false)
}

// runAnnouncer sends the backlog until it is stopped, and what is left then.
func (s *Store) runAnnouncer() {
	a := s.announcer
	defer close(a.ended)
	var c *pgx.Conn
	hangUp := func() {
		if c != nil {
			s.hangUp(c)
			c = nil
		}
	}
	defer hangUp()
	idle := time.NewTimer(idleAnnouncer)
	defer idle.Stop()
	for closing := false; !closing; {
		select {
		case <-a.backlog.more:
		case <-idle.C:
			hangUp()
			continue
		case <-a.closing.Done():
			closing = true
		}
		changes, lost := a.backlog.take()
		if len(changes) == 0 && !lost {
			continue
		}
		idle.Reset(idleAnnouncer)
		if err := s.notify(&c, payloads(changes, lost)); err != nil {
			hangUp()
			_ = pause(a.closing, retryAfter)
			a.backlog.add(nil, true)
		}
	}
}

// notify sends notifications on a connection, which it opens if there is none.
func (s *Store) notify(c **pgx.Conn, payloads []string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.attempt)
	defer cancel()
	if *c == nil {
		if *c, err = s.connect(ctx); err != nil {
			return err
		}
	}
	var b pgx.Batch
	b.Queue(notSynced)
	b.Queue(notify, s.announcer.channel, payloads)
	return (*c).SendBatch(ctx, &b).Close()
}

// connect opens a connection that is not one of the pool's.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg := s.pool.Config()
	if cfg.BeforeConnect != nil {
		if err := cfg.BeforeConnect(ctx, cfg.ConnConfig); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, cfg.ConnConfig)
}

// hangUp closes a connection that connect has opened.
func (s *Store) hangUp(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), s.attempt)
	defer cancel()
	_ = c.Close(ctx)
}
