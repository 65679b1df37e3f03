package debounce_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A state is evicted when it is stored, and stored when room is needed: with
// far more keys than fit, nobody is refused and nothing is lost.
//
// Proves A14, E6.
func TestEvictionStoresWhenRoomIsNeeded(t *testing.T) {
	const workers, keys, rounds, limit = 4, 250, 2, 20
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			st := storefault.Wrap(open(), nil)
			st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.Every(10), Fault: storefault.Delay(300*time.Microsecond, 0)})
			app := testkit.NewApp(t, st, &stay.Options{MaxInstances: limit})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser, Debounce: time.Hour})
			var work sync.WaitGroup
			for w := range workers {
				work.Go(func() {
					for range rounds {
						for k := range keys {
							if _, err := s.At(fmt.Sprint(w, "-", k)).Update(t.Context(), testkit.Increment); err != nil {
								t.Errorf("Update: %v", err)
								return
							}
						}
					}
				})
			}
			work.Wait()
			for w := range workers {
				for k := range keys {
					testkit.WantCount(t, t.Context(), s.At(fmt.Sprint(w, "-", k)), rounds)
				}
			}
			if n := len(testkit.Rows(t, st)); n < workers*keys-limit {
				t.Errorf("%d states are stored, %d fit in memory", n, limit)
			}
		})
	}
}

// If memory is full of states that the store does not take, because of the
// store or because of the states, one more state is refused, and nothing is
// dropped for it.
//
// Proves A14, E6.
func TestMemoryFullOfUnstoredStatesRefusesNewcomers(t *testing.T) {
	for name, cause := range map[string]error{"store fails": nil, "too large": store.ErrTooLarge} {
		t.Run(name, func(t *testing.T) { debounceFull(t, cause) })
	}
}

func debounceFull(t *testing.T, cause error) {
	testkit.InBubbles(t, stay.Options{MaxInstances: 8, OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser, Debounce: testkit.Debounce})
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(cause)})
		for k := range 8 {
			testkit.MustUpdate(t, t.Context(), s.At(fmt.Sprint(k)))
		}
		testkit.Sleep(time.Second)
		began := time.Now()
		_, err := s.At("more").Update(t.Context(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrBusy)
		if d := time.Since(began); d > time.Second {
			t.Errorf("it was refused after %v", d)
		}
		rule.Remove()
		testkit.Sleep(time.Minute)
		testkit.MustUpdate(t, t.Context(), s.At("more"))
		for k := range 8 {
			testkit.WantCount(t, t.Context(), s.At(fmt.Sprint(k)), 1)
		}
	})
}

// Dropping everything from memory stores it first, and leaves what cannot be
// stored.
//
// Proves A14, E6.
func TestEvictAllStoresFirst(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		testkit.MustUpdate(t, t.Context(), s)
		access.AppOf(app).Evict(false)
		wantStored(t, mem, 1)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
		testkit.MustUpdate(t, t.Context(), s)
		access.AppOf(app).Evict(true)
		testkit.WantCount(t, t.Context(), s, 2)
		rule.Remove()
		loads := st.Count(storefault.Load)
		testkit.Sleep(time.Minute)
		wantStored(t, mem, 2)
		testkit.WantCount(t, t.Context(), s, 2)
		if st.Count(storefault.Load) == loads {
			t.Error("it was not dropped when it was stored")
		}
	})
}

// A state that a page load has brought into memory is like any other: its
// changes are acknowledged at once and stored when Debounce is over.
//
// Proves A14, W4.
func TestChangesAfterAPageLoadAreKeptBackLikeOthers(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, _ store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce, ResetOnPageLoad: true})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), s)
		testkit.Sleep(testkit.Debounce)
		for range 2 {
			access.AppOf(app).Evict(false)
			testkit.MustLoadPage(t, b.Ctx(), app)
			testkit.Sleep(testkit.Debounce)
			before := st.Count(storefault.Commit)
			testkit.MustUpdate(t, b.Ctx(), s)
			if n := st.Count(storefault.Commit); n != before {
				t.Errorf("%d commits before the time", n-before)
			}
			testkit.Sleep(testkit.Debounce)
			if n := st.Count(storefault.Commit); n != before+1 {
				t.Errorf("%d commits when Debounce was over, want 1", n-before)
			}
		}
	})
}

// A request without a cookie that changes nothing leaves nothing in memory,
// also where changes are saved later.
//
// Proves A14, B1.
func TestRequestThatChangesNothingLeavesNoTrace(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			m := &testkit.Measured{}
			app := testkit.NewApp(t, open(), &stay.Options{Metrics: m})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: time.Hour})
			for range 50 {
				if _, err := s.Update(testkit.NewBrowser(app).Ctx(), func(*testkit.Counter) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if n := m.Gauge(t, "stay.cache.states"); n != 0 {
				t.Errorf("%d states are in memory", n)
			}
		})
	}
}
