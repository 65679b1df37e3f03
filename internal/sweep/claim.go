package sweep

import (
	"context"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// Where OnExpire is concerned, what is due is claimed by a record before the
// hooks run, and removed together with the claim. So of several processes one
// runs them; if it dies, the claim expires and is removed, and another one claims.
const (
	// claimTime is how long a claim holds: longer than hooks may run and the
	// removal takes.
	claimTime = 2 * time.Minute
	// hookTime is when the context of the hooks of one batch ends.
	hookTime = time.Minute
	// claimBatch is how much of what is due is claimed at once.
	claimBatch = 64
)

// claimKey names the record that claims d.
func (d *Due) claimKey() string { return keyspace.Claim(d.owner) }

// expire claims what is due, runs the hooks of its states and removes it.
func (s *pass) expire(ctx context.Context, now time.Time, all []*Due) {
	mine := s.claim(ctx, now, all)
	if len(mine) == 0 {
		return
	}
	var over, released []*Due
	if err := s.verify(ctx, mine); err != nil {
		s.fail(err)
		released = mine
	} else {
		over, released = s.runHooks(ctx, mine)
	}
	// Time has passed: the claims must hold still, or they are left alone.
	released = append(released, s.delete(ctx, s.Now(), over)...)
	s.release(ctx, released)
}

// claim claims what no other process has claimed. The claim of a process that
// died is removed once it has expired, like any record.
func (s *pass) claim(ctx context.Context, now time.Time, all []*Due) (mine []*Due) {
	groups := make([]store.Group, len(all))
	for i, d := range all {
		groups[i] = store.Group{{Op: store.Put, Key: d.claimKey(), Version: 1, Expires: now.Add(claimTime)}}
	}
	for i, res := range s.commit(ctx, groups) {
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
func (s *pass) release(ctx context.Context, all []*Due) {
	groups := make([]store.Group, len(all))
	for i, d := range all {
		groups[i] = store.Group{{Op: store.Delete, Key: d.claimKey(), Base: d.claim}}
	}
	s.commit(ctx, groups)
}

// verify looks again at the records of what is claimed: before the claim,
// another process may have removed them, and hooks with them.
func (s *pass) verify(ctx context.Context, mine []*Due) error {
	var reads []store.Read
	for _, d := range mine {
		for rec := range d.records() {
			reads = append(reads, store.Read{Key: rec.Key})
		}
	}
	recs, err := s.load(ctx, reads)
	if err != nil {
		return err
	}
	for _, d := range mine {
		n := len(d.expired)
		m := n + len(d.states)
		d.confirm(recs[:n], recs[n:m])
		recs = recs[m:]
	}
	return nil
}

// runHooks runs the hooks of what is claimed. What no time is left for is
// released.
func (s *pass) runHooks(ctx context.Context, mine []*Due) (over, released []*Due) {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	for _, d := range mine {
		if ctx.Err() != nil || s.Closing() {
			released = append(released, d)
			continue
		}
		if len(d.expired) == 0 {
			released = append(released, d)
			continue
		}
		d.expired, d.states = s.expireAll(ctx, d, d.expired), s.expireAll(ctx, d, d.states)
		over = append(over, d)
	}
	return over, released
}

// expireAll runs OnExpire with each of the states that has one here, and returns
// the records that may be removed: not those that cannot be read, which stay for
// repair.
func (s *pass) expireAll(ctx context.Context, d *Due, recs []store.Record) []store.Record {
	kept := recs[:0:0]
	for _, rec := range recs {
		if d.expires(&rec) && s.owner.Hooked(keyspace.Original(rec.Key)) {
			if err := s.owner.Expire(ctx, &rec); err != nil {
				s.fail(err)
				d.unread = append(d.unread, rec)
				continue
			}
		}
		kept = append(kept, rec)
	}
	return kept
}
