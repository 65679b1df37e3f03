package stay

import (
	"context"
	"errors"
	"log/slog"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// installHooks lets the module's hooks be called when states of the kind leave memory.
func (m *module) installHooks(k *engine.Kind) {
	if m.destroyed != nil {
		k.Destroyed = func(key string, v *engine.Version) {
			m.runHook(m.app.engine.Context(), "onDestroyed", key, v.Value, m.destroyed)
		}
	}
	switch {
	case k.Backend == nil && m.expired != nil:
		k.Idle = func(key string, v *engine.Version) {
			m.runHook(m.app.engine.Context(), "onExpire", key, v.Value, m.expired)
		}
	case k.Backend == nil:
	case m.expired != nil, m.expiry > 0 && !k.Backend.Features().SoleOwner: // another program may have the hook
		k.SetAside = m.setAside
	}
}

// runHook calls OnDestroyed or OnExpire.
func (m *module) runHook(ctx context.Context, phase, key string, v any, hook func(*Call, any)) {
	m.isolate(m.app.newCall(ctx, m.name, ""), phase, key, v, hook)
}

// isolate calls a hook with a copy of a state, and reports one that fails.
func (m *module) isolate(call *Call, phase, key string, v any, hook func(*Call, any)) {
	ctx := call.run.Context
	failure := isolated(func() { hook(call, m.schema.Clone(v)) })
	call.run.End()
	if failure != nil {
		m.app.report(m.onError, m.app.newCall(ctx, m.name, ""),
			&Error{Code: ErrInternal, Module: m.name, Phase: phase, KeyHash: keyHash(key), Err: failure})
	}
}

func (m *module) runCreated(ctx context.Context, restored bool, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Code: ErrInternal, Module: m.name, Phase: "onCreated", Err: panicError{p}}
		}
	}()
	call := m.app.newCall(ctx, m.name, "")
	call.restored = restored
	defer call.run.End()
	before := m.owner(v)
	if err := m.created(call, v); err != nil {
		return &Error{Code: CodeOf(err), Module: m.name, Phase: "onCreated", Err: err}
	}
	if m.owner(v) != before {
		return &Error{Code: ErrInternal, Module: m.name, Phase: "onCreated", Err: errors.New("OnCreated changed the key of the state")}
	}
	return nil
}

// stored returns the state that is in a record, without running OnCreated.
func (m *module) stored(rec *store.Record) (v any, err error) {
	if failure := isolated(func() { v, _, err = m.decode(rec.Version, rec.Value) }); failure != nil {
		return nil, failure
	}
	return v, err
}

// panicked reports a panic of user code to OnError, and panics again.
func (m *module) panicked(ctx context.Context, action, phase, key string, p any) {
	m.app.report(m.onError, m.app.newCall(ctx, m.name, action),
		&Error{Code: ErrInternal, Module: m.name, Action: action, Phase: phase, KeyHash: keyHash(key), Err: panicError{p}})
	panic(p)
}

// error completes an error of the engine. Errors of actions stay as they are.
func (m *module) error(err error, action, key string) error {
	var ee *engine.Error
	if se, ok := err.(*Error); ok || !errors.As(err, &ee) {
		if ok && se.Module == m.name && se.Action == "" && action != "" && se.Phase == "run" {
			c := *se
			c.Action = action
			return &c
		}
		return err
	}
	e := toError(ee)
	e.Module, e.Action, e.KeyHash = m.name, action, keyHash(key)
	return e
}

func (m *module) after(ctx context.Context, call *Call, key string, fn func(context.Context)) {
	defer func() {
		if p := recover(); p != nil {
			m.app.report(m.onError, call, &Error{Code: ErrInternal, Module: m.name, Action: call.action, Phase: "after", KeyHash: keyHash(key), Err: panicError{p}})
		}
	}()
	fn(ctx)
}

// adoptInto merges a guest's state into a stored one by the module's policy.
func (m *module) adoptInto(stored, guest any) (err error) {
	if m.adopt == nil {
		return nil
	}
	key := m.schema.Clone(stored)
	if err := m.adopt(stored, guest); err != nil {
		return err
	}
	if m.key == nil {
		return nil
	}
	m.schema.CopyKeyFields(stored, key) // K0: key fields come only from the action
	return nil
}

// fits reports whether a state is small enough to be stored.
func (m *module) fits(v any) (bool, error) {
	encoded, err := m.Encode(v, nil)
	return len(encoded) <= m.app.opts.MaxState, err
}

// reportTooLarge reports that a guest's state was not adopted.
func (m *module) reportTooLarge(key, action string) {
	m.app.report(m.onError, m.app.newCall(m.app.engine.Context(), m.name, action), m.tooLargeToAdopt(key, action))
}

func (m *module) tooLargeToAdopt(key, action string) *Error {
	return &Error{
		Code: ErrTooLarge, Module: m.name, Action: action, Phase: "adopt", KeyHash: keyHash(key),
		Err: errors.New("the guest's state was not adopted: the combined state would exceed Options.MaxState"),
	}
}

// warnBoth logs, once, that a key has states under several names of the module.
// The caller may be a load, which must not wait for a hook.
func (m *module) warnBoth(key string) {
	if m.both.Swap(true) {
		return
	}
	e := &Error{
		Code: ErrConflict, Module: m.name, Phase: "load", KeyHash: keyHash(key),
		Err: errors.New("a state is stored under several names of the module: the one under the newest counts, the others stay until the state is deleted"),
	}
	m.app.engine.Go(func(ctx context.Context) {
		m.app.logger().LogAttrs(ctx, slog.LevelWarn, "stay: a state is stored under several names of its module; the one under the newest counts, the others stay until it is deleted",
			slog.String("module", m.name), slog.String("key_hash", e.KeyHash))
		if m.onError != nil || m.app.opts.OnError != nil { // else it would be logged again
			m.app.report(m.onError, m.app.newCall(ctx, m.name, ""), e)
		}
	})
}

// bring returns the user's state after it has adopted the guest's. If the two
// together are too large, the user's stays as it was. The guest's names come along
// nevertheless, so that what was sent to the guest and comes again is not made
// again, unless the user's state alone is too large to be written.
func (m *module) bring(guest, there *engine.Version) (res engine.Result, tooLarge bool, err error) {
	s := m.schema
	if there.Revision == 0 {
		return engine.Result{Value: s.Clone(guest.Value), Fresh: true, From: guest}, false, nil
	}
	v := s.Clone(there.Value)
	if err := m.adoptInto(v, s.Clone(guest.Value)); err != nil {
		return engine.Result{}, false, err
	}
	fits, err := m.fits(v)
	if err != nil {
		return engine.Result{}, false, err
	}
	if !fits {
		v = s.Clone(there.Value)
		if writable, err := m.fits(v); !writable || err != nil {
			return engine.Result{}, true, err
		}
	}
	return engine.Result{Value: v, From: guest}, !fits, nil
}

// setAside sets an expired record aside if some program runs OnExpire for the
// module's states, and reports whether it did.
func (m *module) setAside(ctx context.Context, rec *store.Record) (did bool, err error) {
	if m.expired == nil {
		list, err := m.catalog.latest(ctx)
		if err != nil || !m.app.hookElsewhere(list, rec.Key) {
			return false, err
		}
	}
	return true, sweep.SetAside(ctx, m.catalog.store, rec)
}

// hookNames are the names of the hooks that the module has.
func (m *module) hookNames() (names []string) {
	for _, hook := range []struct {
		name string
		set  bool
	}{
		{"OnCreated", m.created != nil},
		{"OnDestroyed", m.destroyed != nil},
		{"OnExpire", m.expired != nil},
		{"OnConnect", m.visits.connected != nil},
		{"OnReconnect", m.visits.reconnected != nil},
		{"OnDisconnect", m.visits.disconnected != nil},
		{"OnError", m.onError != nil},
		{"Adopt", m.adopt != nil},
	} {
		if hook.set {
			names = append(names, hook.name)
		}
	}
	return names
}
