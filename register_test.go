package stay_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

type linked struct {
	Next *linked `json:"next"`
}

// Mistakes in a definition panic when it is registered, with the module's name
// and the fix.
//
// Proves B10, M5, C5.
func TestRegisterRefusesMistakesInADefinition(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	stay.Register(app, stay.Module[testkit.Counter]{Name: "taken"})
	for name, c := range map[string]struct {
		register func()
		words    []string
	}{
		"empty name":       {func() { stay.Register(app, stay.Module[testkit.Counter]{}) }, []string{"no name", "set Module.Name"}},
		"bad name":         {func() { stay.Register(app, stay.Module[testkit.Counter]{Name: "a/b"}) }, []string{`"a/b"`, "letters"}},
		"long name":        {func() { stay.Register(app, stay.Module[testkit.Counter]{Name: strings.Repeat("x", 65)}) }, []string{"64"}},
		"duplicate name":   {func() { stay.Register(app, stay.Module[testkit.Counter]{Name: "taken"}) }, []string{`"taken"`, "twice"}},
		"nil app":          {func() { stay.Register(nil, stay.Module[testkit.Counter]{Name: "x"}) }, []string{"stay.New"}},
		"no struct":        {func() { stay.Register(app, stay.Module[int]{Name: "x"}) }, []string{`"x"`, "struct"}},
		"unexported field": {func() { stay.Register(app, stay.Module[struct{ n int }]{Name: "x"}) }, []string{`"x"`, "n"}},
		"chan":             {func() { stay.Register(app, stay.Module[struct{ C chan int }]{Name: "x"}) }, []string{`"x"`, "C"}},
		"func":             {func() { stay.Register(app, stay.Module[struct{ F func() }]{Name: "x"}) }, []string{`"x"`, "F"}},
		"hidden field": {func() {
			stay.Register(app, stay.Module[struct {
				A int `json:"-"`
			}]{Name: "x"})
		}, []string{`"x"`, "A"}},
		"cycle": {func() { stay.Register(app, stay.Module[linked]{Name: "x"}) }, []string{`"x"`, "Next"}},
		"omitempty over an initial value": {func() {
			type s struct {
				N int `json:"n,omitempty"`
			}
			stay.Register(app, stay.Module[s]{Name: "x", Initial: s{N: 1}})
		}, []string{`"x"`, "N", "omitempty"}},
		"key field": {func() {
			stay.Register(app, stay.Module[struct {
				User string `stay:"key"`
			}]{Name: "x"})
		}, []string{`"x"`, "stay:\"key\""}},
		"nil action": {func() {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "x", Actions: stay.Actions[testkit.Counter]{"a": nil}})
		}, []string{`"a"`, "nil"}},
		"action name": {func() {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "x", Actions: stay.Actions[testkit.Counter]{"a b": func(*stay.Call, *testkit.Counter) error { return nil }}})
		}, []string{`"a b"`}},
	} {
		t.Run(name, func(t *testing.T) { testkit.WantPanic(t, c.register, c.words...) })
	}
	stay.Register(app, stay.Module[testkit.Counter]{Name: "x"}) // nothing of the refused ones is left
}

// New refuses options and stores that an App cannot work with.
//
// Proves S2, C5.
func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	with := func(change func(*store.Features)) store.Store {
		return storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
			change(&f)
			return f
		}})
	}
	testkit.WantPanic(t, func() { stay.New(nil, nil) }, "nil", "sqlitestore.Open")
	testkit.WantPanic(t, func() {
		stay.New(with(func(f *store.Features) { f.SoleOwner = false }), &stay.Options{Guests: stay.GuestMemory})
	}, "GuestMemory", "GuestStored", "StickySessions")
	testkit.WantPanic(t, func() { stay.New(with(func(f *store.Features) { f.Groups = false }), nil) }, "Groups")
	testkit.WantPanic(t, func() { stay.New(memstore.New(), &stay.Options{MaxState: -1}) }, "MaxState", "negative")
	testkit.WantPanic(t, func() { stay.New(memstore.New(), &stay.Options{Lifetime: time.Minute, IdleTimeout: time.Hour}) }, "Lifetime", "IdleTimeout")
}

// A definition is plain data: several Apps may register it, and changing it
// afterwards changes nothing.
//
// Proves A1.
func TestRegisterCopies(t *testing.T) {
	actions := stay.Actions[testkit.Counter]{"inc": func(_ *stay.Call, c *testkit.Counter) error { return testkit.Increment(c) }}
	module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: actions, Initial: testkit.Counter{Label: "x"}}
	one := stay.Register(testkit.NewApp(t, memstore.New(), nil), module)
	delete(actions, "inc")
	two := stay.Register(testkit.NewApp(t, memstore.New(), nil), module)
	if _, err := one.Do(t.Context(), "inc", nil); err != nil {
		t.Error(err)
	}
	_, err := two.Do(t.Context(), "inc", nil)
	testkit.WantCode(t, err, stay.ErrNotFound)
	testkit.WantCount(t, t.Context(), two, 0)
}

// Register and Close may come together: a module that is registered late gets
// no committer, and its changes are refused.
//
// Proves E7, E8.
func TestRegisterDuringClose(t *testing.T) {
	for range 10 {
		app := testkit.NewApp(t, memstore.New(), nil)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: fmt.Sprint("c", i), Persist: stay.Global, Store: testkit.BehindCommitter(memstore.New())})
				if _, err := s.Update(t.Context(), testkit.Increment); err != nil && !errors.Is(err, stay.ErrClosed) {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
	}
}
