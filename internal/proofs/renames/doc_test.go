// Package renames_test proves what happens to the states of a module that gets
// another name.
package renames_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// named is a counter under its first name, renamed the same under another one.
func named(persist stay.Strategy) stay.Module[testkit.Counter] {
	return stay.Module[testkit.Counter]{Name: "old", Persist: persist}
}

func renamed(persist stay.Strategy) stay.Module[testkit.Counter] {
	return stay.Module[testkit.Counter]{Name: "new", Formerly: []string{"old"}, Persist: persist}
}

// open is an App on a store that outlives it.
func open(t *testing.T, s store.Store, opts *stay.Options) *stay.App {
	t.Helper()
	return stay.New(testkit.Unclosed{Store: s}, opts)
}

// shut closes the App.
func shut(t *testing.T, app *stay.App) {
	t.Helper()
	testkit.NoError(t, app.Close(context.Background()))
}

// states are the keys in the store that are states'.
func states(t *testing.T, s store.Store) (keys []string) {
	t.Helper()
	for _, key := range testkit.AllRows(t, s) {
		if !strings.HasPrefix(key, "stay/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// put puts a counter into a store under a key, as a program would have.
func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	testkit.Commit(t, s, store.Write{Op: store.Put, Key: key, Value: []byte(value), Version: 1})
}
