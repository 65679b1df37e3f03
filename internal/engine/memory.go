package engine

import (
	"context"
	"time"
)

// State that is only in memory belongs to sessions. It stays as long as its
// session is used, so a use of the session counts as a use of all its states
// here: see Touch. It is dropped when neither was used for GuestIdle, when its
// own time is over, and when there is too much of it.

// Touch records that a state that is only in memory, if there is one, is still
// in use.
func (e *Engine) Touch(k *Kind, key string, now time.Time) {
	k.cache.get(k, key, use{at: now.UnixNano()})
}

// commitInMemory concludes the batch of an instance that has no store.
func (e *Engine) commitInMemory(in *Instance) {
	work, base := in.m.working, in.m.committed
	switch {
	case base.expires != 0 && base.expired(e.cfg.Now()):
		// The run began with a state that has expired since: see sendBatch.
		in.lock()
		in.ends, in.idle = true, true
		e.concludeLocked(in, conflicted, nil)
	case base.Revision == 0 && !work.gone && in.guard != nil && !in.guard.Stands(base):
		e.conclude(in, conflicted, nil)
	default:
		work.Revision = base.Revision + 1
		e.stampInMemory(in, work, in.expires)
		e.conclude(in, work.applied(), nil)
	}
}

// stampInMemory is stamp for a version without a store; nil = no version.
func (e *Engine) stampInMemory(in *Instance, v *Version, expires time.Time) {
	if v != nil && !v.gone {
		v.setExpires(in.kind.expires(v, in.m.committed.Revision == 0, expires, e.cfg.Now))
	}
}

// Sweep evicts states that are only in memory and have expired, or were not
// used for GuestIdle. If there are many, it waits for hooks in between.
func (e *Engine) Sweep(ctx context.Context) {
	now, room := e.cfg.Now(), departuresAtOnce
	for i := range e.guests.shards {
		for ctx.Err() == nil {
			if room -= e.guests.evictIdle(&e.guests.shards[i], now, room); room > 0 {
				break
			}
			e.departures.drain(ctx)
			room = departuresAtOnce
		}
	}
}

// evictIdle evicts up to limit instances of the shard that nobody uses and
// whose time is over, and returns how many it evicted. The order of use does
// not show where they are: states also expire by themselves, and a clock may be
// set back.
func (c *cache) evictIdle(s *shard, now time.Time, limit int) (evicted int) {
	nanos, idle := now.UnixNano(), now.Add(-c.engine.cfg.GuestIdle).UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.segments {
		end := &s.segments[g].end
		for in := end.prev; in != end && evicted < limit; {
			later, v := in.prev, in.snapshot.Load()
			in.used = min(in.used, nanos) // greater only if the clock was set back
			if (in.used < idle || v != nil && v.expired(now)) && c.evict(s, in, true) {
				evicted++
			}
			in = later
		}
	}
	return evicted
}
