package nodes_test

import (
	"context"
	"errors"
	"runtime"
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

// gone makes the store answer nobody until back is called.
func gone(st *storefault.Store) (back func()) {
	var rules []*storefault.Added
	for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
		rules = append(rules, st.Add(storefault.Rule{Op: op, Fault: storefault.Hang()}))
	}
	return func() {
		for _, r := range rules {
			r.Remove()
		}
	}
}

// A store that has answered nobody for as long as anybody waits is asked by one
// probe at a time. Meanwhile everybody else is told at once that it is not
// available, so requests do not pile up. Soon after the store is back,
// everything works.
//
// Proves E6, E8.
func TestGoneStoreIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		var browsers []*testkit.Browser
		for range 20 {
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), s)
			browsers = append(browsers, b)
		}
		back := gone(st)
		var first sync.WaitGroup
		for _, b := range browsers {
			first.Go(func() {
				began := time.Now()
				_, err := s.Update(b.Ctx(), testkit.Increment)
				testkit.WantCode(t, err, stay.ErrUnavailable)
				if took := time.Since(began); took > 13*time.Second {
					t.Errorf("a change took %v", took)
				}
			})
		}
		first.Wait()
		testkit.Sleep(5 * time.Second)

		goroutines, calls := runtime.NumGoroutine(), st.Count(storefault.Load)+st.Count(storefault.Commit)
		outage := time.Now()
		for range 200 {
			for _, b := range browsers {
				began := time.Now()
				_, err := s.Update(b.Ctx(), testkit.Increment)
				testkit.WantCode(t, err, stay.ErrUnavailable)
				_, err = s.Get(b.Ctx())
				testkit.WantCode(t, err, stay.ErrUnavailable)
				if took := time.Since(began); took > 0 {
					t.Fatalf("it took %v to learn that the store is gone", took)
				}
			}
			testkit.Sleep(time.Second / 4)
		}
		testkit.WantCode(t, app.Check(t.Context()), stay.ErrUnavailable)
		if n := runtime.NumGoroutine() - goroutines; n > 5 {
			t.Errorf("%d more goroutines after 8000 requests", n)
		}
		if n := st.Count(storefault.Load) + st.Count(storefault.Commit) - calls; n > int(time.Since(outage)/time.Second) {
			t.Errorf("%d calls in %v", n, time.Since(outage))
		}

		back()
		testkit.Sleep(10 * time.Second) // the probe under way, and the pause
		for _, b := range browsers {
			testkit.WantCount(t, b.Ctx(), s, 1)
			testkit.MustUpdate(t, b.Ctx(), s)
		}
		testkit.NoError(t, app.Check(t.Context()))
	})
}

// What is in memory and needs no store can be read while the store is gone. A
// change is refused at once then, and is not made.
//
// Proves E1, E3, E8.
func TestSoleOwnerReadsFromMemoryWhileTheStoreIsGone(t *testing.T) {
	testkit.InBubble(t, false, stay.Options{OnError: func(*stay.Call, *stay.Error) {}}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
		late := stay.Register(app, stay.Module[testkit.Counter]{Name: "late", Persist: stay.Global, Debounce: testkit.Debounce})
		testkit.MustUpdate(t, t.Context(), s)
		testkit.MustUpdate(t, t.Context(), late)
		testkit.MustUpdate(t, t.Context(), other)
		back := gone(st)
		_, err := other.Update(t.Context(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrUnknown)
		testkit.Sleep(5 * time.Second)
		began := time.Now()
		for range 100 {
			testkit.WantCount(t, t.Context(), s, 1)
			_, err := s.Update(t.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrUnavailable)
		}
		testkit.MustUpdate(t, t.Context(), late) // acknowledged without the store
		testkit.WantCount(t, t.Context(), late, 2)
		if took := time.Since(began); took > 0 {
			t.Errorf("that took %v", took)
		}
		testkit.Sleep(time.Minute)
		testkit.WantCount(t, t.Context(), late, 2)
		back()
		testkit.Sleep(time.Minute)
		testkit.WantCount(t, t.Context(), s, 1)
		testkit.MustUpdate(t, t.Context(), s)
		wantValue(t, mem, "global/s/", `{"count":2,"label":""}`)
		wantValue(t, mem, "global/late/", `{"count":2,"label":""}`)
	})
}

func wantValue(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if rec := testkit.RecordOf(t, s, key); string(rec.Value) != value {
		t.Errorf("%s holds %s, want %s", key, rec.Value, value)
	}
}

// A change whose outcome is in doubt when its store is gone is sent again until
// the store is back, and counts once.
//
// Proves E5.
func TestChangeInDoubtOutlivesTheOutage(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{"the call is lost": storefault.Hang(), "the answer is lost": storefault.HangAfter()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := storefault.Wrap(memstore.Shared(1)[0], nil)
				app := testkit.NewApp(t, st, &stay.Options{MaxWait: 3 * time.Second, CommitTimeout: time.Minute, OnError: func(*stay.Call, *stay.Error) {}})
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
				testkit.MustUpdate(t, t.Context(), s)
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: fault})
				changed := make(chan error, 1)
				go func() {
					_, err := s.Update(context.Background(), testkit.Increment)
					changed <- err
				}()
				synctest.Wait()
				back := gone(st)
				_, err := s.Get(t.Context())
				testkit.WantCode(t, err, stay.ErrUnavailable)
				testkit.Sleep(5 * time.Second)
				began := time.Now()
				_, err = s.Get(t.Context())
				testkit.WantCode(t, err, stay.ErrUnavailable)
				if took := time.Since(began); took > 0 {
					t.Errorf("the outage has not begun: %v", took)
				}
				testkit.Sleep(10 * time.Second)
				answered := len(changed) > 0
				back()
				if answered {
					t.Fatalf("the change was answered: %v", <-changed)
				}
				testkit.NoError(t, <-changed)
				testkit.Sleep(5 * time.Second)
				testkit.WantCount(t, t.Context(), s, 2)
			})
		})
	}
}

// One state whose writes are never answered is no outage: everybody else is
// served.
//
// Proves E8.
func TestOneStateWithoutAnswersIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
		bad := stay.Register(app, stay.Module[testkit.Counter]{Name: "bad", Persist: stay.Global})
		good := stay.Register(app, stay.Module[testkit.Counter]{Name: "good", Persist: stay.Global})
		testkit.MustUpdate(t, t.Context(), bad)
		testkit.MustUpdate(t, t.Context(), good)
		for _, fault := range []storefault.Fault{storefault.Hang(), storefault.Drop(nil), storefault.Fail(errors.New("no room"))} {
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/bad/", Fault: fault})
			for range 2 {
				_, err := bad.Update(t.Context(), testkit.Increment)
				if err == nil {
					t.Error("a change without an answer was acknowledged")
				}
				testkit.MustUpdate(t, t.Context(), good) // right after it
			}
			rule.Remove()
		}
	})
}
