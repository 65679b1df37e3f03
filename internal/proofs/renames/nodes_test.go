package renames_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// Where several processes make the first change after a rename at once, one of
// them moves the state, and no change is lost.
//
// Proves M6, B11, A5.
func TestProcessesThatMoveAStateAtOnceLoseNothing(t *testing.T) {
	for what, persist := range map[string]stay.Strategy{"Global": stay.Global, "PerUser": stay.PerUser} {
		t.Run(what, func(t *testing.T) {
			for range 30 {
				const nodes, each = 3, 4
				all := memstore.Shared(nodes + 1)
				s := all[nodes]
				put(t, s, "global/old/", `{"count":100}`)
				put(t, s, "user/old/ann", `{"count":100}`)
				var last *stay.State[testkit.Counter]
				var wg sync.WaitGroup
				for i := range nodes {
					app := testkit.NewApp(t, all[i], &stay.Options{OnError: testkit.Loud(t)})
					own := stay.Register(app, renamed(persist))
					if persist == stay.PerUser {
						own = own.At("ann")
					}
					last = own
					for range each {
						wg.Go(func() { testkit.TryUpdate(t, t.Context(), own) })
					}
				}
				wg.Wait()
				testkit.WantCount(t, t.Context(), last, 100+nodes*each)
				if got := states(t, s); len(got) != 2 {
					t.Errorf("the store has %q, want the state that has moved and the other", got)
				}
			}
		})
	}
}

// A process that still has the state as it was under the former name sees what
// another one has made of it since.
//
// Proves M6, N1, E3.
func TestANodeSeesWhatAnotherHasMoved(t *testing.T) {
	all := memstore.Shared(3)
	put(t, all[2], "global/old/", `{"count":100}`)
	var own []*stay.State[testkit.Counter]
	for i := range 2 {
		app := testkit.NewApp(t, all[i], &stay.Options{OnError: testkit.Loud(t)})
		own = append(own, stay.Register(app, renamed(stay.Global)))
		testkit.WantCount(t, t.Context(), own[i], 100)
	}
	testkit.MustUpdate(t, t.Context(), own[0])
	testkit.WantCount(t, t.Context(), own[1], 101)
	testkit.MustUpdate(t, t.Context(), own[1])
	testkit.WantCount(t, t.Context(), own[0], 102)
	testkit.NoError(t, own[0].Delete(t.Context()))
	testkit.WantCount(t, t.Context(), own[1], 0)
	testkit.MustUpdate(t, t.Context(), own[1])
	testkit.WantCount(t, t.Context(), own[0], 1)
}

// While the release before the rename still runs, a state that it creates is
// found by the next, and none is created beside it.
//
// Proves M6, A5.
func TestAStateOfTheReleaseBeforeIsNotHidden(t *testing.T) {
	all := memstore.Shared(2)
	before := testkit.NewApp(t, all[0], nil)
	after := testkit.NewApp(t, all[1], &stay.Options{OnError: testkit.Loud(t)})
	was, is := stay.Register(before, named(stay.PerUser)), stay.Register(after, renamed(stay.PerUser))
	is = is.At("ann")
	var once sync.Once
	got, err := is.Update(t.Context(), func(c *testkit.Counter) error {
		once.Do(func() { testkit.MustUpdate(t, context.Background(), was.At("ann")) })
		return testkit.Increment(c)
	})
	if err != nil || got.Count != 2 {
		t.Errorf("the change left %+v, %v, want what both have counted", got, err)
	}
}

// Two releases of which each has the other's name as a former one work side by
// side: no change is lost, whichever they are made by, and sessions keep their
// keys. This is the way to rename without a pause.
//
// Proves M6, B11, A5, N1.
func TestReleasesWithSwappedNamesWorkSideBySide(t *testing.T) {
	for range 20 {
		const nodes, each = 4, 5
		all := memstore.Shared(nodes + 1)
		put(t, all[nodes], "global/old/", `{"count":100}`)
		var apps []*stay.App
		var counts []*stay.State[testkit.Counter]
		var todos []*stay.State[testkit.Todos]
		for i := range nodes {
			app := testkit.NewApp(t, all[i], &stay.Options{OnError: testkit.Loud(t), Guests: stay.GuestStored})
			m, tm := renamed(stay.Global), testkit.TodosModule()
			tm.Name, tm.Formerly = "tasks", []string{"todos"}
			if i%2 == 0 {
				m.Name, m.Formerly = "old", []string{"new"}
				tm.Name, tm.Formerly = "todos", []string{"tasks"}
			}
			apps, counts, todos = append(apps, app), append(counts, stay.Register(app, m)), append(todos, stay.Register(app, tm))
		}
		var wg sync.WaitGroup
		for _, own := range counts {
			for range each {
				wg.Go(func() { testkit.TryUpdate(t, t.Context(), own) })
			}
		}
		wg.Wait()
		for _, own := range counts {
			testkit.WantCount(t, t.Context(), own, 100+nodes*each)
		}
		b := testkit.NewBrowser(apps[0])
		testkit.Change(t, b.Ctx(), todos[0], testkit.AddItem("tea"))
		b = b.On(apps[1])
		testkit.Change(t, b.Ctx(), todos[1], testkit.Become("ann"))
		for i := range apps {
			b = b.On(apps[i])
			testkit.Change(t, b.Ctx(), todos[i], testkit.AddItem(fmt.Sprint(i)))
		}
		testkit.WantState(t, b.Ctx(), todos[nodes-1], `{"owner":{"id":"ann","role":"r-ann"},"items":["tea","0","1","2","3"],"theme":"light"}`)
		b = b.On(apps[0])
		testkit.Change(t, b.Ctx(), todos[0], testkit.Become(""))
		b = b.On(apps[1])
		testkit.WantState(t, b.Ctx(), todos[1], `{"owner":{"id":"","role":""},"items":null,"theme":"light"}`)
		if got := states(t, all[nodes]); len(got) != 2 {
			t.Errorf("the store has %q", got)
		}
	}
}

// A state that moves while it is looked for is found: the reads of one call need
// not be of one moment.
//
// Proves M6, N1.
func TestAStateThatMovesWhileItIsReadIsFound(t *testing.T) {
	for what, last := range map[string]bool{"the present name first": false, "the present name last": true} {
		t.Run(what, func(t *testing.T) {
			all := memstore.Shared(3)
			put(t, all[2], "user/older/ann", `{"count":5}`)
			m := renamed(stay.PerUser)
			m.Formerly = []string{"older", "old"}
			mover := stay.Register(testkit.NewApp(t, all[1], nil), m).At("ann")
			f := &apart{Store: all[0], last: last, between: func() { testkit.MustUpdate(t, context.Background(), mover) }}
			// It is not taken for one that is under two names.
			app := testkit.NewApp(t, f, &stay.Options{OnError: testkit.Loud(t)})
			testkit.WantCount(t, t.Context(), stay.Register(app, m).At("ann"), 6)
		})
	}
}

// apart is a store that reads the first record of a call before the others, or
// after them, with something in between, once.
type apart struct {
	store.Store
	last    bool
	between func()
}

func (s *apart) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if len(reads) < 3 || s.between == nil {
		return s.Store.Load(ctx, reads)
	}
	do := s.between
	s.between = nil
	var first, rest []store.Record
	var err1, err2 error
	if s.last {
		rest, err2 = s.Store.Load(ctx, reads[1:])
	} else {
		first, err1 = s.Store.Load(ctx, reads[:1])
	}
	do()
	if s.last {
		first, err1 = s.Store.Load(ctx, reads[:1])
	} else {
		rest, err2 = s.Store.Load(ctx, reads[1:])
	}
	return append(first, rest...), errors.Join(err1, err2)
}

// Keys lists each state once, whatever name it is under, in order and page by page.
//
// Proves M6, C5.
func TestKeysListsEachStateOnce(t *testing.T) {
	s := memstore.New()
	var want []string
	for i := range 1000 {
		user := fmt.Sprintf("user-%04d", i)
		want = append(want, user)
		for n, name := range []string{"older", "old", "new"} {
			if i%7&(1<<n) != 0 || i%7 == 0 && n == 1 {
				put(t, s, "user/"+name+"/"+user, `{"count":1}`)
			}
		}
	}
	put(t, s, "user/oldest/x", `{}`)
	put(t, s, "user/newer/x", `{}`)
	app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
	m := renamed(stay.PerUser)
	m.Formerly = []string{"older", "old"}
	own := stay.Register(app, m)
	var got []string
	for key, err := range own.Keys(t.Context()) {
		testkit.NoError(t, err)
		got = append(got, key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed are %d keys, want the %d users once and in order", len(got), len(want))
	}
}
