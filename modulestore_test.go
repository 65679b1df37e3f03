package stay_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A12: modules with stores and strategies of their own stand side by side;
// sessions are in the App's store, where the record of one is written before
// its first state elsewhere (S1).
func TestA12S1ModulesWithStoresOfTheirOwn(t *testing.T) {
	main, other := memstore.New(), memstore.New()
	var order []string
	watch := func(name string, s *memstore.Store) *storefault.Store {
		return storefault.Wrap(unclosed{s}, &storefault.Options{Hook: func(c storefault.Call) {
			if c.Op != storefault.Commit || !storesNoList(c) {
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
	app := newApp(t, watch("main", main), nil)
	here := stay.Register(app, stay.Module[counter]{Name: "here", Persist: stay.PerSession})
	there := stay.Register(app, stay.Module[counter]{Name: "there", Persist: stay.PerSession, Store: elsewhere})
	all := stay.Register(app, stay.Module[counter]{Name: "all", Persist: stay.Global, Store: elsewhere})

	b := newBrowser(app)
	b.ctx()
	if _, err := there.Update(b.ctx(), func(*counter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := slices.DeleteFunc(rows(t, main), ofAllPrograms); len(got) != 0 {
		t.Errorf("a change that changes nothing stored %q", got)
	}
	order = nil
	mustUpdate(t, b.ctx(), there)
	mustUpdate(t, b.ctx(), here)
	mustUpdate(t, t.Context(), all)
	if want := []string{"main stay", "other session", "main session", "main stay", "other global"}; !slices.Equal(order, want) {
		t.Errorf("written in the order %q, want %q", order, want)
	}
	id := stay.SessionFrom(b.ctx()).ID()
	if got, want := rows(t, other), []string{"global/all/", "session/there/" + id}; !slices.Equal(got, want) {
		t.Errorf("the other store has %q, want %q", got, want)
	}
	wantCount(t, b.ctx(), here, 1)
	wantCount(t, b.ctx(), there, 1)
	for key, err := range there.Keys(t.Context()) {
		if err != nil || key != id {
			t.Errorf("key %q, %v", key, err)
		}
	}
	ctx := b.ctx()
	noError(t, stay.SessionFrom(ctx).Destroy(ctx))
	if got, want := rows(t, other), []string{"global/all/"}; !slices.Equal(got, want) {
		t.Errorf("after Destroy the other store has %q, want %q", got, want)
	}
}

// A12: what changes hands with the session's record cannot live elsewhere, and
// says so at start-up.
func TestA12KeyChangesNeedTheAppsStore(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	elsewhere := memstore.New()
	t.Cleanup(func() { noError(t, elsewhere.Close()) })
	wantPanic(t, func() {
		m := todosModule()
		m.Store = elsewhere
		stay.Register(app, m)
	}, `"todos"`, "remove Store")
	wantPanic(t, func() {
		stay.Register(app, stay.Module[profile]{Name: "p", Persist: stay.PerUser, Store: elsewhere})
	}, `"p"`, "remove Store")
	wantPanic(t, func() {
		stay.Register(app, stay.Module[profile]{Name: "e", Store: elsewhere})
	}, `"e"`, "not stored")
}
