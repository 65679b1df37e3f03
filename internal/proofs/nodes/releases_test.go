package nodes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
)

// A place is a state of two releases: the second has more fields.
type (
	place struct {
		Visits  int     `json:"visits"`
		Address address `json:"address"`
	}
	address struct {
		Street string `json:"street"`
	}
	laterPlace struct {
		Visits  int          `json:"visits"`
		Note    string       `json:"note"`
		Address laterAddress `json:"address"`
	}
	laterAddress struct {
		Street string `json:"street"`
		City   string `json:"city"`
	}
)

func visit(p *place) error           { p.Visits++; return nil }
func visitLater(p *laterPlace) error { p.Visits++; return nil }

// While a new release replaces an old one, node by node, each keeps the fields
// that only the other knows, whoever changes the state in which order, and no
// change of either is lost.
//
// Proves M2, N1.
func TestReleasesSideBySideKeepEachOthersFields(t *testing.T) {
	for scope, persist := range map[string]stay.Strategy{"PerSession": stay.PerSession, "PerUser": stay.PerUser, "Global": stay.Global} {
		t.Run(scope, func(t *testing.T) {
			apps := testkit.Nodes(t, 2, nil)
			old := stay.Register(apps[0], stay.Module[place]{Name: "place", Persist: persist})
			later := stay.Register(apps[1], stay.Module[laterPlace]{
				Name: "place", Persist: persist, Initial: laterPlace{Note: "none"},
			})
			b := testkit.NewBrowser(apps[0])
			testkit.Login(t, b, "ann")
			here, there := b.Ctx, func() context.Context { return b.On(apps[1]).Ctx() }
			testkit.Change(t, here(), old, visit)
			testkit.WantState(t, there(), later, `{"visits":1,"note":"none","address":{"street":"","city":""}}`)
			testkit.Change(t, there(), later, func(p *laterPlace) error {
				p.Note, p.Address.City = "by the lake", "Ulm"
				return visitLater(p)
			})
			testkit.Change(t, here(), old, func(p *place) error { p.Address.Street = "Ring 1"; return visit(p) })
			testkit.WantState(t, there(), later, `{"visits":3,"note":"by the lake","address":{"street":"Ring 1","city":"Ulm"}}`)

			const each = 50
			var wg sync.WaitGroup
			wg.Go(func() {
				for range each {
					testkit.Change(t, here(), old, visit)
				}
			})
			wg.Go(func() {
				for range each {
					testkit.Change(t, there(), later, visitLater)
				}
			})
			wg.Wait()
			testkit.WantState(t, there(), later, `{"visits":103,"note":"by the lake","address":{"street":"Ring 1","city":"Ulm"}}`)
			testkit.WantState(t, here(), old, `{"visits":103,"address":{"street":"Ring 1"}}`)
		})
	}
}

// A release with a new version of the state takes over what the one before has
// stored, also what that stores while both run. What it has stored itself is set
// aside for the one before: an error for its callers, and the record stays as it
// is. Other states go on.
//
// Proves M3, M4, N1.
func TestAReleaseWithANewVersionBesideTheOneBefore(t *testing.T) {
	handles := memstore.Shared(3)
	before := testkit.NewApp(t, handles[0], &stay.Options{OnError: testkit.Quiet})
	after := testkit.NewApp(t, handles[1], nil)
	old := stay.Register(before, stay.Module[place]{Name: "place", Persist: stay.PerUser})
	type renamed struct {
		Count int `json:"count"`
	}
	later := stay.Register(after, stay.Module[renamed]{
		Name: "place", Persist: stay.PerUser, Version: 2,
		Migrate: testkit.Steps{1: func(was json.RawMessage) (json.RawMessage, error) {
			var p place
			err := json.Unmarshal(was, &p)
			if err != nil {
				return nil, err
			}
			return json.Marshal(renamed{Count: p.Visits})
		}},
	})
	count := func(s *renamed) error { s.Count++; return nil }
	ctx := t.Context()
	for _, user := range []string{"ann", "bob"} {
		testkit.Change(t, ctx, old.At(user), visit)
	}
	testkit.WantState(t, ctx, later.At("ann"), `{"count":1}`)
	testkit.Change(t, ctx, old.At("ann"), visit) // a read has stored nothing
	testkit.WantState(t, ctx, later.At("ann"), `{"count":2}`)
	testkit.Change(t, ctx, later.At("ann"), count)

	stored := testkit.RecordOf(t, handles[2], "user/place/ann")
	_, err := old.At("ann").Get(ctx)
	testkit.WantCode(t, err, stay.ErrCorrupt)
	_, err = old.At("ann").Update(ctx, visit)
	testkit.WantCode(t, err, stay.ErrCorrupt)
	if is := testkit.RecordOf(t, handles[2], "user/place/ann"); is.Revision != stored.Revision || !bytes.Equal(is.Value, stored.Value) {
		t.Errorf("the record was version %d, %s, and is version %d, %s", stored.Version, stored.Value, is.Version, is.Value)
	}
	testkit.Change(t, ctx, later.At("ann"), count)
	testkit.WantState(t, ctx, later.At("ann"), `{"count":4}`)
	testkit.Change(t, ctx, old.At("bob"), visit)
	testkit.WantState(t, ctx, old.At("bob"), `{"visits":2,"address":{"street":""}}`)
}

// While both releases change one state, each change either counts or is refused:
// the one before is refused from the first change of the new one on.
//
// Proves M4, N1.
func TestTheFirstChangeOfANewVersionBesideTheOneBefore(t *testing.T) {
	for range 20 {
		handles := memstore.Shared(2)
		before := testkit.NewApp(t, handles[0], &stay.Options{OnError: testkit.Quiet})
		after := testkit.NewApp(t, handles[1], nil)
		old := stay.Register(before, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
		later := stay.Register(after, stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.Global, Version: 2,
			Migrate: testkit.Steps{1: func(was json.RawMessage) (json.RawMessage, error) { return was, nil }},
		})
		testkit.MustUpdate(t, t.Context(), old)
		acked := 1
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 {
				_, err := old.Update(t.Context(), testkit.Increment)
				if errors.Is(err, stay.ErrCorrupt) {
					return
				}
				if err != nil {
					t.Error(err)
				}
				acked++
			}
		})
		wg.Go(func() {
			for range 5 {
				testkit.MustUpdate(t, t.Context(), later)
			}
		})
		wg.Wait()
		testkit.WantCount(t, t.Context(), later, acked+5)
	}
}
