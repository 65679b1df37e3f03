package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/store"
)

const (
	// maxFlight is how many groups of a call are under way at the same time.
	maxFlight = 64

	// maxWrites is how many messages a server takes in one batch.
	maxWrites = 1000

	// bytesPerSecond is the rate at which an attempt with large values must get on.
	bytesPerSecond = 2 << 20

	// firstPause and maxPause are how long a group waits before it is sent again.
	firstPause = 2 * time.Millisecond
	maxPause   = 50 * time.Millisecond
)

// Commit applies the groups, each by itself: one write is one message, several are an
// atomic batch, of at most 1,000 writes. It waits up to [Attempt] for the answers.
// While the stream has no leader, or this process no connection, it tries again and
// again for as long.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.begin(); err != nil {
		for i := range results {
			results[i] = store.Result{Outcome: store.Rejected, Err: err}
		}
		return results
	}
	defer s.calls.Done()
	bad := store.CheckGroups(groups, s.features)
	room := make(chan struct{}, maxFlight)
	var all sync.WaitGroup
	for i, g := range groups {
		if bad != nil && bad[i] != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
			continue
		}
		if len(groups) == 1 {
			results[i] = s.commit(ctx, g)
			break
		}
		room <- struct{}{}
		all.Go(func() {
			results[i] = s.commit(ctx, g)
			<-room
		})
	}
	all.Wait()
	return results
}

// sizeOf is how many bytes a group puts.
func sizeOf(g store.Group) (size int) {
	for i := range g {
		size += len(g[i].Key) + len(g[i].Value) + len(g[i].Meta)
	}
	return size
}

// commit makes one attempt to apply a group.
func (s *Store) commit(ctx context.Context, g store.Group) store.Result {
	if err := s.fits(g); err != nil {
		return store.Result{Outcome: store.Rejected, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.attempt+time.Duration(sizeOf(g))*time.Second/bytesPerSecond)
	defer cancel()
	batch := 0
	if len(g) > 1 {
		select {
		case batch = <-s.batches:
			defer func() { s.batches <- batch }()
		case <-ctx.Done():
			return rejected(ctx.Err())
		}
	}
	changing, possible := false, true
	over := make([]uint64, len(g)) // the message that each write must find
	for i := range g {
		var ok bool
		over[i], ok = messageOf(g[i].Base)
		possible = possible && ok
		changing = changing || changes(&g[i])
	}
	if !changing || !possible {
		return s.check(ctx, g)
	}
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return rejected(err)
		}
		last, err := s.publish(ctx, s.messages(g, over, batch))
		if err == nil {
			return applied(g, last)
		}
		switch judged(err) {
		case inDoubt:
			return store.Result{Outcome: store.Unknown, Err: unavailable(err)}
		case refused:
			return rejected(err)
		case condition:
			// Another message that was under way gives the same error, and so does a
			// mark in the place of a record that is to be created.
			there, err := s.load(ctx, keysOf(g))
			if err != nil {
				return rejected(err)
			}
			if r, fails := conflict(g, there); fails {
				return r
			}
			for i := range there {
				over[i] = there[i].seq
			}
			if try == 1 {
				continue
			}
		case again:
		}
		if pause(ctx, tempo(try)) != nil {
			return rejected(err) // nothing that was sent is in doubt
		}
	}
}

// fits reports whether the messages of a group are not too large for the server.
func (s *Store) fits(g store.Group) error {
	if len(g) > maxWrites {
		return fmt.Errorf("natsstore: a group of %d writes, the limit is %d: %w", len(g), maxWrites, store.ErrTooLarge)
	}
	for i := range g {
		// CheckGroups has looked at both alone.
		if w := &g[i]; w.Op == store.Put && len(w.Value)+len(w.Meta) > s.features.MaxValue+besides/2 {
			return fmt.Errorf("natsstore: value and meta of %d bytes, the limit is %d: %w", len(w.Value)+len(w.Meta), s.features.MaxValue+besides/2, store.ErrTooLarge)
		}
	}
	return nil
}

// messages returns what a group publishes as the batch of this number.
func (s *Store) messages(g store.Group, over []uint64, batch int) []*nats.Msg {
	now := time.Now()
	msgs := make([]*nats.Msg, len(g))
	for i := range g {
		msgs[i] = s.message(&g[i], over[i], now, batch*maxWrites+i)
	}
	return msgs
}

// check answers a group that changes nothing, or has a condition that cannot hold: its
// records are read as they are at one moment.
func (s *Store) check(ctx context.Context, g store.Group) store.Result {
	there, err := s.load(ctx, keysOf(g))
	if err != nil {
		return rejected(err)
	}
	if r, fails := conflict(g, there); fails {
		return r
	}
	return applied(g, 0)
}

func keysOf(g store.Group) []string {
	keys := make([]string, len(g))
	for i := range g {
		keys[i] = g[i].Key
	}
	return keys
}

// rejected is the result of a group of which nothing was stored.
func rejected(err error) store.Result {
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fmt.Errorf("%w: %w", store.ErrTooLarge, err)
	}
	return store.Result{Outcome: store.Rejected, Err: unavailable(err)}
}

// applied is the result of a group whose last message has the number last.
func applied(g store.Group, last uint64) store.Result {
	revs := make([]store.Revision, len(g))
	first := last - uint64(len(g)) + 1
	for i := range g {
		switch g[i].Op {
		case store.Put:
			revs[i] = revisionOf(first + uint64(i))
		case store.Check:
			revs[i] = g[i].Base
		}
	}
	return store.Result{Outcome: store.Applied, Revisions: revs}
}

// conflict compares the conditions of a group with what is there, and reports
// whether one fails.
func conflict(g store.Group, there []found) (r store.Result, fails bool) {
	for i := range g {
		fails = fails || there[i].revision() != g[i].Base
	}
	if !fails {
		return store.Result{}, false
	}
	current := make([]store.Record, len(g))
	for i := range g {
		rec, err := there[i].record(g[i].Key)
		if err != nil {
			return store.Result{Outcome: store.Rejected, Err: err}, true
		}
		current[i] = rec
	}
	return store.Result{Outcome: store.Conflict, Current: current}, true
}

// tempo is how long to wait after the given try.
func tempo(try int) time.Duration {
	return min(firstPause<<min(try-1, 8), maxPause)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
