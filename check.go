package stay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// Check reports whether the App can do its work, for readiness probes: it reads
// from the App's store and from those of its modules, and returns nil when all
// have answered. It is ErrUnavailable, with the cause, when a store fails or
// has not answered when ctx ends or Options.MaxWait is over, and when a store
// does not take the changes that Debounce has acknowledged, which one state that
// cannot be stored while others are is no sign of; and ErrClosed once App.Close
// has begun. It changes nothing, so otherwise it does not tell whether the store
// takes writes.
//
// It may be called concurrently, however slow a store is: of each store one
// check is under way at a time, and whoever calls meanwhile waits for that one.
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

var errFailing = errors.New("a store did not take what Debounce has kept back: see OnError or the log")

func (a *App) checkFailed(b *engine.Backend, err error) error {
	if a.engine.Closing() {
		return closedError("", "load", err)
	}
	return &Error{Code: ErrUnavailable, Phase: "load", Message: a.storeName(b) + " is not available", Err: err}
}

// storeName says which store is meant, where there are several.
func (a *registry) storeName(b *engine.Backend) string {
	if b == a.backend {
		return "the store"
	}
	var of []string
	a.mu.RLock()
	defer a.mu.RUnlock()
	for name, m := range a.modules {
		if m.kind != nil && m.kind.Backend == b {
			of = append(of, name)
		}
	}
	slices.Sort(of)
	return "the store of " + strings.Join(of, ", ")
}

// checks are those under way, one for each store.
type checks struct {
	mu    sync.Mutex
	under map[*engine.Backend]*checking
}

// A checking is one check of a store, for all who wait for it.
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
	recs, err := b.Store().Load(ctx, a.opts.Clock(), []store.Read{{Key: keyspace.Check}})
	if err == nil && len(recs) != 1 {
		err = sweep.ErrSilent
	}
	return err
}
