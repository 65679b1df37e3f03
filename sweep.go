package stay

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// everyMinute calls do about once a minute until ctx ends, at different moments
// in different processes. If user code ends the goroutine, only that one call
// is lost.
func everyMinute(ctx context.Context, do func(context.Context)) {
	for {
		t := time.NewTimer(time.Minute/2 + rand.N(time.Minute))
		select {
		case <-t.C:
			done := make(chan struct{})
			go func() {
				defer close(done)
				do(ctx)
			}()
			<-done
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// sweepOnce removes expired records.
func (a *App) sweepOnce(ctx context.Context) {
	a.engine.Sweep(ctx)
	for _, c := range a.allCatalogs() {
		c.refresh(ctx)
		err := c.sweeper.Sweep(ctx, &owner{app: a, catalog: c})
		if err == nil || ctx.Err() != nil {
			continue
		}
		e := &Error{Code: ErrUnavailable, Phase: "expire", Err: err}
		if code := CodeOf(err); code != ErrInternal {
			e.Code = code
		}
		a.report(nil, a.newCall(ctx, "", ""), e)
	}
}

// An owner tells one sweep who owns the records in a store.
type owner struct {
	app     *App
	catalog *catalog
	modules *catalogRecord // modules of all programs on the store
}

// Prepare implements sweep.Owner: states with hooks of other programs must not
// be removed.
func (o *owner) Prepare(ctx context.Context) (err error) {
	o.modules, err = o.catalog.read(ctx)
	return err
}

// Ended implements sweep.Owner.
func (o *owner) Ended(session *store.Record) time.Time {
	if at := o.app.sessions.stored(session).past().Ended; at != 0 {
		return time.UnixMilli(at)
	}
	return time.Time{}
}

// States implements sweep.Owner.
func (o *owner) States(id string, session *store.Record) (keys []string) {
	rec := o.app.sessions.stored(session)
	for _, st := range o.app.statesOfSession(id, rec) {
		if st.kind.Backend == o.catalog.backend {
			keys = append(keys, st.kind.Prefix+st.key)
		}
	}
	return append(keys, o.app.foreignStates(o.modules, id, rec)...)
}

// Save implements sweep.Owner.
func (o *owner) Save(ctx context.Context, keys []string) {
	var unsaved []engine.Ref
	for _, key := range keys {
		if _, k, id := o.app.stateOf(key); k != nil && k.Debounce > 0 {
			unsaved = append(unsaved, engine.Ref{Kind: k, Key: id})
		}
	}
	_ = o.app.engine.Flush(ctx, unsaved...) // a failure reports itself
}

// Hooked implements sweep.Owner.
func (o *owner) Hooked(key string) bool {
	m, _, _ := o.app.stateOf(key)
	return m != nil && m.expired != nil
}

// HookElsewhere implements sweep.Owner. It logs the first state of each module.
func (o *owner) HookElsewhere(key string) bool {
	if !o.app.hookElsewhere(o.modules, key) {
		return false
	}
	_, name, _ := keyspace.Split(key)
	o.catalog.say("stay: this program leaves expired states of the module to another program, which runs its OnExpire", name)
	return true
}

// Expire implements sweep.Owner.
func (o *owner) Expire(ctx context.Context, rec *store.Record) error {
	m, _, key := o.app.stateOf(keyspace.Original(rec.Key))
	v, err := m.stored(rec)
	if err != nil {
		return m.corrupt(key, err)
	}
	m.runHook(ctx, "onExpire", key, v, m.expired)
	return nil
}

// Gone implements sweep.Owner: it drops removed states from memory, unless
// memory has a newer version.
func (o *owner) Gone(d *sweep.Due) {
	e := o.app.engine
	for rec := range d.Removed() {
		if _, k, key := o.app.stateOf(rec.Key); k != nil && k.Backend != nil {
			e.EndKey(k, key, o.catalog.store.Revision(rec.Key, rec.Revision), false)
		}
	}
	id, rec := d.Session()
	if rec == nil {
		return
	}
	if !d.Ended() {
		o.app.observer.measure(Measurement{Name: sessionsExpired, Value: 1})
	}
	e.EndKey(o.app.sessions.kind, id, rec.Revision, false)
	for _, st := range o.app.statesOfSession(id, o.app.sessions.stored(rec)) {
		if st.kind.Backend == nil {
			e.EndKey(st.kind, st.key, 0, !d.Ended())
		}
	}
}

// sweepKeys reads the signing keys again, and rotates or removes them when that
// is due.
func (a *App) sweepKeys(ctx context.Context) {
	if err := a.keys.Sweep(ctx); err != nil {
		a.report(nil, a.newCall(ctx, "", ""), &Error{Code: signingCode(err), Phase: "sign", Err: err})
	}
}
