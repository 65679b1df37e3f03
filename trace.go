package stay

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Tracer makes spans of changes of states and sessions; see [Options].Tracer.
// Package stayotel has one for OpenTelemetry.
type Tracer interface {
	// Start begins the span of a change in its caller's goroutine. The change goes
	// on with the context that Start returns, which is ctx or derived from it: the
	// function of the change, its action and functions passed to Call.After get
	// that context. The function that Start returns ends the span. It is called in
	// the same goroutine when the change is about to return or to panic; by then
	// span has the outcome of the change. It may be nil.
	//
	// Both are called concurrently and in the middle of work: they must return at
	// once, must not panic or end their goroutine, and must not call the App. A
	// panic is logged, and the change goes on without a span, or returns as if the
	// span had ended.
	Start(ctx context.Context, span *Span) (context.Context, func())
}

// A Span is one change of state: an Update, Do, Reset, ResetAll or Delete, or a
// change that package web makes. Or it is one change of a session, which has no
// module: a Login, Logout, Renew, Destroy or Revoke, whose name in lower case
// is the action. Fields may be added.
type Span struct {
	Module string // "" for a change of a session
	Action string // "" if the change is not one of the module's actions

	// The rest is set when the span ends. Changes of sessions have Err and Code
	// only.

	// Wait is the time until the change first had its turn; 0 if it never had.
	Wait time.Duration
	// Runs is the number of calls of the change's function.
	Runs int
	// Batch is the number of changes that one write of the record stored, this one
	// included; 0 if the change needed no write, or if the number is not known.
	Batch int
	// Err is the error that the change returned. For a change that panics, or ends
	// its goroutine, it is an error of class ErrInternal.
	Err error
	// Code says how the change ended, as [Measurement].Code does: "" if it
	// succeeded, the code of Err, or "canceled" where it failed because its
	// caller's context was cancelled.
	Code Code
}

// canceled replaces, in measurements and spans, the code of an error that comes
// from the caller's cancelled context. No error has this code.
const canceled Code = "canceled"

// outcome returns the code that measurements and spans have for the error that
// a change returned to a caller with ctx. A cancelled context is not a failure;
// an expired deadline may be one.
func outcome(ctx context.Context, err error) Code {
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) {
		return canceled
	}
	return CodeOf(err)
}

// A measured change is one change of state.
type measured struct {
	observer *observer
	span     Span
	began    time.Time
	caller   context.Context // context of the caller
	ctx      context.Context // with the span
	end      func()          // ends the span; nil: there is none
	batch    atomic.Int32    // written by the goroutine that commits
}

var errCutOff = &Error{Code: ErrInternal, Phase: "run", Err: errors.New("the change has panicked, or ended its goroutine")}

// change runs fn, a change of a session, and measures and traces it. Without an
// observer it only calls fn, so that fn's variables can stay on the caller's
// stack.
func (ob *observer) change(ctx context.Context, name string, fn func(context.Context) error) error {
	if ob == nil {
		return fn(ctx)
	}
	w := ob.follow(ctx, "", name)
	defer w.over()
	err := fn(w.ctx)
	w.span.Err = err
	return err
}

// follow begins to measure a change, which goes on with the context in the
// result.
func (ob *observer) follow(ctx context.Context, module, action string) *measured {
	w := &measured{observer: ob, span: Span{Module: module, Action: action}, began: time.Now(), caller: ctx, ctx: ctx}
	if ob.tracer != nil {
		w.start()
	}
	w.span.Err = errCutOff // until it has returned
	return w
}

// over ends the measurement that follow began.
func (w *measured) over() {
	w.span.Batch = int(w.batch.Load())
	w.span.Code = outcome(w.caller, w.span.Err)
	if w.end != nil {
		w.finish()
	}
	w.observer.updated(w)
}

func (w *measured) start() {
	defer w.recovered()
	w.ctx, w.end = w.observer.tracer.Start(w.caller, &w.span)
}

func (w *measured) finish() {
	defer w.recovered()
	w.end()
}

// recovered is deferred around calls of a Tracer: when the Tracer ends a span,
// the change may be stored, and its caller must get that result and not a
// panic.
func (w *measured) recovered() {
	if p := recover(); p != nil {
		w.observer.app.logFailure(logTracer, "stay: Tracer panicked",
			slog.String("module", w.span.Module), slog.String("action", w.span.Action), slog.Any("panic", p))
	}
}

// run notes that the function of the change runs.
func (w *measured) run() {
	if w.span.Runs++; w.span.Runs == 1 {
		w.span.Wait = time.Since(w.began)
	}
}
