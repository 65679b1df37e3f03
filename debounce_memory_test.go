package stay_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A state is evicted when it is stored, and stored when room is needed: with
// far more keys than fit, nobody is refused and nothing is lost (A14, E6).
func TestA14E6DebounceEviction(t *testing.T) {
	const workers, keys, rounds, limit = 4, 250, 2, 20
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			st := storefault.Wrap(open(), nil)
			st.Add(storefault.Rule{Op: storefault.Commit, Match: every(10), Fault: storefault.Delay(300*time.Microsecond, 0)})
			app := newApp(t, st, &stay.Options{MaxInstances: limit})
			s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerUser, Debounce: time.Hour})
			var work sync.WaitGroup
			for w := range workers {
				work.Go(func() {
					for range rounds {
						for k := range keys {
							if _, err := s.At(fmt.Sprint(w, "-", k)).Update(t.Context(), increment); err != nil {
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
					wantCount(t, t.Context(), s.At(fmt.Sprint(w, "-", k)), rounds)
				}
			}
			if n := len(rows(t, st)); n < workers*keys-limit {
				t.Errorf("%d states are stored, %d fit in memory", n, limit)
			}
		})
	}
}

// Where memory is full of states that the store does not take, because it does
// not work or because of what they are, a newcomer is refused, and nothing is
// dropped for it (E6, A14).
func TestE6A14DebounceFull(t *testing.T) {
	for name, cause := range map[string]error{"store fails": nil, "too large": store.ErrTooLarge} {
		t.Run(name, func(t *testing.T) { debounceFull(t, cause) })
	}
}

func debounceFull(t *testing.T, cause error) {
	inBubbles(t, stay.Options{MaxInstances: 8, OnError: quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerUser, Debounce: debounce})
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(cause)})
		for k := range 8 {
			mustUpdate(t, t.Context(), s.At(fmt.Sprint(k)))
		}
		sleep(time.Second)
		began := time.Now()
		_, err := s.At("more").Update(t.Context(), increment)
		wantCode(t, err, stay.ErrBusy)
		if d := time.Since(began); d > time.Second {
			t.Errorf("it was refused after %v", d)
		}
		rule.Remove()
		sleep(time.Minute)
		mustUpdate(t, t.Context(), s.At("more"))
		for k := range 8 {
			wantCount(t, t.Context(), s.At(fmt.Sprint(k)), 1)
		}
	})
}

// Dropping everything from memory stores it first, and leaves what cannot be
// stored (A14, E6).
func TestE6A14DebounceEvictAll(t *testing.T) {
	inBubbles(t, stay.Options{OnError: quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := debounced(app)
		mustUpdate(t, t.Context(), s)
		bridge.AppOf(app).Evict(false)
		wantStored(t, mem, 1)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
		mustUpdate(t, t.Context(), s)
		bridge.AppOf(app).Evict(true)
		wantCount(t, t.Context(), s, 2)
		rule.Remove()
		loads := st.Count(storefault.Load)
		sleep(time.Minute)
		wantStored(t, mem, 2)
		wantCount(t, t.Context(), s, 2)
		if st.Count(storefault.Load) == loads {
			t.Error("it was not dropped when it was stored")
		}
	})
}

// A state that a page load has brought into memory is like any other: its
// changes are acknowledged at once and stored when Debounce is over (A14, W4).
func TestA14W4DebounceAfterPageLoad(t *testing.T) {
	inBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, st *storefault.Store, _ store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce, ResetOnPageLoad: true})
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), s)
		sleep(debounce)
		for range 2 {
			bridge.AppOf(app).Evict(false)
			mustLoadPage(t, b.ctx(), app)
			sleep(debounce)
			before := st.Count(storefault.Commit)
			mustUpdate(t, b.ctx(), s)
			if n := st.Count(storefault.Commit); n != before {
				t.Errorf("%d commits before the time", n-before)
			}
			sleep(debounce)
			if n := st.Count(storefault.Commit); n != before+1 {
				t.Errorf("%d commits when Debounce was over, want 1", n-before)
			}
		}
	})
}

// A request without a cookie that changes nothing leaves nothing in memory,
// also where changes are saved later (B1, A14).
func TestB1A14DebounceLeavesNoTrace(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			m := &measured{}
			app := newApp(t, open(), &stay.Options{Metrics: m})
			s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: time.Hour})
			for range 50 {
				if _, err := s.Update(newBrowser(app).ctx(), func(*counter) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if n := m.gauge(t, "stay.cache.states"); n != 0 {
				t.Errorf("%d states are in memory", n)
			}
		})
	}
}
