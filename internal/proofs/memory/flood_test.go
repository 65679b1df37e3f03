package memory_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// visit is one request without a cookie: it changes the state and reads it
// again and again, which does not count as a later use.
func visit(t *testing.T, ctx context.Context, s *stay.State[testkit.Counter], label string) {
	t.Helper()
	for range 3 {
		if _, err := s.Update(ctx, func(c *testkit.Counter) error { c.Count++; c.Label = label; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// The states of guests that came back stay, however many guests come once. The
// bounds of count and memory hold all the time.
//
// Proves A12, E6.
func TestGuestsWhoCameBackOutliveAFlood(t *testing.T) {
	for name, c := range map[string]struct {
		opts      stay.Options
		back      int // guests who came back
		flood     int
		label     string // of each of the flood
		maxGuests int64
		maxBytes  int64
	}{
		"many":       {stay.Options{MaxGuests: 100}, 75, 2000, "", 100, 0},
		"very many":  {stay.Options{MaxGuests: 2048}, 1250, 8_000, "", 2048, 0},
		"large ones": {stay.Options{MaxBytes: 1 << 20}, 500, 200, strings.Repeat("x", 50_000), 0, 1 << 20},
	} {
		for _, strategy := range []stay.Strategy{nil, stay.PerUser} {
			t.Run(fmt.Sprintf("%s/stored for users=%t", name, strategy != nil), func(t *testing.T) {
				m := &testkit.Measured{}
				c.opts.Metrics, c.opts.Logger = m, slog.New(slog.DiscardHandler)
				app := testkit.NewApp(t, memstore.New(), &c.opts)
				cart := stay.Register(app, stay.Module[testkit.Counter]{Name: "cart", Persist: strategy})
				var guests []*testkit.Browser
				for range c.back {
					b := testkit.NewBrowser(app)
					visit(t, b.Ctx(), cart, "")
					guests = append(guests, b)
				}
				for _, b := range guests {
					testkit.WantCount(t, b.Ctx(), cart, 3)
				}
				first := testkit.NewBrowser(app)
				visit(t, first.Ctx(), cart, "")
				for range c.flood {
					visit(t, testkit.NewBrowser(app).Ctx(), cart, c.label)
				}
				if n := m.Gauge(t, "stay.ephemeral.states"); c.maxGuests > 0 && n > c.maxGuests {
					t.Errorf("there are %d guests, MaxGuests is %d", n, c.maxGuests)
				}
				if n := m.Gauge(t, "stay.ephemeral.size"); c.maxBytes > 0 && n > c.maxBytes {
					t.Errorf("guests take %d bytes, MaxBytes is %d", n, c.maxBytes)
				}
				lost := 0
				for _, b := range guests {
					if got, err := cart.Get(b.Ctx()); err != nil || got.Count != 3 {
						lost++
					}
				}
				if lost > 0 {
					t.Errorf("%d of %d carts of guests who had come back are gone", lost, len(guests))
				}
				testkit.WantCount(t, first.Ctx(), cart, 0)
			})
		}
	}
}

// Guests who come back get the places of those who did not, all of them: the
// states of a flood do not stay in their way.
//
// Proves A12, E6.
func TestGuestsWhoComeBackNeedNoPlaceForAFlood(t *testing.T) {
	const limit = 100
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxGuests: limit, Logger: slog.New(slog.DiscardHandler)})
	cart := stay.Register(app, stay.Module[testkit.Counter]{Name: "cart"})
	for range 3 * limit {
		visit(t, testkit.NewBrowser(app).Ctx(), cart, "")
	}
	var guests []*testkit.Browser
	for range limit {
		b := testkit.NewBrowser(app)
		visit(t, b.Ctx(), cart, "")
		testkit.WantCount(t, b.Ctx(), cart, 3)
		guests = append(guests, b)
	}
	for _, b := range guests {
		testkit.WantCount(t, b.Ctx(), cart, 3)
	}
}

// States that were used again stay in memory when many others come once, as in
// a search through all keys, and sessions that came back when many begin.
//
// Proves E6.
func TestStatesThatAreUsedAgainOutliveAScan(t *testing.T) {
	const limit, n = 200, 30
	m := &testkit.Measured{}
	st := memstore.New()
	app := testkit.NewApp(t, st, &stay.Options{Metrics: m, MaxInstances: limit, MaxNewSessions: 100_000})
	users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
	visits := stay.Register(app, stay.Module[testkit.Counter]{Name: "visits", Persist: stay.PerSession})
	var browsers []*testkit.Browser
	for i := range 10 * limit {
		testkit.MustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
	}
	for range n {
		b := testkit.NewBrowser(app)
		visit(t, b.Ctx(), visits, "")
		browsers = append(browsers, b)
	}
	use := func() {
		t.Helper()
		for i, b := range browsers {
			testkit.WantCount(t, b.Ctx(), visits, 3)
			testkit.WantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
			testkit.WantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
		}
	}
	use()
	for i := range 10 * limit {
		testkit.WantCount(t, t.Context(), users.At(fmt.Sprint(n+i%(9*limit))), 1)
		visit(t, testkit.NewBrowser(app).Ctx(), visits, "")
	}
	m.Sums("stay.cache.misses") // forgets them
	use()
	if misses := m.Sums("stay.cache.misses"); len(misses) > 0 {
		t.Errorf("what is used again and again has left memory: %v", misses)
	}
}
