package access

import (
	"context"
	"sync/atomic"
)

// A Run is the context inside a run of user code that changes a state: other
// changes made with it are refused until the run is over. It stands in what its
// maker needs anyway, so that a run costs no allocation.
type Run struct {
	context.Context // that of the caller
	over            atomic.Bool
}

type runKey struct{}

// Value implements context.Context.
func (r *Run) Value(key any) any {
	if key == (runKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// End ends the run: what goes on with its context is no part of it.
func (r *Run) End() { r.over.Store(true) }

// Running reports whether ctx belongs to a run that is under way.
func Running(ctx context.Context) bool {
	r, _ := ctx.Value(runKey{}).(*Run)
	return r != nil && !r.over.Load()
}
