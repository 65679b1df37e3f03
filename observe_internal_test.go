package stay

import (
	"context"
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/hiding"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type flat struct{ N int }

// An App without Metrics and Tracer has no observer: its store is wrapped only
// for its errors, and a change allocates only what it needs itself.
func TestUnobservedAppCostsNothing(t *testing.T) {
	st := memstore.New()
	app := New(st, nil)
	defer app.Close(context.Background())
	if app.observer != nil || app.observer.engine() != nil || app.catalog.of != (hiding.Store{Store: st}) ||
		*app.backend.Store().(*catalogStore) != (catalogStore{app.catalog.store, app.catalog}) {
		t.Error("something observes the App")
	}
	if n := testing.AllocsPerRun(100, func() {
		app.observer.measure(Measurement{Name: errorsReported, Value: 1})
		app.observer.failed(&Error{})
		_ = app.observer.change(t.Context(), "login", func(context.Context) error {
			if app == nil { // it has something to hold
				t.Error("no app")
			}
			return nil
		})
	}); n != 0 {
		t.Errorf("measuring for nobody makes %v allocations", n)
	}
	s := Register(app, Module[flat]{Name: "c", Persist: Global})
	ctx := context.Background()
	if n := fewestAllocs(func() {
		if _, err := s.Update(ctx, func(f *flat) error { f.N++; return nil }); err != nil {
			t.Error(err)
		}
	}); n > 6 {
		t.Errorf("a change makes %v allocations", n)
	}
	if n := fewestAllocs(func() { _, _ = s.Get(ctx) }); n > 1 {
		t.Errorf("a read makes %v allocations", n)
	}
}

// fewestAllocs returns the number of allocations that fn makes when the pools
// are full. Pools drop objects, often under the race detector.
func fewestAllocs(fn func()) float64 {
	fewest := testing.AllocsPerRun(1, fn)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, fn))
	}
	return fewest
}

// The other way round: with a Tracer alone nothing is measured, and with
// Metrics alone nothing is traced.
func TestObservedByHalf(t *testing.T) {
	for name, opts := range map[string]*Options{"tracer": {Tracer: noTracer{}}, "metrics": {Metrics: noMetrics{}}} {
		app := New(memstore.New(), opts)
		s := Register(app, Module[flat]{Name: "c", Persist: Global})
		if _, err := s.Update(t.Context(), func(f *flat) error { f.N++; return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := app.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A commit has failed if the store does not know the outcome of a group, or
// rejects one, whatever the outcome of the other groups; a conflict is not a
// failure.
func TestCodeOfACommit(t *testing.T) {
	applied, conflict := store.Result{Outcome: store.Applied}, store.Result{Outcome: store.Conflict}
	rejected := func(err error) store.Result { return store.Result{Outcome: store.Rejected, Err: err} }
	groups := make([]store.Group, 2)
	for _, c := range []struct {
		res  []store.Result
		want Code
	}{
		{[]store.Result{applied, conflict}, ""},
		{[]store.Result{applied, rejected(nil)}, ErrUnavailable},
		{[]store.Result{rejected(fmt.Errorf("row: %w", store.ErrTooLarge)), rejected(nil)}, ErrTooLarge},
		{[]store.Result{rejected(store.ErrClosed), applied}, ErrClosed},
		{[]store.Result{rejected(nil), {}}, ErrUnknown},
		{[]store.Result{applied}, ErrUnknown},
	} {
		if got := commitCode(groups, c.res); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.res, got, c.want)
		}
	}
}

type noTracer struct{}

func (noTracer) Start(ctx context.Context, _ *Span) (context.Context, func()) { return ctx, func() {} }

type noMetrics struct{}

func (noMetrics) Measure(context.Context, Measurement)       {}
func (noMetrics) Observe(string, func() int64) (stop func()) { return func() {} }

// BenchmarkObserved compares changes of an App with and without an observer.
func BenchmarkObserved(b *testing.B) {
	for name, opts := range map[string]*Options{
		"off": nil, "metrics": {Metrics: noMetrics{}}, "both": {Metrics: noMetrics{}, Tracer: noTracer{}},
	} {
		b.Run(name, func(b *testing.B) {
			app := New(memstore.New(), opts)
			defer app.Close(context.Background())
			s := Register(app, Module[flat]{Name: "c", Persist: Global})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Update(b.Context(), func(f *flat) error { f.N++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
