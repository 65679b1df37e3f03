package testkit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Debounce is how long Debounced may keep a change back.
const Debounce = 50 * time.Millisecond

// Debounced is a Global counter whose changes are saved a while later.
func Debounced(app *stay.App) *stay.State[Counter] {
	return stay.Register(app, stay.Module[Counter]{Name: "s", Persist: stay.Global, Debounce: Debounce})
}

// InBubbles runs the test in a bubble, on an app over each store. The store
// below stays open when the app is closed.
func InBubbles(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store)) {
	for _, name := range []string{"immediate", "committer"} {
		t.Run(name, func(t *testing.T) { InBubble(t, name == "immediate", opts, test) })
	}
}

// InBubble is InBubbles for one of the stores.
func InBubble(t *testing.T, immediate bool, opts stay.Options, test func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store)) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		st := BehindCommitter(Unclosed{mem})
		if immediate {
			st = storefault.Wrap(Unclosed{mem}, nil)
		}
		test(t, NewApp(t, st, &opts), st, mem)
	})
}

// Sleep lets time pass in a bubble, so that due work is done.
func Sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// OnEachStoreInBubble is OnEachStore in a bubble of synctest.
func OnEachStoreInBubble(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, open := range Stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, open()) })
		})
	}
}

// SleepAlone is Sleep for a goroutine beside the test's.
func SleepAlone(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the bubble's time

// Soon is a context for what must not wait: it ends only when the code is
// broken.
func Soon(t *testing.T) context.Context { return SoonIn(t, t.Context()) }

// SoonIn is Soon for what runs in another context.
func SoonIn(t *testing.T, parent context.Context) context.Context {
	ctx, cancel := context.WithTimeout(parent, 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}
