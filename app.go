package stay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/bind"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/quota"
	"github.com/stay-go/stay/internal/signing"
	"github.com/stay-go/stay/store"
)

// An App is the modules, the store and the limits of one application. Its
// methods may be called concurrently.
type App struct {
	opts     Options
	engine   *engine.Engine
	backend  *engine.Backend
	sessions sessions
	keys     *signing.Keys
	checks   checks
	shared   atomic.Bool // some store has other owners
	observer *observer   // nil: nobody measures or traces
	quotas   map[Code]*quota.Quota
	binder   bind.Binder
	ops      sync.Pool // of *op

	mu       sync.RWMutex
	modules  map[string]*module
	catalog  *catalog   // of the App's store
	catalogs []*catalog // of all stores that hold the App's states, that of sessions first

	pageResets pageResets
}

// New returns an App that keeps its state in store, which it owns from now
// on: Close closes it. A nil opts means the defaults. New does no I/O, so it
// cannot fail; it panics on a nil store, on options that make no sense, and
// on a store that lacks what an App needs.
func New(s store.Store, opts *Options) *App {
	if s == nil {
		panic("stay.New: the store is nil: open one, for example sqlitestore.Open(\"app.db\") or memstore.New()")
	}
	f := s.Features()
	if !f.Groups {
		panic("stay.New: the store has no atomic groups (Features.Groups), which sessions need: use a store that has them")
	}
	app := &App{opts: opts.withDefaults(), modules: map[string]*module{}, quotas: newQuotas()}
	o := &app.opts
	o.guests(f)
	app.shared.Store(!f.SoleOwner)
	app.observer = newObserver(app)
	app.engine = engine.New(engine.Config{
		Now: o.Clock, Logger: o.Logger,
		MaxInstances: o.MaxInstances, MaxBytes: o.MaxBytes, MaxGuests: o.MaxGuests, GuestIdle: o.IdleTimeout,
		MaxState: o.MaxState, MaxWaiters: o.MaxWaiters, MaxWait: o.MaxWait, CommitTimeout: o.CommitTimeout,
		Report: app.reportFault, Observer: app.observer.engine(),
	})
	app.catalog = app.catalogOf(s)
	app.backend = app.catalog.backend
	app.sessions.init(app)
	app.keys = newKeys(app)
	app.observer.begin()
	// The keys are looked at apart, since a hook of the user's may hold up a sweep.
	app.engine.Go(func(ctx context.Context) { everyMinute(ctx, app.sweepKeys) })
	app.engine.Go(func(ctx context.Context) { everyMinute(ctx, app.sweepOnce) })
	if !f.Expire {
		o.Logger.Warn("stay: the store cannot find what has expired (Features.Expire), so what ended sessions have left stays in it until something else removes it")
	}
	return app
}

// Close refuses new work with ErrClosed, waits for what is under way until
// ctx ends, stores what Debounce has kept back, has OnDestroyed called for
// every state in memory, stops every goroutine and closes the store. What was
// acknowledged is stored; what had not been acknowledged when ctx ended may be
// lost, and its callers are told. It returns the context's error in that case,
// or if hooks were left out, else the store's. Called again, it waits for the
// first call and returns nil, for that has told what there was to tell. A hook
// of the user's that ignores its context holds it up. Inside a change of state
// it does nothing and returns ErrNested.
//
// States of modules with Debounce that cannot be stored are tried again until
// ctx ends, or for Options.CommitTimeout if it has no deadline. Then their last
// changes are lost: each is reported, and Close returns ErrUnavailable, which
// wraps the context's error if there is one, else the cause.
func (a *App) Close(ctx context.Context) error {
	if nested(ctx) {
		return nestedError("")
	}
	err := a.engine.Close(ctx)
	a.observer.end()
	if ee, ok := err.(*engine.Error); ok {
		return &Error{Code: ErrUnavailable, Phase: "save", Message: ee.Text, Err: ee.Err}
	}
	return err
}

// Format implements fmt.Formatter: what an App is made of changes while it is
// printed, and is nobody's business.
func (a *App) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "stay.App") }

// logger returns the App's logger.
func (a *App) logger() *slog.Logger { return a.opts.Logger }

func (a *App) add(m *module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.modules[m.name] != nil {
		panic(fmt.Sprintf("stay.Register: module %q is registered twice: give each module of an App its own name", m.name))
	}
	a.modules[m.name] = m
	m.catalog.registered.Add(1)
	a.pageResets.add(m)
}

// reportFault is told by the engine of failed loads and saves. A session that
// may not begin is none: its caller is told, and many more would follow.
func (a *App) reportFault(k *engine.Kind, key, phase string, err error) {
	if errors.Is(err, errNewSessions) {
		return
	}
	a.mu.RLock()
	m := a.modules[k.Name]
	a.mu.RUnlock()
	call := a.newCall(a.engine.Context(), "", "")
	e := toError(err)
	if m != nil && (m.kind == k || m.guest == k) {
		call.module, e.Module = m.name, m.name
	} else {
		m = nil // a session's record
	}
	if e.Phase == "" || phase == "save" { // whatever made it fail
		e.Phase = phase
	}
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	a.report(m, call, e)
}

// report hands a failure to the module's hook, else to the App's, else to the
// log. Much of what goes wrong does so in goroutines of the engine's, which a
// hook must not end; one that fails itself is logged. The call is over when it
// returns.
func (a *App) report(m *module, call *Call, e *Error) {
	a.observer.failed(e)
	hook := a.opts.OnError
	if m != nil && m.onError != nil {
		hook = m.onError
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

func (a *App) logFailure(code Code, text string, attrs ...slog.Attr) {
	a.logCrowd(slog.LevelError, code, text, attrs...)
}

// logCrowd logs one of what may come in crowds, or counts it where too many of
// them are logged in this second. Codes of the user's own share the quota of
// ErrInternal.
func (a *App) logCrowd(level slog.Level, crowd Code, text string, attrs ...slog.Attr) {
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
