package testkit

import (
	"context"
	"errors"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Stores are stores for the two ways in which the engine commits: directly, and
// through its committer, as for a store that waits for a disk.
var Stores = map[string]func() store.Store{
	"immediate": func() store.Store { return memstore.New() },
	"committer": func() store.Store { return BehindCommitter(memstore.New()) },
}

// BehindCommitter is the store as one that waits for a disk, so that the engine
// commits through its committer.
func BehindCommitter(s store.Store) *storefault.Store {
	return storefault.Wrap(s, &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate = false
		f.Durable = true
		return f
	}})
}

// OnEachApp runs the test on an App with default options over each of Stores.
func OnEachApp(t *testing.T, test func(t *testing.T, app *stay.App)) {
	for name, open := range Stores {
		t.Run(name, func(t *testing.T) {
			test(t, NewApp(t, open(), nil))
		})
	}
}

// NewApp is an App on the store, which is closed when the test ends.
func NewApp(t testing.TB, s store.Store, opts *stay.Options) *stay.App {
	t.Helper()
	app := stay.New(s, opts)
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return app
}

// Sweep removes expired records, as the App does about once a minute.
func Sweep(app *stay.App) { access.AppOf(app).Sweep() }

// OnEachStore runs the test with each of Stores.
func OnEachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, open := range Stores {
		t.Run(name, func(t *testing.T) { test(t, open()) })
	}
}

// Nodes are Apps on one store, as two processes are.
func Nodes(t *testing.T, n int, opts *stay.Options) []*stay.App {
	t.Helper()
	var apps []*stay.App
	for _, s := range memstore.Shared(n) {
		apps = append(apps, NewApp(t, s, opts))
	}
	return apps
}
