package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// compare brings the states forward, those that say whose others are before these:
// what was changed after the end of a session must not be seen before that end.
func (n *nodes) compare(ctx context.Context, some []*sharedKey) error {
	if n.backend.placer != nil {
		return n.compareAll(ctx, some)
	}
	if len(some) > 1 {
		slices.SortFunc(some, func(a, b *sharedKey) int { return rank(a) - rank(b) })
	}
	return n.compareAt(ctx, &n.backend.main, some)
}

// compareAt is compare for one place.
func (n *nodes) compareAt(ctx context.Context, l *lane, some []*sharedKey) error {
	for part := range slices.Chunk(some, maxReads) {
		if ctx.Err() != nil {
			return nil
		}
		if err := n.bring(l, part); err != nil {
			return err
		}
	}
	return nil
}

func rank(s *sharedKey) int {
	if s.kind.Rights {
		return 0
	}
	return 1
}

// bring is compare for one call of Load. If a record is the cause of an error, the
// others do not suffer from it: it is compared again later, and whoever reads it is
// told.
func (n *nodes) bring(l *lane, some []*sharedKey) error {
	ins, reads := make([]read, len(some)), make([]store.Read, len(some))
	for i, s := range some {
		ins[i], reads[i], _ = n.have(s)
	}
	recs, err := l.readAll(reads)
	switch {
	case err != nil && unavailable(err):
		return err
	case err != nil && (len(some) == 1 || n.engine.ctx.Err() != nil):
		n.putOff(some[0])
		return nil
	case err != nil:
		half := len(some) / 2
		return errors.Join(n.bring(l, some[:half]), n.bring(l, some[half:]))
	}
	for i, s := range some {
		n.settle(s, ins[i], &reads[i], &recs[i])
	}
	return nil
}

// settle brings one state forward to the record that a read has found. was is the
// instance as it was before the read.
func (n *nodes) settle(s *sharedKey, was read, asked *store.Read, rec *store.Record) {
	switch {
	case was.have == nil && n.another(s, was) != nil: // it is being loaded, or was
	case was.have == nil:
		if n.saw(s, rec) {
			n.engine.changed(s.kind, s.key) // those who watch load it
		}
	case rec.Revision == asked.Have:
		n.saw(s, rec)
	case s.kind.RunsUserCode:
		n.apart(s, func(context.Context) {
			n.overtake(s, was, rec)
			if n.another(s, was) != nil {
				n.put(s)
			}
		})
		return
	default:
		n.overtake(s, was, rec)
	}
	switch in := n.another(s, was); {
	case in == nil:
	case in.snapshot.Load() != nil:
		n.put(s)
	default:
		n.apart(s, func(ctx context.Context) {
			if l := in.underway(); l != nil {
				select {
				case <-l.done:
				case <-ctx.Done():
				}
			}
			n.put(s)
		})
	}
}

// putOff has a state compared again that could not be read: soon, then less often,
// and in the end with the rounds.
func (n *nodes) putOff(s *sharedKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched[s.kind.Prefix+s.key] != s {
		return
	}
	s.fails = min(s.fails+1, 16)
	n.late[s] = time.Now().Add(listenMin << s.fails) // or a round comes before
	n.wake()
}

// overtake brings an instance forward, or takes it out of use, which wakes those
// who watch.
func (n *nodes) overtake(s *sharedKey, in read, rec *store.Record) {
	err := n.engine.overtake(n.backend.lane(s.kind.Prefix, s.key), in, rec) // which has reported a record that is damaged
	if err != nil && s.kind.cache.peek(s.kind, s.key) == in.in {
		n.putOff(s) // the store did not say what the instance has to become
		return
	}
	n.saw(s, rec)
}

// saw notes that those who watch have been told of a revision, or are about to be.
// It reports whether it is a new one.
func (n *nodes) saw(s *sharedKey, rec *store.Record) (news bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	news = !s.known || s.seen != rec.Revision
	s.seen, s.known, s.fails = rec.Revision, true, 0
	return news
}

// another returns the instance of the state if it is another one than was compared.
// It may be from an earlier read, so the state must be compared once more.
func (n *nodes) another(s *sharedKey, was read) *Instance {
	in := s.kind.cache.peek(s.kind, s.key)
	if in == was.in && was.have != nil {
		return nil
	}
	return in
}

// put has the state compared once more.
func (n *nodes) put(s *sharedKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched[s.kind.Prefix+s.key] == s {
		n.due[s] = 0
		n.wake()
	}
}

// apart runs f in its own goroutine, one for each state. The state is not compared
// meanwhile.
func (n *nodes) apart(s *sharedKey, f func(context.Context)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.busy = n.engine.Go(func(ctx context.Context) {
		defer func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			s.busy = false
			n.wake()
		}()
		f(ctx)
	})
}
