package stay

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/store"
)

// pageLoad resets the states of the session in ctx whose modules have
// ResetOnPageLoad: each as State.Reset does, and only if that changes
// something, so that a page with nothing to reset waits for no turn. If there
// is no session that may have stored states, or it has ended, there is nothing
// to reset: pageLoad sets no cookie and reads nothing.
//
// A record that cannot be decoded is left out: callers that use it get the
// error, and other pages still work. Every other failure is returned, because
// the page would show values that should be reset.
func (a *App) pageLoad(ctx context.Context) error {
	modules := a.pageResets.all()
	s := sessionOf(ctx, a.base)
	if len(modules) == 0 || s == nil {
		return nil
	}
	known, err := s.guise.(bearer).known(ctx)
	if err != nil || !known {
		return unlessUnreadable(err)
	}
	refs := make([]engine.Ref, 0, len(modules))
	readable := make([]*module, 0, len(modules))
	for _, m := range modules {
		var ref engine.Ref
		err := untyped{app: a, module: m}.resolve(ctx, &ref, nil)
		switch {
		case errors.Is(err, ErrCorrupt):
			continue // the others are reset all the same
		case err != nil:
			return unlessUnreadable(err)
		}
		refs, readable = append(refs, ref), append(readable, m)
	}
	errs, release := a.engine.Prefetch(ctx, refs)
	defer release()
	for i, m := range readable {
		err := errs[i]
		if err != nil {
			err = m.error(err, "", refs[i].Key)
		} else {
			err = untyped{app: a, module: m}.resetForPage(ctx)
		}
		if err = unlessUnreadable(err); err != nil {
			return err
		}
	}
	return nil
}

// unlessUnreadable drops errors after which the request cannot read the state
// that should have been reset: the session has ended, or a record is corrupt.
func unlessUnreadable(err error) error {
	if errors.Is(err, ErrEnded) || errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

// resetForPage resets the state if that changes it.
func (c untyped) resetForPage(ctx context.Context) error {
	v, err := c.read(ctx)
	if err != nil {
		return err
	}
	if same, err := c.isReset(ctx, v); same || err != nil {
		return err
	}
	_, err = c.update(ctx, &op{fn: replacement(func(v any) engine.Result { return engine.Result{Value: c.module.schema.Reset(v)} })})
	return err
}

// isReset reports whether v is the result of a reset, as it is or as OnCreated
// completes it after a load.
func (c untyped) isReset(ctx context.Context, v any) (bool, error) {
	m := c.module
	reset := m.schema.Reset(v)
	same, err := m.same(v, reset)
	if same || err != nil || m.created == nil {
		return same, err
	}
	if err := m.runCreated(ctx, true, reset); err != nil {
		return false, err
	}
	return m.same(v, reset)
}

// same reports whether two states are stored as the same bytes, except for
// fields that S does not have, which a reset keeps.
func (m *module) same(v, w any) (bool, error) {
	a, err := m.schema.Encode(v, nil)
	if err != nil {
		return false, m.invalid(err)
	}
	b, err := m.schema.Encode(w, nil)
	if err != nil {
		return false, m.invalid(err)
	}
	return bytes.Equal(a, b), nil
}

// get returns a copy of the committed state.
func (c untyped) get(ctx context.Context) (any, error) {
	v, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	return c.module.schema.Clone(v), nil
}

// read returns the committed state, which the caller must not change.
func (c untyped) read(ctx context.Context) (any, error) {
	m := c.module
	if m.scope == scopeGlobal && !c.at && !m.app.manyOwners.Load() {
		if v := m.app.engine.Latest(m.kind); v != nil {
			return v.Value, nil
		}
	}
	if m.key != nil { // its function is the user's code
		defer func() {
			if p := recover(); p != nil {
				m.panicked(ctx, "", "resolve", "", p)
			}
		}()
	}
	var ref engine.Ref
	err := c.resolve(ctx, &ref, nil)
	if err != nil {
		if errors.Is(err, ErrEnded) && !c.at {
			return c.initial(ctx)
		}
		return nil, err
	}
	v := ref.Seen
	if v == nil {
		if v, err = m.app.engine.Get(ctx, &ref); err != nil {
			return nil, m.error(err, "", ref.Key)
		}
	}
	if c.at && !v.Exists() {
		return nil, &Error{Code: ErrNotFound, Module: m.name, KeyHash: keyHash(ref.Key), Message: "no state is stored for this key"}
	}
	return v.Value, nil
}

// initial returns the state that a request of an ended session reads.
func (c untyped) initial(ctx context.Context) (any, error) {
	l, err := moduleType{module: c.module, guest: true}.Load(ctx, "", &store.Record{})
	return l.Value, err
}

// keys yields the keys that begin with a prefix and come after the one named.
func (c untyped) keys(ctx context.Context, prefix, after string, yield func(string, error) bool) {
	m := c.module
	if c.at || m.kind == nil {
		yield("", &Error{Code: ErrInvalid, Module: m.name, Message: "this state has no keys to list: call Keys on a state without At, of a module that is not ephemeral"})
		return
	}
	err := m.app.listKeys(ctx, m.name, m.kind, prefix, after, func(keys []string, _ time.Time) (more bool, err error) {
		for _, key := range keys {
			if !yield(key, nil) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		yield("", err)
	}
}
