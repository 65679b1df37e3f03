package stay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/stay-go/stay/internal/engine"
)

// pageResets are the modules with ResetOnPageLoad: a list that is replaced
// when one registers, so that requests read it without a lock.
type pageResets struct{ list atomic.Pointer[[]*module] }

// all returns the modules; it must not be changed.
func (p *pageResets) all() []*module {
	if list := p.list.Load(); list != nil {
		return *list
	}
	return nil
}

// add is called by one goroutine at a time.
func (p *pageResets) add(m *module) {
	if m.pageReset {
		list := append(slices.Clone(p.all()), m)
		p.list.Store(&list)
	}
}

// pageLoad resets the states of the session in ctx that are to be reset when
// a page is loaded: each as State.Reset does, and only if that changes
// something, so that a page with nothing to reset takes nobody's turn. Where
// there is no session that something may be stored for, and where it has
// ended, there is nothing to reset: no cookie is set and nothing is looked up
// in vain.
//
// A record that cannot be decoded is left out: whoever uses it gets that error,
// and pages that do not are not its hostages. Every other failure is returned,
// for otherwise the page would show what should be gone.
func (a *App) pageLoad(ctx context.Context) error {
	modules := a.pageResets.all()
	s := sessionOf(ctx, a.base)
	if len(modules) == 0 || s == nil {
		return nil
	}
	known, err := s.presence.(bearer).known(ctx)
	if err != nil || !known {
		return unlessUnreadable(err)
	}
	refs := make([]engine.Ref, 0, len(modules))
	readable := make([]*module, 0, len(modules))
	for _, m := range modules {
		ref, err := core{app: a, module: m}.resolve(ctx, nil)
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
			err = core{app: a, module: m}.resetForPage(ctx)
		}
		if err = unlessUnreadable(err); err != nil {
			return err
		}
	}
	return nil
}

// unlessUnreadable drops the errors after which the request cannot read what
// should have been reset: the session has ended, or a record is corrupt.
func unlessUnreadable(err error) error {
	if errors.Is(err, ErrEnded) || errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

// resetForPage resets the state if that changes it.
func (c core) resetForPage(ctx context.Context) error {
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

// isReset reports whether v is what a reset leaves, as it is or as OnCreated
// completes it after a load.
func (c core) isReset(ctx context.Context, v any) (bool, error) {
	m := c.module
	reset := m.schema.Reset(v)
	same, err := m.same(v, reset)
	if same || err != nil || m.created == nil {
		return same, err
	}
	if err := (moduleType{module: m}).runCreated(ctx, true, reset); err != nil {
		return false, err
	}
	return m.same(v, reset)
}

// same reports whether two states are stored as the same bytes, apart from
// fields that S does not have, which a reset keeps.
func (m *module) same(v, w any) (bool, error) {
	a, err := m.schema.Encode(v, nil)
	if err != nil {
		return false, moduleType{module: m}.invalid(err)
	}
	b, err := m.schema.Encode(w, nil)
	if err != nil {
		return false, moduleType{module: m}.invalid(err)
	}
	return bytes.Equal(a, b), nil
}
