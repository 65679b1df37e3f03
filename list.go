package stay

import (
	"context"

	"github.com/stay-go/stay/store"
)

// keysPage is how many keys are asked for in one call.
const keysPage = 256

func (c core) keys(ctx context.Context, yield func(string, error) bool) {
	m := c.module
	if c.at || m.kind == nil {
		yield("", &Error{Code: ErrInvalid, Module: m.name, Message: "this state has no keys: call Keys without At, of a module that is not ephemeral"})
		return
	}
	lister, ok := m.kind.Backend.Store().(store.Lister)
	if !ok || !m.kind.Backend.Features().List {
		yield("", &Error{Code: ErrInvalid, Module: m.name, Message: "the keys of this state cannot be listed"})
		return
	}
	after := ""
	for {
		keys, err := c.page(ctx, lister, after)
		if err != nil {
			yield("", err)
			return
		}
		for _, key := range keys {
			if !yield(key[len(m.kind.Prefix):], nil) {
				return
			}
		}
		if len(keys) < keysPage {
			return
		}
		after = keys[len(keys)-1]
	}
}

// page lists the keys that come after the one named.
func (c core) page(ctx context.Context, lister store.Lister, after string) ([]string, error) {
	m := c.module
	if !m.app.engine.Begin() {
		return nil, closedError(m.name, "load", nil)
	}
	defer m.app.engine.End()
	keys, err := lister.List(ctx, m.app.opts.Clock(), m.kind.Prefix, after, keysPage)
	if err != nil {
		return nil, &Error{Code: ErrUnavailable, Module: m.name, Phase: "load", Err: err}
	}
	return keys, nil
}
