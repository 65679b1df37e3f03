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
}

// Pause is called before a change starts again. It spreads changes that
// collide, and fails when the caller's context, or MaxWait, is over.
func (e *Engine) Pause(ctx context.Context, r *Retry) error {
	if e.refuse.Load() && e.ctx.Err() != nil {
		return errClosed()
	}
	if r.attempt == 0 {
		r.deadline = time.Now().Add(e.cfg.MaxWait)
		if d, ok := ctx.Deadline(); ok {
			r.deadline = d
		}
	}
	r.attempt++
	return pauseBeforeRetry(ctx, r.attempt-1, r.deadline)
}

// pauseBeforeRetry spreads changes that collide again and again.
func pauseBeforeRetry(ctx context.Context, attempt int, deadline time.Time) error {
	if !time.Now().Before(deadline) {
		return fail(Conflict, "other callers kept changing the state", ctx.Err())
	}
	if attempt < 3 {
		return nil
	}
	most := time.Millisecond << min(attempt-3, 6)
	t := time.NewTimer(rand.N(most))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fail(Conflict, "other callers kept changing the state", ctx.Err())
	}
}
