package sessions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Modules with different stores and strategies work side by side; sessions are
// in the App's store, where a session's record is written before its first
// state elsewhere.
//
// Proves A12, S1.
func TestModulesWithStoresOfTheirOwn(t *testing.T) {
	main, other := memstore.New(), memstore.New()
	var order []string
	watch := func(name string, s *memstore.Store) *storefault.Store {
		return storefault.Wrap(testkit.Unclosed{Store: s}, &storefault.Options{Hook: func(c storefault.Call) {
			if c.Op != storefault.Commit || !testkit.StoresNoList(c) {
				return
			}
			for _, g := range c.Groups {
				for _, key := range g {
					kind, _, _ := strings.Cut(key.Key, "/")
					order = append(order, name+" "+kind)
				}
			}
		}})
	}
	elsewhere := watch("other", other)
	app := testkit.NewApp(t, watch("main", main), nil)
	here := stay.Register(app, stay.Module[testkit.Counter]{Name: "here", Persist: stay.PerSession})
	there := stay.Register(app, stay.Module[testkit.Counter]{Name: "there", Persist: stay.PerSession, Store: elsewhere})
	all := stay.Register(app, stay.Module[testkit.Counter]{Name: "all", Persist: stay.Global, Store: elsewhere})

	b := testkit.NewBrowser(app)
	b.Ctx()
	if _, err := there.Update(b.Ctx(), func(*testkit.Counter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := slices.DeleteFunc(testkit.Rows(t, main), testkit.OfAllPrograms); len(got) != 0 {
		t.Errorf("a change that changes nothing stored %q", got)
	}
	order = nil
	testkit.MustUpdate(t, b.Ctx(), there)
	testkit.MustUpdate(t, b.Ctx(), here)
	testkit.MustUpdate(t, t.Context(), all)
	if want := []string{"main stay", "other session", "main session", "main stay", "other global"}; !slices.Equal(order, want) {
		t.Errorf("written in the order %q, want %q", order, want)
	}
	id := stay.SessionFrom(b.Ctx()).ID()
	if got, want := testkit.Rows(t, other), []string{"global/all/", "session/there/" + id}; !slices.Equal(got, want) {
		t.Errorf("the other store has %q, want %q", got, want)
	}
	testkit.WantCount(t, b.Ctx(), here, 1)
	testkit.WantCount(t, b.Ctx(), there, 1)
	for key, err := range there.Keys(t.Context()) {
		if err != nil || key != id {
			t.Errorf("key %q, %v", key, err)
		}
	}
	ctx := b.Ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	if got, want := testkit.Rows(t, other), []string{"global/all/"}; !slices.Equal(got, want) {
		t.Errorf("after Destroy the other store has %q, want %q", got, want)
	}
}

// What changes hands with the session's record cannot live elsewhere, and says
// so at start-up.
//
// Proves A12.
func TestKeyChangesNeedTheAppsStore(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	elsewhere := memstore.New()
	t.Cleanup(func() { testkit.NoError(t, elsewhere.Close()) })
	testkit.WantPanic(t, func() {
		m := testkit.TodosModule()
		m.Store = elsewhere
		stay.Register(app, m)
	}, `"todos"`, "remove Store")
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Profile]{Name: "p", Persist: stay.PerUser, Store: elsewhere})
	}, `"p"`, "remove Store")
	testkit.WantPanic(t, func() {
		stay.Register(app, stay.Module[testkit.Profile]{Name: "e", Store: elsewhere})
	}, `"e"`, "not stored")
}
