package observed_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// While a store fails, for thousands of requests and for changes that Debounce
// delayed, the log gets ten lines in a second, which say how many were left
// out. Hooks get each failure.
//
// Proves A21.
func TestLogOfFailuresIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		var told atomic.Int64
		st := storefault.Wrap(memstore.New(), nil)
		app := testkit.NewApp(t, st, &stay.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser})
		late := stay.Register(app, stay.Module[testkit.Counter]{Name: "late", Persist: stay.PerUser, Debounce: time.Second})
		hooked := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "hooked", Persist: stay.PerUser,
			OnError: func(*stay.Call, *stay.Error) { told.Add(1) },
		})
		panics := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "panics", Persist: stay.PerUser,
			OnCreated: func(*stay.Call, *testkit.Counter) error { panic("a bug") },
		})
		worse := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "worse", Persist: stay.PerUser,
			OnCreated: func(*stay.Call, *testkit.Counter) error { panic("another bug") },
			OnError:   func(*stay.Call, *stay.Error) { panic("and one more") },
		})
		lines := func(of string) int { return strings.Count(log.String(), of) }
		want := func(of string, n int) {
			t.Helper()
			if got := lines(of); got != n {
				t.Errorf("%d lines with %q, want %d", got, of, n)
			}
		}

		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(testkit.ErrDisk)})
		for i := range 500 {
			_, err := s.At(fmt.Sprint(i)).Update(t.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrUnavailable)
			_, err = hooked.At(fmt.Sprint(i)).Update(t.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrUnavailable)
			testkit.MustUpdate(t, t.Context(), late.At(fmt.Sprint(i)))
		}
		_, err := panics.At("x").Get(t.Context())
		testkit.WantCode(t, err, stay.ErrInternal)
		synctest.Wait()
		want("save failed", 10)
		want("a bug", 1)
		want("left_out", 0)
		if n := told.Load(); n != 500 {
			t.Errorf("OnError was told of %d failures, want 500", n)
		}

		testkit.Sleep(time.Second) // the first saves, and some of the second
		want("left_out=490", 1)
		want("save failed", 20)
		before := lines("save failed")
		testkit.Sleep(10 * time.Second) // which fall into eleven seconds
		if n := lines("save failed") - before; n < 10 || n > 110 {
			t.Errorf("%d lines in ten seconds of retries", n)
		}
		rule.Remove()
		testkit.Sleep(time.Minute)

		for range 100 {
			_, err = panics.At("x").Get(t.Context())
			testkit.WantCode(t, err, stay.ErrInternal)
		}
		want("a bug", 11)
		testkit.Sleep(time.Second)
		for range 100 {
			_, err = worse.At("x").Get(t.Context())
			testkit.WantCode(t, err, stay.ErrInternal)
		}
		want("OnError panicked", 10)
	})
}

// Metrics and Tracers that panic each time get ten lines in a second too.
//
// Proves A21.
func TestLogOfPanicsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		app := testkit.NewApp(t, memstore.New(), &stay.Options{
			Metrics: panicky{}, Tracer: panickyTracer{true}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		for range 100 {
			testkit.MustUpdate(t, t.Context(), s)
		}
		for _, of := range []string{"Metrics panicked", "Tracer panicked"} {
			if n := strings.Count(log.String(), of); n != 10 {
				t.Errorf("%d lines with %q, want 10", n, of)
			}
		}
	})
}
