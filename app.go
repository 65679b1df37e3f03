package stay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/store"
)

// An App is the modules, the store and the limits of one application. Its
// methods may be called concurrently.
type App struct {
	opts     Options
	engine   *engine.Engine
	backend  *engine.Backend
	sessions sessions
	keys     keyStore
	shared   atomic.Bool // some store has other owners

	mu      sync.RWMutex
	modules map[string]*module

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
	app := &App{opts: opts.withDefaults(), modules: map[string]*module{}}
	o := &app.opts
	o.guests(f)
	app.shared.Store(!f.SoleOwner)
	app.engine = engine.New(engine.Config{
		Now: o.Clock, Logger: o.Logger,
		MaxInstances: o.MaxInstances, MaxBytes: o.MaxBytes, MaxGuests: o.MaxGuests, GuestIdle: o.IdleTimeout,
		MaxState: o.MaxState, MaxWaiters: o.MaxWaiters, MaxWait: o.MaxWait, CommitTimeout: o.CommitTimeout,
		Report: app.reportFault,
	})
	app.backend = app.engine.Backend(s)
	app.sessions.init(app)
	app.keys.init(app)
	app.engine.Go(app.sweepAlways)
	return app
}

// Close refuses new work with ErrClosed, waits for what is under way until
// ctx ends, stops every goroutine and closes the store. What was acknowledged
// is stored; what had not been acknowledged when ctx ended may be lost, and
// its callers are told. It returns the context's error in that case, else the
// store's. It can be called again. A hook of the user's that ignores its
// context holds it up. Inside a change of state it does nothing and returns
// ErrNested.
func (a *App) Close(ctx context.Context) error {
	if nested(ctx) {
		return nestedError("")
	}
	return a.engine.Close(ctx)
}

// logger returns the App's logger.
func (a *App) logger() *slog.Logger { return a.opts.Logger }

func (a *App) add(m *module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.modules[m.name] != nil {
		panic(fmt.Sprintf("stay.Register: module %q is registered twice: give each module of an App its own name", m.name))
	}
	a.modules[m.name] = m
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
	call := newCall(a.engine.Context(), "", "")
	e := toError(err)
	if m != nil && (m.kind == k || m.guest == k) {
		call.module, e.Module = m.name, m.name
	} else {
		m = nil // a session's record
	}
	if e.Phase == "" {
		e.Phase = phase
	}
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	a.report(m, call, e)
}

// report hands a failure to the module's hook, else to the App's, else to the
// log. A hook that panics is logged. The call is over when it returns.
func (a *App) report(m *module, call *Call, e *Error) {
	hook := a.opts.OnError
	if m != nil && m.onError != nil {
		hook = m.onError
	}
	if hook == nil {
		a.logger().Error("stay: "+e.Phase+" failed", "module", e.Module, "action", e.Action, "key_hash", e.KeyHash, "error", e)
		return
	}
	defer func() {
		call.run.over.Store(true)
		if p := recover(); p != nil {
			a.logger().Error("stay: OnError panicked", "module", e.Module, "panic", p, "error", e)
		}
	}()
	hook(call, e)
}

const (
	sweepEvery = time.Minute
	sweepBatch = 256
)

// sweepAlways removes what has expired, about once a minute. Several
// processes do not do it at the same moment.
func (a *App) sweepAlways(ctx context.Context) {
	for {
		t := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery))
		select {
		case <-t.C:
			a.keys.sweep(ctx)
			a.sweep(ctx)
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// sweep removes expired records, and with a session's record the states of
// that session, as one group. The delete is the claim: of several who try,
// one succeeds.
func (a *App) sweep(ctx context.Context) {
	a.engine.Sweep()
	s := a.backend.Store()
	for ctx.Err() == nil {
		now := a.opts.Clock()
		recs, err := s.Expired(ctx, now, sweepBatch)
		if err != nil {
			a.sweepFailed(ctx, err)
			return
		}
		groups, err := a.expireGroups(ctx, now, recs)
		if err != nil {
			a.sweepFailed(ctx, err)
			return
		}
		gone := 0
		for i, res := range s.Commit(ctx, now, groups) {
			switch res.Outcome {
			case store.Applied:
				gone++
				for _, w := range groups[i] {
					a.forget(w.Key)
				}
			case store.Conflict: // somebody else was quicker, or changed a state
			default:
				a.sweepFailed(ctx, res.Err)
				return
			}
		}
		if len(recs) < sweepBatch || gone == 0 {
			return
		}
	}
}

// expireGroups makes the group of deletes for each expired record.
func (a *App) expireGroups(ctx context.Context, now time.Time, recs []store.Record) ([]store.Group, error) {
	claimed := map[string]bool{}
	var groups []store.Group
	for i := range recs {
		rec := &recs[i]
		if claimed[rec.Key] {
			continue
		}
		group := store.Group{{Op: store.Delete, Key: rec.Key, Base: rec.Revision}}
		claimed[rec.Key] = true
		if id, ok := strings.CutPrefix(rec.Key, a.sessions.kind.Prefix); ok {
			var session sessionRecord
			_ = json.Unmarshal(rec.Value, &session) // one that cannot be read has the states of a guest
			states, err := a.statesOf(ctx, now, id, &session)
			if err != nil {
				return nil, err
			}
			for _, st := range states {
				if !claimed[st.Key] {
					claimed[st.Key] = true
					group = append(group, store.Write{Op: store.Delete, Key: st.Key, Base: st.Revision})
				}
			}
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// statesOf returns the stored states of a session.
func (a *App) statesOf(ctx context.Context, now time.Time, id string, rec *sessionRecord) ([]store.Record, error) {
	var reads []store.Read
	for _, st := range a.statesOfSession(id, rec) {
		if st.kind.Backend == a.backend {
			reads = append(reads, store.Read{Key: st.kind.Prefix + st.key})
		}
	}
	if len(reads) == 0 {
		return nil, nil
	}
	recs, err := a.backend.Store().Load(ctx, now, reads)
	if err != nil {
		return nil, err
	}
	present := recs[:0:0]
	for _, rec := range recs {
		if rec.Revision != 0 {
			present = append(present, rec)
		}
	}
	return present, nil
}

func (a *App) sweepFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	a.report(nil, newCall(ctx, "", ""), &Error{Code: ErrUnavailable, Phase: "expire", Err: err})
}

// forget drops what memory holds of a record that has gone.
func (a *App) forget(key string) {
	if id, ok := strings.CutPrefix(key, a.sessions.kind.Prefix); ok {
		a.engine.Drop(a.sessions.kind, id)
		return
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, m := range a.modules {
		for _, k := range []*engine.Kind{m.kind, m.guest} {
			if k == nil || k.Backend == nil {
				continue
			}
			if id, ok := strings.CutPrefix(key, k.Prefix); ok {
				a.engine.Drop(k, id)
			}
		}
	}
}
