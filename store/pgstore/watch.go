package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/store"
)

// heartbeat is how long a connection may be silent before Watch asks whether the
// server is still there.
const heartbeat = 15 * time.Second

// errLent means that Watch would have to listen through a proxy, which lends
// connections for a transaction only.
var errLent = fmt.Errorf("pgstore: Watch needs a connection that no proxy lends: name the server with WatchURL: %w", errors.ErrUnsupported)

// WatchURL names the database for the connection of Watch, if the store's own ones
// go through a proxy that lends connections for a transaction: nothing can be
// listened to through it. The url must lead to the same database without one, with
// a role that may connect to it.
func WatchURL(url string) Option {
	return func(s *Store) { s.watchURL = url }
}

// Watch implements [store.Watcher] with LISTEN, on a connection of its own that it
// opens again whenever it breaks. Commits of all processes are announced after
// they are done. While nobody watches, nothing is announced, and Watch takes a
// quarter of a second to begin.
//
// It fails with [errors.ErrUnsupported] behind a proxy, see [WatchURL].
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	if !s.watches() {
		return errLent
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(fmt.Errorf("pgstore: %w", store.ErrClosed)) })
	defer stop()

	inbox := newBacklog()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			err := s.listen(ctx, inbox)
			if errors.Is(err, errLent) {
				cancel(err)
			}
			if pause(ctx, retryAfter) != nil {
				return
			}
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-inbox.more:
			if changes, lost := inbox.take(); lost || len(changes) > 0 {
				announce(changes, lost)
			}
		case <-ctx.Done():
		}
	}
	<-listening
	err := context.Cause(ctx)
	if errors.Is(err, store.ErrClosed) || errors.Is(err, errLent) {
		return err
	}
	return unavailable(err)
}

// watches reports whether Watch has a connection that no proxy lends, as far as is
// known.
func (s *Store) watches() bool { return !s.proxied || s.watchConfig != nil }

// listen puts what is announced into the inbox until the connection breaks or ctx
// ends. It reads on while nobody takes from the inbox: the server keeps what its
// slowest listener has not read.
func (s *Store) listen(ctx context.Context, inbox *backlog) error {
	c, err := s.connectToWatch(ctx)
	if err != nil {
		return err
	}
	defer s.hangUp(c)
	if err := s.startListening(ctx, c); err != nil {
		return err
	}
	// Everybody has found out by then.
	if err := pause(ctx, freshness); err != nil {
		return err
	}
	inbox.add(nil, true)
	for {
		beat, cancel := context.WithTimeout(ctx, s.heartbeat)
		n, err := c.WaitForNotification(beat)
		cancel()
		switch {
		case err == nil:
			inbox.add(parsePayload(n.Payload))
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		default:
			ask, cancel := context.WithTimeout(ctx, s.attempt)
			err := c.Ping(ask)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// startListening tells those who commit that somebody watches, and listens.
func (s *Store) startListening(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.attempt)
	defer cancel()
	if _, err := c.Exec(ctx, lockWatching, int64(watchLock(s.announcer.channel))); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{s.announcer.channel}.Sanitize())
	return err
}

// connectToWatch opens a connection for listen.
func (s *Store) connectToWatch(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	if s.watchConfig == nil {
		return s.connect(ctx)
	}
	c, err := pgx.ConnectConfig(ctx, s.watchConfig.Copy())
	if err != nil {
		return nil, err
	}
	lent, err := proxied(ctx, c)
	if err == nil && lent {
		err = errLent
	}
	if err != nil {
		s.hangUp(c)
		return nil, err
	}
	return c, nil
}
