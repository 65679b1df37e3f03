package stay

import (
	"context"
	"errors"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// watch has the module's hooks called when states of the kind leave memory.
func (m *module) watch(k *engine.Kind) {
	if m.destroyed != nil {
		k.Destroyed = func(key string, v *engine.Version) {
			m.runHook(m.app.engine.Context(), "onDestroyed", key, v.Value, m.destroyed)
		}
	}
	switch {
	case m.expired == nil:
	case k.Backend == nil:
		k.Idle = func(key string, v *engine.Version) {
			m.runHook(m.app.engine.Context(), "onExpire", key, v.Value, m.expired)
		}
	case k.Backend.Features().SoleOwner: // elsewhere memory does not tell: see makeWay
		k.SetAside = func(ctx context.Context, rec *store.Record) error {
			return sweep.SetAside(ctx, m.catalog.store, m.app.opts.Clock(), rec)
		}
	}
}

var errHookEnded = errors.New("the hook ended its goroutine")

// apart calls code of the user's in a goroutine of its own, which it may end,
// and waits for it. It returns what failed if it has panicked or done that.
func apart(fn func()) error {
	failure, done := errHookEnded, make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				failure = panicError{p}
			}
		}()
		fn()
		failure = nil
	}()
	<-done
	return failure
}

// runHook calls OnDestroyed or OnExpire with a copy of a state, and reports a
// hook that fails.
func (m *module) runHook(ctx context.Context, phase, key string, v any, hook func(*Call, any)) {
	call := m.app.newCall(ctx, m.name, "")
	failure := apart(func() { hook(call, m.schema.Clone(v)) })
	call.run.over.Store(true)
	if failure != nil {
		m.app.report(m.onError, m.app.newCall(ctx, m.name, ""),
			&Error{Code: ErrInternal, Module: m.name, Phase: phase, KeyHash: keyHash(key), Err: failure})
	}
}
