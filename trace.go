package stay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A Tracer makes spans of changes of state; see [Options].Tracer. Package
// stayotel has one for OpenTelemetry.
type Tracer interface {
	// Start begins the span of a change in its caller's goroutine. The change
	// goes on with the context that it returns, which is ctx or made of it: the
	// function of the change, its action and what it puts off with Call.After
	// see that one. The function it returns ends the span; it is called in the
	// same goroutine when the change is about to return or to panic, and finds
	// in span what became of the change.
	Start(ctx context.Context, span *Span) (context.Context, func())
}

// A Span is one change of state: an Update, Do, Reset, ResetAll or Delete, or
// what package web makes of one. Fields may be added.
type Span struct {
	Module string
	Action string // "" where the change is none of the module's actions

	// The rest is set when the span ends.

	// Wait is the time until the change first had its turn; 0 if it never had.
	Wait time.Duration
	// Runs is how often the function of the change was called.
	Runs int
	// Batch is how many changes were stored together with this one by one write
	// of the record; 0 if it needed none, or if that is not known.
	Batch int
	// Err is what the change returned. For a change that panics, or ends its
	// goroutine, it is an error of class ErrInternal.
	Err error
}

// A watch follows one change of state.
type watch struct {
	span  Span
	began time.Time
	batch atomic.Int32 // written by whoever commits
}

var errCutOff = &Error{Code: ErrInternal, Phase: "run", Err: errors.New("the change has panicked, or ended its goroutine")}

// update is core.update, measured and traced.
func (ob *observer) update(ctx context.Context, c core, o *op) (any, error) {
	w := &watch{span: Span{Module: c.module.name, Action: o.action}, began: time.Now()}
	o.watch = w
	end := func() {}
	if ob.tracer != nil {
		ctx, end = ob.tracer.Start(ctx, &w.span)
		if o.ctx != nil {
			o.ctx = ctx
		}
	}
	w.span.Err = errCutOff
	defer func() {
		w.span.Batch = int(w.batch.Load())
		end()
		ob.updated(ctx, w)
	}()
	v, err := c.update(ctx, o)
	w.span.Err = err
	return v, err
}

// run notes that the function of the change runs.
func (w *watch) run() {
	if w.span.Runs++; w.span.Runs == 1 {
		w.span.Wait = time.Since(w.began)
	}
}

// Batched implements engine.BatchedOp.
func (o *op) Batched(updates int) {
	if o.watch != nil {
		o.watch.batch.Store(int32(updates))
	}
}
