package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/store"
)

// The store is asked in short attempts, because a call whose connection is
// broken would otherwise hold up those who wait for it until all patience is
// over. The next attempt may take twice as long, so a store that is slow, and
// not broken, comes to its end.
const (
	firstAttempt = 2 * time.Second
	// bytesPerSecond is the rate at which a commit of large values must get on.
	bytesPerSecond = 2 << 20
)

// attempt is how long the next sending of r may take. While its outcome is in
// doubt, this is not much longer than it is repeated.
func (r *request) attempt(now time.Time) time.Duration {
	d := firstAttempt << min(r.tries, 8)
	if !r.doubted.IsZero() {
		d = min(d, max(firstAttempt, r.backend.commitTimeout-now.Sub(r.doubted)))
	}
	return d
}

// untouched reports whether r must be sent again because the store has done
// nothing within the attempt. Its patience is CommitTimeout, as for requests
// with an unknown outcome.
func (r *request) untouched(res store.Result) bool {
	b := r.backend
	if res.Outcome != store.Rejected || r.sent > 1 || !unavailable(res.Err) || b.ctx.Err() != nil {
		return false
	}
	if time.Since(r.queued) >= b.commitTimeout {
		r.lane.silent(r.answers, res.Err)
		return false
	}
	r.sent--
	return true
}

// load asks for records, again and again until MaxWait is over if the store
// does not answer.
func (l *lane) load(reads []store.Read) ([]store.Record, error) {
	ctx := l.queries.context()
	end, answers := time.Now().Add(l.maxWait), l.pulse.answers.Load()
	for d := firstAttempt; ; d *= 2 {
		if err := l.pulse.gone(); err != nil {
			return nil, err
		}
		left := time.Until(end)
		last := d >= left || l.features.Immediate
		if last {
			d = left
		}
		recs, over, err := l.loadWithin(ctx, d, reads)
		l.pulse.heard(err)
		switch {
		case err == nil || !over || !unavailable(err):
			return recs, err
		case last:
			l.silent(answers, err)
			return nil, err
		}
	}
}

// loadWithin makes one call of Store.Load. over means that its time was over.
func (l *lane) loadWithin(ctx context.Context, d time.Duration, reads []store.Read) (recs []store.Record, over bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	recs, err = l.checked.Load(ctx, reads)
	return recs, ctx.Err() != nil && l.ctx.Err() == nil, err
}

// unavailable reports whether an error is one of the store and not of a record.
func unavailable(err error) bool {
	for _, is := range []error{store.ErrUnavailable, store.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
