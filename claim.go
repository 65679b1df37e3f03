package stay

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// Where OnExpire is concerned, an estate is claimed by a record before the
// hooks run, and removed together with the claim. So of several processes one
// runs them; if it dies, the claim expires and another one takes over.
//
// A key that is used again before the sweep has come leaves its expired record
// in a grave, where the sweep finds it. A record that cannot be read when it
// expires goes there too, so that it is in nobody's way, and is tried again
// from time to time.
const (
	// claimTime is how long a claim holds: longer than hooks may run and the
	// estate takes to be removed.
	claimTime = 2 * time.Minute
	// hookTime is when the context of the hooks of one batch ends.
	hookTime = time.Minute
	// unreadTime is after how long a record that could not be read is tried again.
	unreadTime = time.Hour
	// claimBatch is how many estates are claimed at once.
	claimBatch = 64
)

// claimKey names the record that claims the estate.
func (e *estate) claimKey() string { return keyspace.Claim(e.owner) }

// bury moves expired records out of the way of what the groups create under
// their keys, where somebody is to hear of them. On a store with other owners
// the engine cannot do that when it loads a state: that memory knows a key to
// be absent says nothing of an expired record, which another process may have
// made since.
func (c *catalog) bury(ctx context.Context, now time.Time, groups []store.Group) error {
	if c.backend.Features().SoleOwner {
		return nil
	}
	var reads []store.Read
	for _, g := range groups {
		for _, w := range g {
			if w.Op == store.Put && w.Base == 0 && c.mayFollow(w.Key) {
				reads = append(reads, store.Read{Key: w.Key})
			}
		}
	}
	if len(reads) == 0 {
		return nil
	}
	recs, err := c.store.Load(ctx, time.UnixMilli(0), reads) // at that time nothing had expired
	if err != nil || len(recs) != len(reads) {
		return cmp.Or(err, errSilent)
	}
	var expired []store.Group
	for i := range recs {
		rec := &recs[i]
		if rec.Revision == 0 || !rec.Expired(now) {
			continue
		}
		heard, err := c.heard(ctx, now, rec.Key)
		if err != nil {
			return err
		}
		if heard {
			expired = append(expired, entomb(rec, rec.Expires))
		}
	}
	return c.setAside(ctx, now, expired)
}

// mayFollow reports whether an expired record may be under the key of a state
// that is created, of which somebody is to hear.
func (c *catalog) mayFollow(key string) bool {
	m, _, _ := c.app.stateOf(key)
	return m != nil && (m.expired != nil || m.expiry > 0)
}

// heard reports whether some program runs OnExpire of the state with this key.
func (c *catalog) heard(ctx context.Context, now time.Time, key string) (bool, error) {
	if m, _, _ := c.app.stateOf(key); m.expired != nil {
		return true, nil
	}
	list, _, err := c.load(ctx, now)
	return c.app.hookElsewhere(list, key), err
}

// setAside commits what entomb has returned. Where somebody else was quicker
// it does nothing.
func (c *catalog) setAside(ctx context.Context, now time.Time, groups []store.Group) error {
	if len(groups) == 0 {
		return nil
	}
	res := c.store.Commit(ctx, now, groups)
	if len(res) != len(groups) {
		return errSilent
	}
	for _, r := range res {
		if r.Outcome != store.Applied && r.Outcome != store.Conflict {
			return fmt.Errorf("an expired record is in the way: %w", cmp.Or(r.Err, errSilent))
		}
	}
	return nil
}

// entomb returns what moves a record into a grave, where it expires at the time
// given. One that has expired there stays where it is.
func entomb(rec *store.Record, expires time.Time) store.Group {
	put := store.Write{
		Op: store.Put, Key: rec.Key,
		Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: expires,
	}
	if keyspace.IsAside(rec.Key) {
		return store.Group{put}
	}
	put.Key = keyspace.Aside(rec.Key, rec.Revision)
	return store.Group{{Op: store.Delete, Key: rec.Key, Base: rec.Revision}, put}
}

// expire claims estates, runs the hooks of their states and removes them.
func (s *sweep) expire(ctx context.Context, now time.Time, all []*estate) {
	mine := s.claim(ctx, now, all)
	if len(mine) == 0 {
		return
	}
	var over, released []*estate
	if err := s.verify(ctx, mine); err != nil {
		s.fail(err)
		released = mine
	} else {
		over, released = s.runHooks(ctx, mine)
	}
	// Time has passed: the claims must hold still, or they are left alone.
	released = append(released, s.delete(ctx, s.app.opts.Clock(), over)...)
	s.release(ctx, released)
}

// claim claims what nobody else has claimed.
func (s *sweep) claim(ctx context.Context, now time.Time, all []*estate) (mine []*estate) {
	groups := make([]store.Group, len(all))
	for i, e := range all {
		groups[i] = store.Group{{Op: store.Put, Key: e.claimKey(), Version: 1, Expires: now.Add(claimTime)}}
	}
	for i, res := range s.commit(ctx, now, groups) {
		switch {
		case res.Outcome == store.Applied && len(res.Revisions) == 1:
			all[i].claim = res.Revisions[0]
			mine = append(mine, all[i])
		case res.Outcome != store.Conflict:
			s.fail(res.Err)
		}
	}
	return mine
}

// release gives claims up. One that cannot be given up expires.
func (s *sweep) release(ctx context.Context, all []*estate) {
	groups := make([]store.Group, len(all))
	for i, e := range all {
		groups[i] = store.Group{{Op: store.Delete, Key: e.claimKey(), Base: e.claim}}
	}
	s.commit(ctx, s.app.opts.Clock(), groups)
}

// verify looks at the records of claimed estates again: before the claim,
// another process may have removed them, and hooks with them. It takes the
// time back to when none of them had expired, so that Load finds them.
func (s *sweep) verify(ctx context.Context, mine []*estate) error {
	before := mine[0].expired[0].Expires
	var reads []store.Read
	for _, e := range mine {
		for rec := range e.records() {
			reads = append(reads, store.Read{Key: rec.Key})
			if !rec.Expires.IsZero() && rec.Expires.Before(before) {
				before = rec.Expires
			}
		}
	}
	recs, err := s.load(ctx, before.Add(-time.Millisecond), reads)
	if err != nil {
		return err
	}
	for _, e := range mine {
		n := len(e.expired)
		m := n + len(e.states)
		e.confirm(recs[:n], recs[n:m])
		recs = recs[m:]
	}
	return nil
}

// confirm leaves in the estate what the store has still. States that are not
// expired may have been changed, and belong to it as they are now.
func (e *estate) confirm(expired, states []store.Record) {
	kept := e.expired[:0:0]
	for i, rec := range expired {
		switch {
		case rec.Revision == e.expired[i].Revision:
			kept = append(kept, rec)
		case e.over != nil && e.over.Key == e.expired[i].Key:
			e.over = nil // gone, or begun again
		}
	}
	e.expired, e.states = kept, nil
	for _, rec := range states {
		if rec.Revision != 0 && e.over != nil {
			e.states = append(e.states, rec)
		}
	}
}

// runHooks runs the hooks of estates. Those for which no time is left are
// released.
func (s *sweep) runHooks(ctx context.Context, mine []*estate) (over, released []*estate) {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	for _, e := range mine {
		if ctx.Err() != nil || s.app.engine.Closing() {
			released = append(released, e)
			continue
		}
		if len(e.expired) == 0 {
			released = append(released, e)
			continue
		}
		e.expired, e.states = s.expireAll(ctx, e, e.expired), s.expireAll(ctx, e, e.states)
		over = append(over, e)
	}
	return over, released
}

// expireAll runs OnExpire with each of the estate's states that has one, and
// returns the records that may be removed: not those that cannot be read, which
// stay for repair.
func (s *sweep) expireAll(ctx context.Context, e *estate, recs []store.Record) []store.Record {
	kept := recs[:0:0]
	for _, rec := range recs {
		m, _, key := s.app.stateOf(keyspace.Original(rec.Key))
		if m != nil && m.expired != nil && e.expires(&rec) {
			v, err := m.stored(&rec)
			if err != nil {
				s.fail(moduleType{module: m}.corrupt(key, err))
				e.unread = append(e.unread, rec)
				continue
			}
			m.runHook(ctx, "onExpire", key, v, m.expired)
		}
		kept = append(kept, rec)
	}
	return kept
}
