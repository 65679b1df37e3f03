package stay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/bind"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/loglimit"
	"github.com/stay-go/stay/internal/recent"
	"github.com/stay-go/stay/internal/running"
	"github.com/stay-go/stay/store"
)

// A base holds what all parts of an App use: its options, the engine, and the
// reporting of failures.
type base struct {
	opts       Options
	engine     *engine.Engine
	observer   *observer                  // nil: neither Metrics nor Tracer is set
	recent     atomic.Pointer[recent.Log] // nil: nobody inspects the App
	manyOwners atomic.Bool                // some store has other owners
	limits     map[logKey]*loglimit.Limit
	binder     bind.Binder
	ops        sync.Pool    // of *op
	running    *running.Set // nil: not in development
}

// logger returns the App's logger.
func (a *base) logger() *slog.Logger { return a.opts.Logger }

// report hands a failure to a module's hook, else to the App's, else to the
// log. Many failures happen in the engine's goroutines, which a hook must not
// end. A hook that fails is logged. The Call is invalid after report returns.
func (a *base) report(hook func(*Call, *Error), call *Call, e *Error) {
	a.observer.failed(e)
	a.recent.Load().Failed(recent.Failure{Code: string(e.Code), Module: e.Module, Action: e.Action, Phase: e.Phase, KeyHash: e.KeyHash})
	if hook == nil {
		hook = a.opts.OnError
	}
	if hook == nil {
		a.logFailure(logKey(e.Code), "stay: "+e.Phase+" failed", slog.String("module", e.Module), slog.String("action", e.Action),
			slog.String("key_hash", e.KeyHash), slog.Any("error", e))
		return
	}
	failure := isolated(func() { hook(call, e) })
	call.run.End()
	if p, ok := failure.(panicError); ok {
		a.logFailure(logKey(ErrInternal), "stay: OnError panicked", slog.String("module", e.Module), slog.Any("panic", p.value), slog.Any("error", e))
	} else if failure != nil {
		a.logFailure(logKey(ErrInternal), "stay: OnError ended its goroutine (runtime.Goexit)", slog.String("module", e.Module), slog.Any("error", e))
	}
}

// A logKey names a kind of log line that is limited: a code, or one of these.
type logKey string

const (
	logMetrics logKey = "stay: metrics"
	logTracer  logKey = "stay: tracer"
	logDropped logKey = "stay: dropped"
)

// newLimits returns the limits of log lines: one for each key, so that many
// failures of one kind do not hide the others.
func newLimits() map[logKey]*loglimit.Limit {
	all := map[logKey]*loglimit.Limit{logMetrics: {}, logTracer: {}, logDropped: {}}
	for _, c := range []Code{
		ErrUnavailable, ErrUnknown, ErrBusy, ErrClosed, ErrConflict, ErrTooLarge, ErrInvalid, ErrCorrupt, ErrInternal,
	} {
		all[logKey(c)] = &loglimit.Limit{}
	}
	return all
}

func (a *base) logFailure(key logKey, text string, attrs ...slog.Attr) {
	a.logCrowd(slog.LevelError, key, text, attrs...)
}

// logCrowd logs a line, or only counts it if too many lines with this key were
// logged in this second. The user's own codes share the limit of ErrInternal.
func (a *base) logCrowd(level slog.Level, key logKey, text string, attrs ...slog.Attr) {
	ctx, log := a.engine.Context(), a.logger()
	if !log.Enabled(ctx, level) {
		return
	}
	q := a.limits[key]
	if q == nil {
		q = a.limits[logKey(ErrInternal)]
	}
	ok, leftOut := q.Take(time.Now())
	if !ok {
		return
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(ctx, level, text, filled(attrs...)...)
}

// filled returns attrs without those whose value is an empty text.
func filled(attrs ...slog.Attr) []slog.Attr {
	return slices.DeleteFunc(attrs, func(a slog.Attr) bool { return a.Value.Equal(slog.StringValue("")) })
}

// sync brings instances in memory up to date with stores that have other
// owners, with one call for each store (N1). On a store with a sole owner
// memory is always current, so sync does not ask it.
func (a *base) sync(ctx context.Context, refs ...engine.Ref) error {
	for _, err := range a.syncEach(ctx, refs) {
		if err != nil {
			return err
		}
	}
	return nil
}

// syncEach is sync with an error for each instance; nil if no store was asked.
func (a *base) syncEach(ctx context.Context, refs []engine.Ref) []error {
	shared := refs[:0:0]
	var of []int
	for i, ref := range refs {
		if b := ref.Kind.Backend; b != nil && !b.Features().SoleOwner && !ref.New {
			ref.First = true // the use that follows counts, not this one
			shared, of = append(shared, ref), append(of, i)
		}
	}
	if len(shared) == 0 || ctx.Value(remembered{}) != nil {
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

// remembered marks a context in which memory counts as it is: sync does not ask
// the store.
type remembered struct{}

// listPage is how many keys one call of the store lists.
const listPage = 256

var errNoList = errors.New("the store has no list of its keys (Features.List)")

// listKeys calls use with the keys of a kind that begin with a prefix and come
// after the given one, page by page, until use returns false. The keys, the prefix
// and after are without the prefix of the kind. Errors name the module, "" for
// none.
func (a *base) listKeys(ctx context.Context, module string, k *engine.Kind, prefix, after string, use func(keys []string, now time.Time) (more bool, err error)) error {
	lister, ok := k.Backend.Store().(store.Lister)
	if !ok || !k.Backend.Features().List {
		return &Error{Code: ErrInvalid, Module: module, Phase: "load", Message: "the store cannot list its keys", Err: errNoList}
	}
	for {
		now := a.opts.Clock()
		keys, err := a.keyPage(ctx, module, k.Prefix, lister, prefix, after, now)
		if err != nil || len(keys) == 0 {
			return err
		}
		if more, err := use(keys, now); !more || err != nil || len(keys) < listPage {
			return err
		}
		after = keys[len(keys)-1]
	}
}

// keyPage returns one page of listKeys. The App closes the store only after it.
func (a *base) keyPage(ctx context.Context, module, kind string, lister store.Lister, prefix, after string, now time.Time) ([]string, error) {
	if !a.engine.Begin() {
		return nil, closedError(module, "load", nil)
	}
	defer a.engine.End()
	if after != "" {
		after = kind + after
	}
	listed, err := lister.List(ctx, now, kind+prefix, after, listPage)
	if err != nil {
		return nil, &Error{Code: storeCode(err), Module: module, Phase: "load", Err: err}
	}
	keys := slices.Clone(listed)
	for i, key := range keys {
		keys[i] = key[len(kind):]
	}
	return keys, nil
}

// earliest returns the first of the times that are after now; zero if none is.
func earliest(now time.Time, times ...time.Time) (first time.Time) {
	for _, t := range times {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
