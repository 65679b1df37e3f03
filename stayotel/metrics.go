package stayotel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/stay-go/stay"
)

// Metrics returns a stay.Metrics that reports an App's measurements to the
// provider. It makes an instrument for each of stay.AllMetrics, under its name:
// an Int64Counter for a counter, a Float64Histogram with suitable buckets for a
// histogram, and an Int64ObservableUpDownCounter for a gauge. It fails when the
// provider refuses one of them, and panics if the provider is nil. Several Apps
// may share the result; their values add up.
//
// The attributes are stay.module, absent for Stay's own records; stay.action,
// the change of a session, such as "login", absent for everything else;
// error.type, the code of the error, absent if there was none, and "canceled"
// if the caller has left; and stay.phase.
func Metrics(provider metric.MeterProvider) (stay.Metrics, error) {
	if provider == nil {
		panic("stayotel.Metrics: the provider is nil: make one with the SDK, or pass otel.GetMeterProvider()")
	}
	m := &metrics{
		counters: map[string]metric.Int64Counter{}, histograms: map[string]metric.Float64Histogram{},
		gauges: map[string]*gauge{}, known: map[attributes]*options{},
	}
	meter := provider.Meter(scope)
	var errs []error
	for _, d := range stay.AllMetrics() {
		if err := m.instrument(meter, d); err != nil {
			errs = append(errs, fmt.Errorf("stayotel: %s: %w", d.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

type metrics struct {
	// By name; they do not change after they were made.
	counters   map[string]metric.Int64Counter
	histograms map[string]metric.Float64Histogram
	gauges     map[string]*gauge

	mu    sync.RWMutex
	known map[attributes]*options
}

func (m *metrics) instrument(meter metric.Meter, d stay.Metric) (err error) {
	switch d.Kind {
	case "counter":
		m.counters[d.Name], err = meter.Int64Counter(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Description))
	case "histogram":
		m.histograms[d.Name], err = meter.Float64Histogram(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Description),
			metric.WithExplicitBucketBoundaries(d.Buckets...))
	case "gauge":
		g := &gauge{}
		m.gauges[d.Name] = g
		_, err = meter.Int64ObservableUpDownCounter(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Description),
			metric.WithInt64Callback(g.observe))
	}
	return err
}

// Measure implements stay.Metrics.
func (m *metrics) Measure(ctx context.Context, one stay.Measurement) {
	o := m.options(attributes{one.Module, one.Action, one.Code, one.Phase})
	if c := m.counters[one.Name]; c != nil {
		c.Add(ctx, int64(one.Value), o.add...)
	} else if h := m.histograms[one.Name]; h != nil {
		h.Record(ctx, one.Value, o.record...)
	}
}

// attributes are what distinguishes measurements of one name.
type attributes struct {
	module string
	action string
	code   stay.Code
	phase  string
}

// options are the attributes in the form that instruments take.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// maxKnown bounds how many sets of attributes are kept. There is one for each
// module and each error code that it meets, and a program may add codes.
const maxKnown = 4096

func (m *metrics) options(a attributes) *options {
	m.mu.RLock()
	o := m.known[a]
	m.mu.RUnlock()
	if o != nil {
		return o
	}
	set := metric.WithAttributeSet(attribute.NewSet(a.list()...))
	o = &options{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
	m.mu.Lock()
	if len(m.known) < maxKnown {
		m.known[a] = o
	}
	m.mu.Unlock()
	return o
}

func (a attributes) list() (list []attribute.KeyValue) {
	if a.module != "" {
		list = append(list, attribute.String("stay.module", a.module))
	}
	if a.action != "" {
		list = append(list, attribute.String("stay.action", a.action))
	}
	if a.code != "" {
		list = append(list, attribute.String("error.type", string(a.code)))
	}
	if a.phase != "" {
		list = append(list, attribute.String("stay.phase", a.phase))
	}
	return list
}

// A gauge is read when the provider collects.
type gauge struct {
	mu    sync.Mutex
	reads map[*func() int64]bool
}

// Observe implements stay.Metrics.
func (m *metrics) Observe(name string, read func() int64) (stop func()) {
	g := m.gauges[name]
	if g == nil {
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reads == nil {
		g.reads = map[*func() int64]bool{}
	}
	g.reads[&read] = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.reads, &read)
	}
}

func (g *gauge) observe(_ context.Context, o metric.Int64Observer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.reads) == 0 {
		return nil
	}
	sum := int64(0)
	for read := range g.reads {
		sum += (*read)()
	}
	o.Observe(sum)
	return nil
}
