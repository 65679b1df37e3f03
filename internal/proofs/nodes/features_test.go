package nodes_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// declaring returns a store that declares other features than it has.
func declaring(t *testing.T, edit func(*store.Features)) store.Store {
	s := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		edit(&f)
		return f
	}})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A state that fits Options.MaxState fits the store: otherwise the change that
// makes it larger would be the first to say so.
//
// Proves C5, E9.
func TestStoreTakesTheLargestState(t *testing.T) {
	small := declaring(t, func(f *store.Features) { f.MaxValue = 1000 })
	words := []string{"1000 bytes", "Features.MaxValue", "set MaxState to 1000 or less"}
	testkit.WantPanic(t, func() { stay.New(small, nil) }, append(words, "stay.New", "Options.MaxState is 1048576")...)
	testkit.WantPanic(t, func() { stay.New(small, &stay.Options{MaxState: 1001}) }, append(words, "Options.MaxState is 1001")...)
	testkit.NewApp(t, declaring(t, func(f *store.Features) { f.MaxValue = 1000 }), &stay.Options{MaxState: 1000})

	app := testkit.NewApp(t, memstore.New(), nil)
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "mine", Persist: stay.Global, Store: small})
	}, append(words, `"mine"`)...)
}

// A store whose reads may be old is used only by a program that says so.
//
// Proves C1, C5, N1.
func TestStaleReadsAreAcceptedByAnOption(t *testing.T) {
	lagging := func() store.Store {
		return declaring(t, func(f *store.Features) { f.StaleReads = 2 * time.Second })
	}
	words := []string{"2s", "Features.StaleReads", "setting StaleReads to 2s"}
	testkit.WantPanic(t, func() { stay.New(lagging(), nil) }, append(words, "stay.New", "Options.StaleReads is 0s")...)
	testkit.WantPanic(t, func() { stay.New(lagging(), &stay.Options{StaleReads: time.Second}) }, append(words, "Options.StaleReads is 1s")...)
	testkit.WantPanic(t, func() { stay.New(memstore.New(), &stay.Options{StaleReads: -1}) }, "Options.StaleReads is negative")
	testkit.NewApp(t, lagging(), &stay.Options{StaleReads: 2 * time.Second})

	app := testkit.NewApp(t, memstore.New(), nil)
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Counter]{Name: "mine", Persist: stay.Global, Store: lagging()})
	}, append(words, `"mine"`)...)
}
