package stay_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A definition that cannot work panics when it is registered, with the module's
// name and the fix. This holds for key functions: without key fields, of
// another type, with a key for the initial state.
//
// Proves K0, K1, C5.
func TestRegisterRefusesWhatCannotWork(t *testing.T) {
	type plain struct {
		User string `json:"user"`
	}
	user := func(p *plain) string { return p.User }
	fn := func(*stay.Call, *testkit.Counter) {}
	big := testkit.Counter{Label: strings.Repeat("x", 2<<20)}
	for what, c := range map[string]struct {
		register func(app *stay.App)
		words    []string
	}{
		"no key fields": {func(app *stay.App) {
			stay.Register(app, stay.Module[plain]{Name: "m", Persist: stay.WithKey(user)})
		}, []string{"no field is tagged", `stay:"key"`}},
		"key of the initial state": {func(app *stay.App) {
			m := testkit.TodosModule()
			m.Name, m.Initial.Owner.ID = "m", "ann"
			stay.Register(app, m)
		}, []string{"the key of the initial state is not empty", `return "" for it`}},
		"key function of another type": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Todos]{Name: "m", Persist: stay.WithKey(user)})
		}, []string{"plain", "testkit.Todos", "use one type for both"}},
		"ResolveKey of another type": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Todos]{Name: "m", Persist: stay.ResolveKey(func(*stay.Call, *plain) string { return "" })})
		}, []string{"plain", "testkit.Todos", "use one type for both"}},
		"key fields of a user's state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Todos]{Name: "m", Persist: stay.PerUser})
		}, []string{"Owner", `stay:"key"`, "remove the tag"}},
		"page reset of a global state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global, ResetOnPageLoad: true})
		}, []string{"ResetOnPageLoad", "PerSession, PerUser or WithKey", "call Reset"}},
		"page reset of a ResolveKey state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", ResetOnPageLoad: true, Persist: stay.ResolveKey(func(*stay.Call, *testkit.Counter) string { return "x" })})
		}, []string{"ResetOnPageLoad", "call Reset"}},
		"Adopt without a key": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.PerSession, Adopt: stay.KeepGuest[testkit.Counter]})
		}, []string{"Adopt", "remove it", "PerUser or WithKey"}},
		"Store of an ephemeral state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Store: memstore.New()})
		}, []string{"Store", "remove it", "Persist"}},
		"Store of a user's state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.PerUser, Store: memstore.New()})
		}, []string{"the App's store", "remove Store"}},
		"Store of a state under a key": {func(app *stay.App) {
			m := testkit.TodosModule()
			m.Name, m.Store = "m", memstore.New()
			stay.Register(app, m)
		}, []string{"the App's store", "remove Store"}},
		"large initial state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Initial: big})
		}, []string{"initial state", "larger than Options.MaxState"}},
		"negative Debounce": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global, Debounce: -1})
		}, []string{"Debounce is negative", "leave it 0"}},
		"negative Expiry": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global, Expiry: -1})
		}, []string{"Expiry is negative", "leave it 0"}},
		"Debounce of an ephemeral state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Debounce: time.Second})
		}, []string{"Debounce", "remove it", "Persist"}},
		"Expiry of an ephemeral state": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Expiry: time.Second})
		}, []string{"Expiry", "remove it", "Persist"}},
		"short Expiry": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global, Expiry: time.Microsecond})
		}, []string{"Expiry", "make it longer"}},
		"OnExpire of what never expires": {func(app *stay.App) {
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global, OnExpire: fn})
		}, []string{"OnExpire", "remove it", "set Expiry"}},
	} {
		t.Run(what, func(t *testing.T) {
			app := testkit.NewApp(t, memstore.New(), nil)
			testkit.WantPanic(t, func() { c.register(app) }, append(c.words, `"m"`)...)
			stay.Register(app, stay.Module[testkit.Counter]{Name: "m"}) // nothing of the refused one is left
		})
	}
	testkit.WantPanic(t, func() { stay.WithKey[plain](nil) }, "WithKey", "nil")
	testkit.WantPanic(t, func() { stay.ResolveKey[plain](nil) }, "ResolveKey", "nil")
}

// Names that two modules of one app share are a mistake, whatever their
// strategies are; a name of another App is not.
//
// Proves B10.
func TestNamesAreTakenOnce(t *testing.T) {
	strategies := map[string]stay.Strategy{"ephemeral": nil, "session": stay.PerSession, "user": stay.PerUser, "global": stay.Global}
	for one, first := range strategies {
		for two, second := range strategies {
			t.Run(one+" and "+two, func(t *testing.T) {
				app := testkit.NewApp(t, memstore.New(), nil)
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: first})
				testkit.WantPanic(t, func() { stay.Register(app, stay.Module[testkit.Profile]{Name: "m", Persist: second}) }, `"m"`, "twice", "its own name")
				b := testkit.NewBrowser(app)
				testkit.WantCount(t, b.Ctx(), s, 0)
				testkit.MustUpdate(t, b.Ctx(), s) // the first still works
				stay.Register(testkit.NewApp(t, memstore.New(), nil), stay.Module[testkit.Profile]{Name: "m", Persist: second})
			})
		}
	}
}

// Invalid options and stores panic with the fix.
//
// Proves S2, C5.
func TestNewRefusesOptions(t *testing.T) {
	for name, opts := range map[string]stay.Options{
		"Lifetime": {Lifetime: -1}, "IdleTimeout": {IdleTimeout: -1}, "MaxInstances": {MaxInstances: -1}, "MaxBytes": {MaxBytes: -1},
		"MaxGuests": {MaxGuests: -1}, "MaxState": {MaxState: -1}, "MaxWaiters": {MaxWaiters: -1}, "MaxNewSessions": {MaxNewSessions: -1},
		"MaxWait": {MaxWait: -1}, "CommitTimeout": {CommitTimeout: -1},
	} {
		testkit.WantPanic(t, func() { stay.New(memstore.New(), &opts) }, "Options."+name, "negative", "leave it 0")
	}
	for name, opts := range map[string]stay.Options{
		"Lifetime": {Lifetime: 3600, IdleTimeout: 3600}, "IdleTimeout": {IdleTimeout: time.Second}, "MaxWait": {MaxWait: 10}, "CommitTimeout": {CommitTimeout: 10},
	} {
		testkit.WantPanic(t, func() { stay.New(memstore.New(), &opts) }, "Options."+name, "at least", "unit")
	}
	testkit.WantPanic(t, func() { stay.New(memstore.New(), &stay.Options{MaxState: 1 << 40}) }, "Options.MaxState", "at most")
	testkit.WantPanic(t, func() { stay.New(memstore.New(), &stay.Options{Guests: 99}) }, "Options.Guests", "GuestMemory", "GuestStored")

	// A store without a feature is refused by a module that needs the feature, and
	// only there.
	without := func(change func(*store.Features)) store.Store {
		return storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
			change(&f)
			return f
		}})
	}
	app := testkit.NewApp(t, without(func(f *store.Features) { f.List = false }), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "m", Persist: stay.Global})
	n := 0
	for key, err := range s.Keys(t.Context()) {
		n++
		testkit.WantCode(t, err, stay.ErrInvalid)
		if key != "" {
			t.Errorf("a key %q beside the error", key)
		}
	}
	if n != 1 {
		t.Errorf("Keys of a store that cannot list yields %d times, want one error", n)
	}
	testkit.NewApp(t, without(func(f *store.Features) { f.SoleOwner = false }), &stay.Options{Guests: stay.GuestMemory, StickySessions: true})
	testkit.NewApp(t, without(func(f *store.Features) { f.Durable = false }), nil)
	testkit.WantPanic(t, func() {
		noGroups := without(func(f *store.Features) { f.Groups = false })
		stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession, Store: noGroups})
	}, "other", "Features.Groups")
	log := &bytes.Buffer{}
	testkit.NewApp(t, without(func(f *store.Features) { f.Expire = false }), &stay.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if !strings.Contains(log.String(), "Features.Expire") {
		t.Errorf("a store that removes nothing is taken in silence: %s", log)
	}
}
