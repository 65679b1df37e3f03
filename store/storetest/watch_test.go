package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stay-go/stay/store"
)

// editChanges breaks a store by changing what it announces.
func editChanges(edit func([]store.Change) []store.Change) func(*broken) {
	return func(b *broken) {
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			return b.Store.(store.Watcher).Watch(ctx, func(changes []store.Change, lost bool) { announce(edit(changes), lost) })
		}
	}
}

// ownChanges announces only changes of keys that the handle has written.
func ownChanges(b *broken) {
	var mu sync.Mutex
	own := map[string]bool{}
	editWrites(func(w *store.Write) {
		mu.Lock()
		defer mu.Unlock()
		own[w.Key] = true
	})(b)
	editChanges(func(changes []store.Change) []store.Change {
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(changes, func(c store.Change) bool { return !own[c.Key] })
	})(b)
}

var watchBreakages = []breakage{
	{"nothing is announced", editChanges(func([]store.Change) []store.Change { return nil }), []string{
		"Watch announces changes", "Watch announces many changes",
	}},
	{"revisions are announced before they are reached", editChanges(func(changes []store.Change) []store.Change {
		for i := range changes {
			if changes[i].Revision != 0 {
				changes[i].Revision = 1
			}
		}
		return changes
	}), []string{"Watch announces changes"}},
	{"only one change of several is announced", editChanges(func(changes []store.Change) []store.Change {
		return changes[:min(1, len(changes))]
	}), []string{"Watch announces all writes of a group", "Watch announces many changes"}},
	{"the beginning is silent", func(b *broken) {
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			return b.Store.(store.Watcher).Watch(ctx, func(changes []store.Change, lost bool) { announce(changes, false) })
		}
	}, []string{"Watch announces changes"}},
	{"commits wait for announce", func(b *broken) {
		var mu sync.Mutex
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			return b.Store.(store.Watcher).Watch(ctx, func(changes []store.Change, lost bool) {
				mu.Lock()
				defer mu.Unlock()
				announce(changes, lost)
			})
		}
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			mu.Lock()
			defer mu.Unlock()
			return b.Store.Commit(ctx, groups)
		}
	}, []string{"Watch does not hold up commits"}},
	{"changes are announced before they are made", func(b *broken) {
		var mu sync.Mutex
		var all []func([]store.Change, bool)
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			return b.Store.(store.Watcher).Watch(ctx, func(changes []store.Change, lost bool) {
				mu.Lock()
				defer mu.Unlock()
				if len(changes) == 0 { // the beginning
					all = append(all, announce)
					announce(nil, lost)
				}
			})
		}
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			mu.Lock()
			defer mu.Unlock()
			for _, announce := range all {
				announce(nil, true)
			}
			return b.Store.Commit(ctx, groups)
		}
	}, []string{"Watch lets a reader follow"}},
	{"a watch goes on without its context", func(b *broken) {
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			return b.Store.(store.Watcher).Watch(context.WithoutCancel(ctx), announce)
		}
	}, []string{"Watch ends with its context"}},
	{"a watch does not say that the store was closed", func(b *broken) {
		b.watch = func(ctx context.Context, announce func([]store.Change, bool)) error {
			if err := b.Store.(store.Watcher).Watch(ctx, announce); !errors.Is(err, store.ErrClosed) {
				return err
			}
			return errBroken
		}
	}, []string{"Watch ends with Close"}},
}
