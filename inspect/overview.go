package inspect

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/recent"
	"github.com/stay-go/stay/internal/streaming"
)

// overview is the first page.
func (h *handler) overview(r *http.Request) *page {
	ctx, watched := r.Context(), h.core.Watched(0)
	return &page{Title: "Overview", Here: "overview", Parts: []part{
		{"summary", "summary", h.summary(ctx, watched.All)},
		{"rates", "rates", h.charts()},
		{"modules", "modules", h.modules(ctx, watched.Modules)},
		{"failures", "failures", h.failures()},
	}}
}

type summary struct {
	access.About
	Guests  string
	Problem string // of the store
	Cards   []card
}

// A card shows one number. Of is its bound, or what else is to say, and Share how
// much of the bound is used, in percent; "" if there is none.
type card struct{ Name, Value, Of, Share string }

func (h *handler) summary(ctx context.Context, watched streaming.Count) *summary {
	about := h.core.About()
	s := &summary{About: about, Guests: "in memory", Problem: problem(h.app.Check(ctx))}
	if about.GuestsStored {
		s.Guests = "in the store"
	}
	streams := card{Name: "Open streams", Value: number(watched.Streams)}
	if watched.Slow > 0 {
		streams.Of = number(watched.Slow) + " slow"
	}
	s.Cards = []card{
		bounded("States in memory", number(about.States), number(about.MaxStates), about.States, about.MaxStates),
		bounded("Memory of states", size(about.Bytes), size(about.MaxBytes), about.Bytes, about.MaxBytes),
		bounded("Guests in memory", number(about.Guests), number(about.MaxGuests), about.Guests, about.MaxGuests),
		bounded("Memory of guests", size(about.GuestsBytes), size(about.MaxGuestsBytes), about.GuestsBytes, about.MaxGuestsBytes),
		{Name: "Not stored yet", Value: number(about.Unsaved)},
		streams,
	}
	return s
}

func bounded(name, value, of string, n, most int64) card {
	return card{name, value, "of " + of, strconv.FormatFloat(min(100, 100*float64(n)/float64(max(1, most))), 'f', 1, 64)}
}

type moduleRow struct {
	access.Module
	Count   string // of stored states
	Own     bool   // it has a store of its own
	Watched streaming.Count
}

type modules struct {
	Rows    []moduleRow
	Problem string
}

func (h *handler) modules(ctx context.Context, watched map[string]streaming.Count) *modules {
	all := h.core.Modules()
	main := h.core.About().Store
	counted := h.count(ctx, all)
	m := &modules{Problem: problem(counted.err)}
	for _, one := range all {
		m.Rows = append(m.Rows, moduleRow{one, counted.of[one.Name], one.Store != main, watched[one.Name]})
	}
	return m
}

// Stored states are counted up to mostCounted, and again after countsFor.
const (
	mostCounted = 1000
	countsFor   = 5 * time.Second
)

// counts are the numbers of stored states by module, as texts, and the error of
// those that are missing.
type counts struct {
	of   map[string]string
	err  error
	when time.Time
}

// count returns the numbers of stored states. Visitors share them for some
// seconds, so that pages that are loaded again and again do not list the store
// again and again.
func (h *handler) count(ctx context.Context, all []access.Module) counts {
	select {
	case h.counting <- struct{}{}:
		defer func() { <-h.counting }()
	case <-ctx.Done():
		return counts{err: ctx.Err()}
	}
	if time.Since(h.counts.when) < countsFor && len(h.counts.of) == len(all) && h.counts.err == nil {
		return h.counts
	}
	c := counts{of: map[string]string{}, when: time.Now()}
	for _, m := range all {
		c.of[m.Name] = "–"
		if m.Strategy == "" || !m.Store.Lists || c.err != nil {
			continue
		}
		n := 0
		for _, err := range h.core.Keys(ctx, m.Name, "", "") {
			if err != nil {
				c.err = err
				break
			}
			if n++; n > mostCounted {
				break
			}
		}
		switch {
		case c.err != nil:
		case n > mostCounted:
			c.of[m.Name] = number(mostCounted) + "+"
		default:
			c.of[m.Name] = number(n)
		}
	}
	h.counts = c
	return c
}

type failureRow struct {
	recent.Failure
	When *moment
	Link bool // the App has the module
}

type failures struct {
	Rows []failureRow
	All  int
}

func (h *handler) failures() *failures {
	latest, all := h.recent.Failures()
	f := &failures{All: all}
	known := map[string]bool{}
	for _, m := range h.core.Modules() {
		known[m.Name] = true
	}
	now := time.Now()
	for _, one := range latest {
		f.Rows = append(f.Rows, failureRow{one, momentOf(one.When, now), known[one.Module]})
	}
	return f
}

// isNotFound reports whether there is nothing to show, rather than a failure.
func isNotFound(err error) bool { return stay.CodeOf(err) == stay.ErrNotFound }
