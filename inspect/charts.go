package inspect

import (
	"fmt"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/recent"
)

// recentLog is the part of recent.Log that pages read.
type recentLog interface {
	Last(now time.Time) []recent.Slot
	Failures() (latest []recent.Failure, all int)
}

// The size of a chart, in its own units.
const (
	chartWidth  = 300
	chartHeight = 72
)

// A chart is a line of what happened in the last ten minutes.
type chart struct {
	Title, Latest, Peak string
	Line, Area          string // points, in the chart's units
	Beyond              string // a second line; "" = none
	Legend              string
	Quiet               bool // there was nothing
}

// charts are drawn from what the App has done in the last ten minutes.
func (h *handler) charts() []chart {
	slots := h.recent.Last(time.Now())
	seconds := recent.Step.Seconds()
	perSecond := func(f float64) string { return rate(f) + "/s" }
	millis := func(f float64) string {
		if f == 0 { // no call is not a short one
			return "–"
		}
		return took(time.Duration(f))
	}
	each := func(of func(recent.Slot) float64) []float64 {
		values := make([]float64, len(slots))
		for i, s := range slots {
			values[i] = of(s)
		}
		return values
	}
	return []chart{
		draw("Changes", "", perSecond, each(func(s recent.Slot) float64 { return float64(s.Changes) / seconds }), nil),
		draw("Commit time", "mean, and the longest", millis,
			each(func(s recent.Slot) float64 { return float64(s.Commits.Mean()) }),
			each(func(s recent.Slot) float64 { return float64(s.Commits.Longest) })),
		draw("Read time", "mean, and the longest", millis,
			each(func(s recent.Slot) float64 { return float64(s.Loads.Mean()) }),
			each(func(s recent.Slot) float64 { return float64(s.Loads.Longest) })),
		draw("Failures", "", func(f float64) string { return number(int64(f)) + " in 5 s" },
			each(func(s recent.Slot) float64 { return float64(s.Errors) }), nil),
	}
}

// draw makes a chart of values, the oldest first. beyond is drawn behind them, and
// nil or as long.
func draw(title, legend string, text func(float64) string, values, beyond []float64) chart {
	peak := 0.0
	for i := range values {
		peak = max(peak, values[i])
		if beyond != nil {
			peak = max(peak, beyond[i])
		}
	}
	c := chart{Title: title, Legend: legend, Latest: text(values[len(values)-1]), Peak: text(peak), Quiet: peak == 0}
	if c.Quiet {
		return c
	}
	c.Line = points(values, peak)
	c.Area = fmt.Sprintf("0,%d %s %d,%d", chartHeight, c.Line, chartWidth, chartHeight)
	if beyond != nil {
		c.Beyond = points(beyond, peak)
	}
	return c
}

func points(values []float64, peak float64) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		x := float64(i) * chartWidth / float64(len(values)-1)
		y := chartHeight - 1 - v/peak*(chartHeight-4)
		fmt.Fprintf(&b, "%.1f,%.1f", x, y)
	}
	return b.String()
}
