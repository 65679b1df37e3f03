package memory_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// twoPrograms are stores with the same records, for a program that stores
// sessions and for one that has none of them in memory.
var twoPrograms = map[string]func() (first, second store.Store){
	"sole owner": func() (store.Store, store.Store) {
		mem := memstore.New()
		return testkit.Unclosed{Store: mem}, mem
	},
	"shared": func() (store.Store, store.Store) {
		both := memstore.Shared(2)
		return both[0], both[1]
	},
}

// A request whose session is not in memory asks the store once for the session
// and its state. If the state's key follows from the session's record, it asks
// once more, for the state and the user. A change is one call of Commit on top.
//
// Proves B9, E6.
func TestColdRequestAsksTheStoreOnce(t *testing.T) {
	for name, open := range twoPrograms {
		t.Run(name, func(t *testing.T) {
			first, second := open()
			// Before the first request the programs have other things to load.
			app := stay.New(testkit.BehindCommitter(first), nil)
			counter, cart := coldModules(app)
			browsers := make([]*testkit.Browser, 5)
			for i := range browsers {
				b := testkit.NewBrowser(app)
				testkit.Login(t, b, fmt.Sprint("user ", i))
				testkit.Change(t, b.Ctx(), counter, testkit.Increment)
				testkit.Change(t, b.Ctx(), cart, testkit.Put("tea"))
				browsers[i] = b
			}
			guests := []*testkit.Browser{testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app)}
			for _, b := range guests {
				testkit.Change(t, b.Ctx(), counter, testkit.Increment)
			}
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}

			st := testkit.BehindCommitter(second)
			app = testkit.NewApp(t, st, nil)
			counter, cart = coldModules(app)
			ask := func(what string, b *testkit.Browser, wantLoads, wantCommits int, do func(ctx context.Context) error) {
				t.Helper()
				ctx := b.On(app).Ctx()
				loads, commits := st.Count(storefault.Load), st.Count(storefault.Commit)
				if err := do(ctx); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				loads, commits = st.Count(storefault.Load)-loads, st.Count(storefault.Commit)-commits
				if wantLoads >= 0 && (loads != wantLoads || commits != wantCommits) {
					t.Errorf("%s: %d loads and %d commits, want %d and %d", what, loads, commits, wantLoads, wantCommits)
				}
			}
			look := func(ctx context.Context) error {
				c, err := counter.Get(ctx)
				if err == nil && c.Count != 1 {
					err = fmt.Errorf("the counter is %d", c.Count)
				}
				return err
			}
			count := func(ctx context.Context) error {
				c, err := counter.Update(ctx, testkit.Increment)
				if err == nil && c.Count != 2 {
					err = fmt.Errorf("the counter is %d", c.Count)
				}
				return err
			}
			ask("warming up", guests[0], -1, -1, count)
			ask("a guest who looks", guests[1], 1, 0, look)
			ask("a guest who changes something", guests[2], 1, 1, count)
			ask("a user who looks at a state of the session", browsers[0], 2, 0, look)
			ask("a user who changes a state of the session", browsers[1], 2, 1, count)
			ask("a user who looks", browsers[2], 2, 0, func(ctx context.Context) error {
				c, err := cart.Get(ctx)
				if err == nil && len(c.Items) != 1 {
					err = fmt.Errorf("the cart has %q", c.Items)
				}
				return err
			})
			ask("a user who changes something", browsers[3], 2, 1, func(ctx context.Context) error {
				c, err := cart.Update(ctx, testkit.Put("milk"))
				if err == nil && len(c.Items) != 2 {
					err = fmt.Errorf("the cart has %q", c.Items)
				}
				return err
			})
		})
	}
}

func coldModules(app *stay.App) (*stay.State[testkit.Counter], *stay.State[testkit.Cart]) {
	counter := stay.Register(app, stay.Module[testkit.Counter]{Name: "counter", Persist: stay.PerSession})
	_, cart := testkit.UserModules(app)
	return counter, cart
}

// Sessions that come once do not drive out sessions that come again, although
// each of their requests uses the session and its state.
//
// Proves E6.
func TestSessionsThatComeAgainOutliveColdOnes(t *testing.T) {
	const few, many = 20, 300
	for name, open := range twoPrograms {
		t.Run(name, func(t *testing.T) {
			first, second := open()
			app := stay.New(first, nil)
			counter, _ := coldModules(app)
			browsers := make([]*testkit.Browser, few+many)
			for i := range browsers {
				browsers[i] = testkit.NewBrowser(app)
				testkit.Change(t, browsers[i].Ctx(), counter, testkit.Increment)
			}
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := &testkit.Measured{}
			app = testkit.NewApp(t, testkit.BehindCommitter(second), &stay.Options{MaxInstances: 200, Metrics: m})
			counter, _ = coldModules(app)
			look := func(b *testkit.Browser) {
				t.Helper()
				if c, err := counter.Get(b.On(app).Ctx()); err != nil || c.Count != 1 {
					t.Fatalf("%+v, %v", c, err)
				}
			}
			for range 3 {
				for _, b := range browsers[:few] {
					look(b)
				}
			}
			for _, b := range browsers[few:] {
				look(b)
			}
			m.Of("stay.cache.misses")
			for _, b := range browsers[:few] {
				look(b)
			}
			if misses := len(m.Of("stay.cache.misses")); misses != 0 {
				t.Errorf("%d of %d sessions that came three times were loaded again", misses, few)
			}
		})
	}
}
