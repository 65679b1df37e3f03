package stayotel

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/stay-go/stay"
)

// A program whose errors carry ever new codes does not fill the memory.
func TestKnownAttributesAreBounded(t *testing.T) {
	all, err := Metrics(noop.NewMeterProvider())
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxKnown + 100 {
		all.Measure(t.Context(), stay.Measurement{Name: "stay.errors", Value: 1, Code: stay.Code(fmt.Sprint(i))})
	}
	if n := len(all.(*metrics).known); n != maxKnown {
		t.Errorf("%d sets of attributes are kept, want %d", n, maxKnown)
	}
}
