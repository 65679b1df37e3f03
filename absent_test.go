package stay_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// anyStores are the stores of onEachStore and one that others use too.
func anyStores() map[string]func() store.Store {
	all := map[string]func() store.Store{"shared": func() store.Store { return memstore.Shared(2)[0] }}
	for name, open := range stores {
		all[name] = open
	}
	return all
}

// What somebody makes up, and was never stored, takes no room from what is
// used: keys, cookies of sessions that nothing was stored for, and users.
// Proves E6.
func TestWhatDoesNotExistDrivesNothingOut(t *testing.T) {
	const limit, inUse, madeUp = 100, 24, 2000
	for name, open := range anyStores() {
		t.Run(name, func(t *testing.T) {
			m := &measured{}
			app := newApp(t, open(), &stay.Options{
				Metrics: m, MaxInstances: limit, Guests: stay.GuestMemory, StickySessions: true,
				Logger: slog.New(slog.DiscardHandler),
			})
			users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
			visits := stay.Register(app, stay.Module[counter]{Name: "visits", Persist: stay.PerSession})
			seen := stay.Register(app, stay.Module[counter]{Name: "seen"})
			var browsers []*browser
			for i := range inUse { // with their records, nearly all that there may be
				b := newBrowser(app)
				mustUpdate(t, b.ctx(), visits)
				mustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
				browsers = append(browsers, b)
			}
			use := func(count int) {
				t.Helper()
				for i, b := range browsers {
					wantCount(t, b.ctx(), visits, count)
					wantCount(t, t.Context(), users.At(fmt.Sprint(i)), count)
				}
			}
			use(1)
			refused := errors.New("refused")
			for i := range madeUp {
				key := fmt.Sprint("made up ", i)
				switch i % 4 {
				case 0:
					_, err := users.At(key).Get(t.Context())
					wantCode(t, err, stay.ErrNotFound)
				case 1:
					_, err := users.At(key).Update(t.Context(), func(*counter) error { return refused })
					if !errors.Is(err, refused) {
						t.Fatal(err)
					}
				case 2:
					noError(t, app.Revoke(t.Context(), key))
				case 3:
					b := newBrowser(app)
					mustUpdate(t, b.ctx(), seen) // for the cookie; nothing is stored
					wantCount(t, b.ctx(), visits, 0)
				}
			}
			m.sums("stay.cache.misses") // forgets them
			use(1)
			if misses := m.sums("stay.cache.misses"); len(misses) > 0 {
				t.Errorf("what was used has left memory: %v", misses)
			}
			if n := m.gauge(t, "stay.cache.states"); n > limit+limit/16 {
				t.Errorf("%d states and absences are in memory", n)
			}
		})
	}
}

// Memory remembers that there is nothing, also while it is full of what is used:
// the store is asked once. When there is something, it is like any other state.
// Proves E6.
func TestAbsenceIsRemembered(t *testing.T) {
	const limit = 100
	onEachStoreWith(t, func(t *testing.T, s store.Store) {
		m := &measured{}
		app := newApp(t, s, &stay.Options{Metrics: m, MaxInstances: limit})
		global := stay.Register(app, stay.Module[counter]{Name: "global", Persist: stay.Global})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
		wantCount(t, t.Context(), global, 0)
		for i := range 3 * limit {
			mustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
			wantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
			if i%7 == 0 {
				_, err := users.At("nobody").Get(t.Context())
				wantCode(t, err, stay.ErrNotFound)
			}
		}
		wantCount(t, t.Context(), global, 0)
		want := map[string]float64{"global": 1, "users": 3*limit + 1}
		wantEqual(t, "misses", m.sums("stay.cache.misses"), want)
		mustUpdate(t, t.Context(), users.At("nobody"))
		mustUpdate(t, t.Context(), global)
		wantCount(t, t.Context(), users.At("nobody"), 1)
		wantCount(t, t.Context(), global, 1)
		for i := range limit / 2 {
			mustUpdate(t, t.Context(), users.At(fmt.Sprint("more ", i)))
			wantCount(t, t.Context(), global, 1)
		}
		wantCount(t, t.Context(), users.At("nobody"), 1)
		wantCount(t, t.Context(), global, 1)
		wantEqual(t, "misses of what is there now", m.sums("stay.cache.misses"), map[string]float64{"users": limit / 2})
	})
}

// However many ask for a key that has nothing, the store is asked once.
// Proves E1.
func TestOneLoadForAllWhoAskForWhatIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := behindCommitter(memstore.New())
		app := newApp(t, st, &stay.Options{MaxInstances: 4})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
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
