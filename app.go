package stay

import (
	"context"
	"fmt"
	"io"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/signing"
	"github.com/stay-go/stay/store"
)

// An App is the modules, the store and the limits of one application. Its
// methods may be called concurrently.
type App struct {
	*registry
	sessions sessions
	keys     *signing.Keys
	checks   checks
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
	app := &App{registry: newRegistry(opts.withDefaults())}
	o := &app.opts
	o.guests(f)
	app.manyOwners.Store(!f.SoleOwner)
	app.observer = newObserver(app.base)
	app.engine = engine.New(engine.Config{
		Now: o.Clock, Logger: o.Logger,
		MaxInstances: o.MaxInstances, MaxBytes: o.MaxBytes, MaxGuests: o.MaxGuests, GuestIdle: o.IdleTimeout,
		MaxState: o.MaxState, MaxWaiters: o.MaxWaiters, MaxWait: o.MaxWait, CommitTimeout: o.CommitTimeout,
		Report: app.reportFault, Observer: app.observer.engine(),
	})
	app.catalog = app.catalogOf(s)
	app.backend = app.catalog.backend
	app.sessions.init(app.registry)
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
