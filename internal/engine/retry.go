package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Retry counts how often a change has started again.
type Retry struct {
	attempt  int
	deadline time.Time
	asks     bool // the store is to be asked whether memory is up to date
}

// Pause is called before a change starts again. It spreads changes that
// collide, and fails when the caller's context, or MaxWait, is over.
func (e *Engine) Pause(ctx context.Context, r *Retry) error {
	if e.refuse.Load() && e.ctx.Err() != nil {
		return errClosed()
	}
	if err := e.overdue(ctx, r); err != nil {
		return err
	}
	r.attempt++
	return e.spread(ctx, r.attempt-1)
}

// overdue fails when the change has been tried for as long as its caller's
// context, or MaxWait, allows.
func (e *Engine) overdue(ctx context.Context, r *Retry) error {
	if r.deadline.IsZero() {
		r.deadline = time.Now().Add(e.cfg.MaxWait)
		if d, ok := ctx.Deadline(); ok {
			r.deadline = d
		}
	}
	if !time.Now().Before(r.deadline) {
		return errOutrun(ctx)
	}
	return nil
}

func errOutrun(ctx context.Context) error {
	return fail(Conflict, "other callers kept changing the state", ctx.Err())
}

// spread waits before a change that collides again and again: for one round
// trip at most, because whoever waits for longer loses to those who do not.
func (e *Engine) spread(ctx context.Context, attempt int) error {
	if attempt < 3 {
		return nil
	}
	most := min(time.Millisecond<<min(attempt-3, 6), max(e.roundTrip(), time.Millisecond))
	t := time.NewTimer(rand.N(most))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errOutrun(ctx)
	}
}

// roundTrip is how long the last commit took, at the slowest store.
func (e *Engine) roundTrip() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var most time.Duration
	for _, b := range e.backends {
		for l := range b.all() {
			most = max(most, time.Duration(l.took.Load()))
		}
	}
	return most
}
