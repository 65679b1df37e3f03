package testkit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
)

// Measured keeps what an App has measured.
type Measured struct {
	mu     sync.Mutex
	All    []stay.Measurement
	Gauges map[string]func() int64
}

// Measure implements stay.Metrics.
func (m *Measured) Measure(_ context.Context, one stay.Measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.All = append(m.All, one)
}

// Observe implements stay.Metrics.
func (m *Measured) Observe(name string, read func() int64) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Gauges == nil {
		m.Gauges = map[string]func() int64{}
	}
	m.Gauges[name] = read
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.Gauges, name)
	}
}

// Of returns the measurements of a metric, and forgets them.
func (m *Measured) Of(name string) []stay.Measurement {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out, rest []stay.Measurement
	for _, one := range m.All {
		if one.Name == name {
			out = append(out, one)
		} else {
			rest = append(rest, one)
		}
	}
	m.All = rest
	return out
}

// Values returns the values of a metric, of one module, and forgets them.
func (m *Measured) Values(name, module string) (out []float64) {
	for _, one := range m.Of(name) {
		if one.Module == module {
			out = append(out, one.Value)
		}
	}
	return out
}

// Sums adds up a counter by attributes, and forgets it.
func (m *Measured) Sums(name string) map[string]float64 {
	sums := map[string]float64{}
	for _, one := range m.Of(name) {
		sums[strings.TrimRight(fmt.Sprint(one.Module, " ", one.Code, " ", one.Phase), " ")] += one.Value
	}
	return sums
}

// Gauge reads a gauge.
func (m *Measured) Gauge(t *testing.T, name string) int64 {
	t.Helper()
	m.mu.Lock()
	read := m.Gauges[name]
	m.mu.Unlock()
	if read == nil {
		t.Errorf("nobody reads %s", name)
		return -1
	}
	return read()
}
