package engine

import (
	"context"
	"time"

	"github.com/stay-go/stay/store"
)

// expires is when a record expires that is written now. until is what the
// resolution says of a new record.
func (k *Kind) expires(v *Version, isNew bool, until time.Time, now func() time.Time) time.Time {
	switch {
	case k.Expiry != nil:
		return k.Expiry(v.Value)
	case k.Keep > 0:
		end := now().Add(k.Keep).Truncate(time.Millisecond)
		if !until.IsZero() && until.Before(end) {
			return until
		}
		return end
	case isNew, v.expires != 0 && until.After(v.Expires()):
		return until // also where sessions last longer than when it was created
	}
	return v.Expires()
}

// read returns the record of a state. A state that is used again begins anew
// once it has expired; where somebody is to hear of the old one's expiry, its
// record is put aside before it can be overwritten.
func (e *Engine) read(k *Kind, key string) (*store.Record, error) {
	e.observeMiss(k)
	if k.Bury == nil {
		return k.Backend.load(k.Prefix+key, e.cfg.Now())
	}
	// At that time nothing had expired.
	rec, err := k.Backend.load(k.Prefix+key, time.UnixMilli(0))
	if err != nil || !rec.Expired(e.cfg.Now()) {
		return rec, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.MaxWait)
	defer cancel()
	if err := k.Bury(ctx, rec); err != nil {
		return nil, storeError(phaseLoad, err)
	}
	return &store.Record{Key: rec.Key}, nil
}

// expire takes an instance out of memory that has expired. It reports false if
// that has to wait for an answer of the store.
func (e *Engine) expire(in *Instance, now time.Time) bool {
	in.lock()
	if v := in.snapshot.Load(); !v.expired(now) {
		in.unlock()
		return true // it was changed in the last moment: look again
	}
	in.idle = in.kind.Backend == nil // else the store's record tells
	return e.expelLocked(in, true)
}

// end returns a channel that is closed when in has died, or is not about to.
func (in *Instance) end() <-chan struct{} {
	in.lock()
	defer in.unlock()
	if in.m.dead || !in.m.doomed && (in.owed == nil || !in.owed.doomed) {
		now := make(chan struct{})
		close(now)
		return now
	}
	if in.ended == nil {
		in.ended = make(chan struct{})
	}
	return in.ended
}

// over tells those who wait for it that in has died.
func (in *Instance) over() {
	in.lock()
	defer in.unlock()
	if in.ended != nil {
		close(in.ended)
		in.ended = nil
	}
}
