package stay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/signing"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// An App is the modules, the store and the limits of one application. Its
// methods may be called concurrently.
type App struct {
	*registry
	sessions sessions
	leases   leases
	keys     *signing.Keys
	checks   checks
}

// New returns an App that keeps its state in store. The App then owns the
// store, and Close closes it. A nil opts means the defaults. New does no I/O,
// so it cannot fail; it panics on a nil store, on invalid options, and on a
// store that lacks a feature that an App needs.
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
	if why := o.refuses(f); why != "" {
		panic("stay.New: the store " + why)
	}
	o.guests(f)
	app.manyOwners.Store(!f.SoleOwner)
	app.observer = newObserver(app.base)
	app.engine = engine.New(engine.Config{
		Now: o.Clock, Logger: o.Logger,
		MaxInstances: o.MaxInstances, MaxBytes: o.MaxBytes, MaxGuests: o.MaxGuests, GuestIdle: o.IdleTimeout,
		MaxState: o.MaxState, MaxWaiters: o.MaxWaiters, MaxWait: o.MaxWait, CommitTimeout: o.CommitTimeout, Absent: keyspace.Check, Turn: keyspace.Turn,
		Report: app.reportFault, Observer: app.observer.engine(),
	})
	app.catalog = app.catalogOf(s)
	app.backend = app.catalog.backend
	app.sessions.init(app.registry)
	app.leases.init(app.registry)
	app.keys = newKeys(app)
	app.observer.begin()
	// A separate goroutine reads the keys, because a user's hook may hold up a
	// sweep.
	app.engine.Go(func(ctx context.Context) { everyMinute(ctx, app.sweepKeys) })
	app.engine.Go(func(ctx context.Context) { everyMinute(ctx, app.sweepOnce) })
	if !f.Expire {
		o.Logger.Warn("stay: the store cannot find expired records (Features.Expire), so records of ended sessions, and marks of deleted states, stay in it until something else deletes them")
	}
	return app
}

// Close refuses new work with ErrClosed, waits for work under way until ctx
// ends, stores the changes that Debounce delayed, calls OnDestroyed for every
// state in memory, stops every goroutine and closes the store. It tells other nodes
// that its pages have gone, if the store takes that within a second. Acknowledged
// changes are stored. A change that was not acknowledged when ctx ended may be
// lost, and its caller gets an error. Close then returns the context's error,
// also if it left out hooks, otherwise the store's. A later call waits for the
// first one and returns nil, because the first call has reported every error. A
// user's hook that ignores its context holds Close up. Inside a change of state
// it does nothing and returns ErrNested.
//
// Close keeps trying to store the states of modules with Debounce until ctx
// ends, or for Options.CommitTimeout if ctx has no deadline. Then their last
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

// Format implements fmt.Formatter: the parts of an App change while it is
// printed, and they are private.
func (a *App) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "stay.App") }

// newKeys returns the signing keys in the App's store.
func newKeys(a *App) *signing.Keys {
	return signing.New(signing.Config{
		Store: a.backend.Store(), Now: a.opts.Clock, IdleTimeout: a.opts.IdleTimeout, MaxWait: a.opts.MaxWait,
		Begin: func() error {
			if !a.engine.Begin() {
				return closedError("", "sign", nil)
			}
			return nil
		},
		End: a.engine.End,
		Go:  a.engine.Go,
		Failed: func(cause error) error {
			return &Error{Code: signingCode(cause), Phase: "sign", Message: "the signing keys cannot be read", Err: cause}
		},
	})
}

// Check reports whether the App can do its work, for readiness probes: it reads
// from the App's store and from those of its modules, and returns nil when all
// have answered. It is ErrCorrupt when a store reports that it is damaged. It
// is ErrUnavailable, with the cause, when a store fails or has not answered
// when ctx ends or Options.MaxWait is over, and when a store does not take
// changes that Debounce has acknowledged. A store of several places, such as
// databases (store.Placer), has answered when one of them has. One state that
// cannot be stored, while others can, does not make Check fail. When the App
// knows that a store answers nobody, Check does not wait for it. It is
// ErrClosed once App.Close has begun. Check writes nothing, so otherwise it
// does not show whether the store takes writes.
//
// It may be called concurrently, also while a store is slow: one check runs at
// a time for each store, and other callers wait for that check.
func (a *App) Check(ctx context.Context) error {
	if a.engine.Closing() {
		return closedError("", "load", nil)
	}
	if a.engine.Failing() {
		return &Error{Code: ErrUnavailable, Phase: "save", Message: "changes cannot be stored at the moment", Err: errFailing}
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.MaxWait)
	defer cancel()
	var under []*checking
	catalogs := a.allCatalogs()
	for _, c := range catalogs {
		under = append(under, a.checks.join(a, c.backend)) // together
	}
	for i, c := range under {
		if err := c.wait(ctx); err != nil {
			return a.checkFailed(catalogs[i].backend, err)
		}
	}
	return nil
}

var errFailing = errors.New("a store did not save changes that Debounce delayed: see OnError or the log")

func (a *App) checkFailed(b *engine.Backend, err error) error {
	if a.engine.Closing() {
		return closedError("", "load", err)
	}
	if errors.Is(err, store.ErrCorrupt) {
		return &Error{Code: ErrCorrupt, Phase: "load", Message: a.storeName(b) + " is damaged", Err: err}
	}
	return &Error{Code: ErrUnavailable, Phase: "load", Message: a.storeName(b) + " is not available", Err: err}
}

// checks are those under way, one for each store.
type checks struct {
	mu    sync.Mutex
	under map[*engine.Backend]*checking
}

// A checking is one check of a store, shared by all callers that wait for it.
type checking struct {
	done chan struct{} // closed when err is set
	err  error
}

// join returns the check of the store that is under way, or begins one.
func (cs *checks) join(a *App, b *engine.Backend) *checking {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.under[b]; c != nil {
		return c
	}
	c := &checking{done: make(chan struct{}), err: store.ErrClosed}
	if !a.engine.Go(func(ctx context.Context) {
		defer func() {
			cs.mu.Lock()
			delete(cs.under, b)
			cs.mu.Unlock()
			close(c.done)
		}()
		c.err = sweep.ErrSilent
		c.err = a.checkStore(ctx, b)
	}) {
		close(c.done)
		return c
	}
	if cs.under == nil {
		cs.under = map[*engine.Backend]*checking{}
	}
	cs.under[b] = c
	return c
}

// wait returns how the check went, or an error when ctx ends before.
func (c *checking) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkStore reads from a store.
func (a *App) checkStore(ctx context.Context, b *engine.Backend) error {
	ctx, cancel := context.WithTimeout(ctx, a.opts.MaxWait)
	defer cancel()
	return b.Check(ctx)
}

// Sessions yields the sessions in which the user is logged in, as they are
// stored, in the order of their logins; if there are more than 1000, the latest
// 1000. A yielded session tells about the session and can end it. A context
// with it (see [WithSession]) reaches its states. The sequence ends with the
// first error.
//
// Such a session has no response that could set a new cookie, so the browser
// keeps the one it has: Renew is ErrInternal, and so is Login without
// Options.KeepCookieOnKeyChange. A Logout, and a change of a WithKey state's
// key, leave the cookie valid. After the Logout it is a guest's cookie, which
// the next login renews. Use Destroy or [App.Revoke] to shut out everyone who
// has the cookie.
func (a *App) Sessions(ctx context.Context, user string) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		ss, now := &a.sessions, a.opts.Clock()
		err := a.sync(ctx, engine.Ref{Kind: ss.users, Key: user, Now: now})
		var u *userRecord
		if err == nil {
			u, err = ss.user(ctx, user, now, nil)
		}
		if err != nil {
			err = ss.error(err, user)
			yield(nil, err)
			return
		}
		if u == nil {
			return
		}
		for _, listed := range u.Sessions {
			v, _, err := ss.fresh(ctx, listed.ID, now)
			if err != nil {
				yield(nil, err)
				return
			}
			rec := v.Value.(*sessionRecord)
			if rec == nil || rec.past().Ended != 0 || rec.user() != user || rec.past().Epoch != u.Epoch {
				continue
			}
			if over, _ := rec.over(now); over {
				continue
			}
			if !yield(ss.listed(listed.ID, rec), nil) {
				return
			}
		}
	}
}

// AllSessions yields the stored sessions, including those of guests, in
// ascending order of their IDs, for administration. It begins after the given
// ID, so that a page of a list can go on where the last one ended; "" is the
// beginning. Sessions may come and go meanwhile. The yielded sessions are like
// those of [App.Sessions]. A session whose record, or whose user's record,
// cannot be read is yielded with the error, and the next ones follow. Other
// errors end the sequence: on a store that cannot list its keys, ErrInvalid.
func (a *App) AllSessions(ctx context.Context, after string) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) { a.sessions.all(ctx, after, yield) }
}

// Users yields the users who are logged in somewhere, in ascending order, after
// the given one; "" is the beginning. If all sessions of a user were ended one
// by one, and not by Logout or [App.Revoke], the user is yielded until these
// would have expired: [App.Sessions] then yields none. Errors are as in
// AllSessions.
func (a *App) Users(ctx context.Context, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { a.sessions.allUsers(ctx, "", after, yield) }
}

// Revoke ends every session in which the user is logged in, in one step,
// however many there are. No request that begins afterwards reads or changes
// anything through them. A request that is under way may finish on states that
// exist. The user's states stay, and the user may log in again. It fails with
// ErrNested inside a change of state.
func (a *App) Revoke(ctx context.Context, user string) error {
	return a.observer.change(ctx, "revoke", func(ctx context.Context) error { return a.sessions.revoke(ctx, user) })
}
