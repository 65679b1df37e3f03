package stayotel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/stayotel"
	"github.com/stay-go/stay/store/memstore"
)

// collected returns what the reader's provider has of each metric.
func collected(t *testing.T, reader *sdkmetric.ManualReader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		if scope.Scope.Name != "github.com/stay-go/stay" {
			t.Errorf("the scope is %q", scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

func newMetrics(t testing.TB) (stay.Metrics, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	m, err := stayotel.Metrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	return m, reader
}

// Each metric of an App has an instrument of its kind, with its name, unit,
// description, buckets and attributes.
func TestInstruments(t *testing.T) {
	m, reader := newMetrics(t)
	want := attribute.NewSet(attribute.String("stay.module", "m"), attribute.String("stay.action", "login"), attribute.String("error.type", "busy"), attribute.String("stay.phase", "save"))
	for _, d := range stay.AllMetrics() {
		if d.Kind == "gauge" {
			m.Observe(d.Name, func() int64 { return 3 })
			continue
		}
		m.Measure(t.Context(), stay.Measurement{Name: d.Name, Value: 3, Module: "m", Action: "login", Code: stay.ErrBusy, Phase: "save"})
		m.Measure(t.Context(), stay.Measurement{Name: d.Name, Value: 4})
	}
	all := collected(t, reader)
	for _, d := range stay.AllMetrics() {
		got := all[d.Name]
		if got.Unit != d.Unit || got.Description != d.Description {
			t.Errorf("%s: unit %q, description %q", d.Name, got.Unit, got.Description)
		}
		switch data := got.Data.(type) {
		case metricdata.Sum[int64]:
			values := map[string]int64{}
			for _, p := range data.DataPoints {
				values[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
			}
			counter := map[string]int64{want.Encoded(attribute.DefaultEncoder()): 3, "": 4}
			switch {
			case d.Kind == "counter" && data.IsMonotonic && fmt.Sprint(values) == fmt.Sprint(counter):
			case d.Kind == "gauge" && !data.IsMonotonic && fmt.Sprint(values) == fmt.Sprint(map[string]int64{"": 3}):
			default:
				t.Errorf("%s is a sum, monotonic: %v, of %v", d.Name, data.IsMonotonic, values)
			}
		case metricdata.Histogram[float64]:
			if d.Kind != "histogram" || len(data.DataPoints) != 2 {
				t.Errorf("%s: histogram with %d points", d.Name, len(data.DataPoints))
				continue
			}
			for _, p := range data.DataPoints {
				if !slices.Equal(p.Bounds, d.Buckets) || p.Count != 1 || p.Sum == 3 != p.Attributes.Equals(&want) {
					t.Errorf("%s: %+v", d.Name, p)
				}
			}
		default:
			t.Errorf("%s: %T", d.Name, data)
		}
	}
	if len(all) != len(stay.AllMetrics()) {
		t.Errorf("%d instruments for %d metrics", len(all), len(stay.AllMetrics()))
	}
}

// failing is a provider that refuses instruments.
type failing struct {
	noop.MeterProvider
	err error
}

func (f failing) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{err: f.err} }

type failingMeter struct {
	noop.Meter
	err error
}

func (f failingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, f.refuse(name, "stay.errors")
}

func (f failingMeter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, f.refuse(name, "stay.batch.size")
}

func (f failingMeter) Int64ObservableUpDownCounter(name string, _ ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return noop.Int64ObservableUpDownCounter{}, f.refuse(name, "stay.cache.states")
}

func (f failingMeter) refuse(name, refused string) error {
	if name == refused {
		return f.err
	}
	return nil
}

// An instrument that cannot be made is an error that names it.
func TestInstrumentErrors(t *testing.T) {
	refused := errors.New("refused")
	m, err := stayotel.Metrics(failing{err: refused})
	if m != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v", m, err)
	}
	for _, name := range []string{"stay.errors", "stay.batch.size", "stay.cache.states"} {
		if want := "stayotel: " + name + ": refused"; !slices.Contains(lines(err), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func lines(err error) (all []string) {
	if u, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range u.Unwrap() {
			all = append(all, e.Error())
		}
	}
	return all
}

// A missing provider is a mistake of the program.
func TestNilProviders(t *testing.T) {
	for name, call := range map[string]func(){
		"Metrics": func() { _, _ = stayotel.Metrics(nil) },
		"Tracer":  func() { stayotel.Tracer(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s(nil) does not panic", name)
				}
			}()
			call()
		}()
	}
}

// Metrics of a later version of Stay, which this one has no instruments for,
// are left out.
func TestUnknownMetrics(t *testing.T) {
	m, reader := newMetrics(t)
	m.Measure(t.Context(), stay.Measurement{Name: "stay.later", Value: 1})
	m.Observe("stay.later.too", func() int64 { return 1 })()
	if all := collected(t, reader); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

// The gauges of several Apps add up, and end with each App.
func TestGaugesOfSeveralApps(t *testing.T) {
	m, reader := newMetrics(t)
	want := func(states any) {
		t.Helper()
		var got any
		if sum, ok := collected(t, reader)["stay.cache.states"].Data.(metricdata.Sum[int64]); ok {
			got = sum.DataPoints[0].Value
		}
		if got != states {
			t.Errorf("states %v, want %v", got, states)
		}
	}
	want(nil)
	var apps []*stay.App
	for range 2 {
		app := stay.New(memstore.New(), &stay.Options{Metrics: m})
		defer app.Close(context.Background())
		apps = append(apps, app)
		s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerUser})
		for _, user := range []string{"ann", "ben"} {
			if _, err := s.At(user).Update(t.Context(), func(c *counter) error { c.Count++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	want(int64(4))
	for i, app := range apps {
		if err := app.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want(int64(2))
		}
	}
	want(nil)
}

// A measurement with attributes that were there before makes no garbage.
func TestMeasuringAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		m.Measure(ctx, stay.Measurement{Name: "stay.update.duration", Value: .1, Module: "m", Code: stay.ErrBusy})
		m.Measure(ctx, stay.Measurement{Name: "stay.cache.hits", Value: 1, Module: "m"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Measuring, collecting and the end of Apps may come together.
func TestMeasuringConcurrently(t *testing.T) {
	m, reader := newMetrics(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			app := stay.New(memstore.New(), &stay.Options{Metrics: m})
			s := stay.Register(app, stay.Module[counter]{Name: fmt.Sprint("c", i), Persist: stay.Global})
			for range 50 {
				if _, err := s.Update(t.Context(), func(c *counter) error { c.Count++; return nil }); err != nil {
					t.Error(err)
				}
			}
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			for range 10 {
				collected(t, reader)
			}
		})
	}
	all.Wait()
	n := uint64(0)
	for _, p := range collected(t, reader)["stay.update.duration"].Data.(metricdata.Histogram[float64]).DataPoints {
		n += p.Count
	}
	if n != 200 {
		t.Errorf("%d changes were measured, want 200", n)
	}
}
