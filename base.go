package stay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/bind"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/quota"
)

// A base is what all parts of an App stand on: its options, the engine, and how
// failures are told.
type base struct {
	opts       Options
	engine     *engine.Engine
	observer   *observer   // nil: nobody measures or traces
	manyOwners atomic.Bool // some store has other owners
	quotas     map[Code]*quota.Quota
	binder     bind.Binder
	ops        sync.Pool // of *op
}

// logger returns the App's logger.
func (a *base) logger() *slog.Logger { return a.opts.Logger }

// report hands a failure to a module's hook, else to the App's, else to the
// log. Much of what goes wrong does so in goroutines of the engine's, which a
// hook must not end; one that fails itself is logged. The call is over when it
// returns.
func (a *base) report(hook func(*Call, *Error), call *Call, e *Error) {
	a.observer.failed(e)
	if hook == nil {
		hook = a.opts.OnError
	}
	if hook == nil {
		a.logFailure(e.Code, "stay: "+e.Phase+" failed", slog.String("module", e.Module), slog.String("action", e.Action),
			slog.String("key_hash", e.KeyHash), slog.Any("error", e))
		return
	}
	failure := apart(func() { hook(call, e) })
	call.run.over.Store(true)
	if p, ok := failure.(panicError); ok {
		a.logFailure(ErrInternal, "stay: OnError panicked", slog.String("module", e.Module), slog.Any("panic", p.value), slog.Any("error", e))
	} else if failure != nil {
		a.logFailure(ErrInternal, "stay: OnError ended its goroutine", slog.String("module", e.Module), slog.Any("error", e))
	}
}

// What is logged in crowds beside failures with a code.
const (
	crowdMetrics Code = "stay: metrics"
	crowdTracer  Code = "stay: tracer"
	crowdDropped Code = "stay: dropped"
)

// newQuotas returns what bounds the lines of failures: one quota for each code,
// so that a store that fails in crowds leaves the others theirs.
func newQuotas() map[Code]*quota.Quota {
	qs := map[Code]*quota.Quota{}
	for _, c := range []Code{
		ErrUnavailable, ErrUnknown, ErrBusy, ErrClosed, ErrConflict, ErrTooLarge, ErrInvalid, ErrCorrupt, ErrInternal,
		crowdMetrics, crowdTracer, crowdDropped,
	} {
		qs[c] = &quota.Quota{}
	}
	return qs
}

func (a *base) logFailure(code Code, text string, attrs ...slog.Attr) {
	a.logCrowd(slog.LevelError, code, text, attrs...)
}

// logCrowd logs one of what may come in crowds, or counts it where too many of
// them are logged in this second. Codes of the user's own share the quota of
// ErrInternal.
func (a *base) logCrowd(level slog.Level, crowd Code, text string, attrs ...slog.Attr) {
	ctx, log := a.engine.Context(), a.logger()
	if !log.Enabled(ctx, level) {
		return
	}
	q := a.quotas[crowd]
	if q == nil {
		q = a.quotas[ErrInternal]
	}
	ok, leftOut := q.Take(time.Now())
	if !ok {
		return
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(ctx, level, text, attrs...)
}

// sync brings what memory holds of the instances up to date with stores that
// have other owners, with one call for each store (N1). On a store with a sole
// owner memory is the truth, and nothing is asked.
func (a *base) sync(ctx context.Context, refs ...engine.Ref) error {
	for _, err := range a.syncEach(ctx, refs) {
		if err != nil {
			return err
		}
	}
	return nil
}

// syncEach is sync, with an error for each instance; nil if nothing was asked.
func (a *base) syncEach(ctx context.Context, refs []engine.Ref) []error {
	shared := refs[:0:0]
	var of []int
	for i, ref := range refs {
		if b := ref.Kind.Backend; b != nil && !b.Features().SoleOwner && !ref.New {
			ref.First = true // what counts is the use that follows
			shared, of = append(shared, ref), append(of, i)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	errs, release := a.engine.Prefetch(ctx, shared)
	release()
	all := make([]error, len(refs))
	for i, err := range errs {
		all[of[i]] = err
	}
	return all
}
