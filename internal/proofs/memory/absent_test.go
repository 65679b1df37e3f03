package memory_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// anyStores are the stores of testkit.OnEachApp and one that others use too.
func anyStores() map[string]func() store.Store {
	all := map[string]func() store.Store{"shared": func() store.Store { return memstore.Shared(2)[0] }}
	for name, open := range testkit.Stores {
		all[name] = open
	}
	return all
}

// Invented keys, users, and cookies of sessions that were never stored take no
// room from used states.
//
// Proves E6.
func TestWhatDoesNotExistDrivesNothingOut(t *testing.T) {
	const limit, inUse, madeUp = 100, 24, 2000
	for name, open := range anyStores() {
		t.Run(name, func(t *testing.T) {
			m := &testkit.Measured{}
			app := testkit.NewApp(t, open(), &stay.Options{
				Metrics: m, MaxInstances: limit, Guests: stay.GuestMemory, StickySessions: true,
				Logger: slog.New(slog.DiscardHandler),
			})
			users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
			visits := stay.Register(app, stay.Module[testkit.Counter]{Name: "visits", Persist: stay.PerSession})
			seen := stay.Register(app, stay.Module[testkit.Counter]{Name: "seen"})
			var browsers []*testkit.Browser
			for i := range inUse { // with their records, nearly all that there may be
				b := testkit.NewBrowser(app)
				testkit.MustUpdate(t, b.Ctx(), visits)
				testkit.MustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
				browsers = append(browsers, b)
			}
			use := func(count int) {
				t.Helper()
				for i, b := range browsers {
					testkit.WantCount(t, b.Ctx(), visits, count)
					testkit.WantCount(t, t.Context(), users.At(fmt.Sprint(i)), count)
				}
			}
			use(1)
			refused := errors.New("refused")
			for i := range madeUp {
				key := fmt.Sprint("made up ", i)
				switch i % 4 {
				case 0:
					_, err := users.At(key).Get(t.Context())
					testkit.WantCode(t, err, stay.ErrNotFound)
				case 1:
					_, err := users.At(key).Update(t.Context(), func(*testkit.Counter) error { return refused })
					if !errors.Is(err, refused) {
						t.Fatal(err)
					}
				case 2:
					testkit.NoError(t, app.Revoke(t.Context(), key))
				case 3:
					b := testkit.NewBrowser(app)
					testkit.MustUpdate(t, b.Ctx(), seen) // for the cookie; nothing is stored
					testkit.WantCount(t, b.Ctx(), visits, 0)
				}
			}
			m.Sums("stay.cache.misses") // forgets them
			use(1)
			if misses := m.Sums("stay.cache.misses"); len(misses) > 0 {
				t.Errorf("what was used has left memory: %v", misses)
			}
			if n := m.Gauge(t, "stay.cache.states"); n > limit+limit/16 {
				t.Errorf("%d states and absences are in memory", n)
			}
		})
	}
}

// Memory remembers that a state is absent, even while it is full of used
// states: the store is asked once. Once the state exists, it is like any other
// state.
//
// Proves E6.
func TestAbsenceIsRemembered(t *testing.T) {
	const limit = 100
	testkit.OnEachStore(t, func(t *testing.T, s store.Store) {
		m := &testkit.Measured{}
		app := testkit.NewApp(t, s, &stay.Options{Metrics: m, MaxInstances: limit})
		global := stay.Register(app, stay.Module[testkit.Counter]{Name: "global", Persist: stay.Global})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		testkit.WantCount(t, t.Context(), global, 0)
		for i := range 3 * limit {
			testkit.MustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
			testkit.WantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
			if i%7 == 0 {
				_, err := users.At("nobody").Get(t.Context())
				testkit.WantCode(t, err, stay.ErrNotFound)
			}
		}
		testkit.WantCount(t, t.Context(), global, 0)
		want := map[string]float64{"global": 1, "users": 3*limit + 1}
		testkit.WantEqual(t, "misses", m.Sums("stay.cache.misses"), want)
		testkit.MustUpdate(t, t.Context(), users.At("nobody"))
		testkit.MustUpdate(t, t.Context(), global)
		testkit.WantCount(t, t.Context(), users.At("nobody"), 1)
		testkit.WantCount(t, t.Context(), global, 1)
		for i := range limit / 2 {
			testkit.MustUpdate(t, t.Context(), users.At(fmt.Sprint("more ", i)))
			testkit.WantCount(t, t.Context(), global, 1)
		}
		testkit.WantCount(t, t.Context(), users.At("nobody"), 1)
		testkit.WantCount(t, t.Context(), global, 1)
		testkit.WantEqual(t, "misses of what is there now", m.Sums("stay.cache.misses"), map[string]float64{"users": limit / 2})
	})
}

// However many ask for a key that has nothing, the store is asked once.
//
// Proves E1.
func TestOneLoadForAllWhoAskForWhatIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, &stay.Options{MaxInstances: 4})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Delay(time.Second, 0)})
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if _, err := users.At("nobody").Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
					t.Errorf("Get: %v", err)
				}
			})
		}
		all.Wait()
		if n := st.Count(storefault.Load); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}
