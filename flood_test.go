package stay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// visit is one request without a cookie: it changes the state and looks at it
// again and again, which is no later use.
func visit(t *testing.T, ctx context.Context, s *stay.State[counter], label string) {
	t.Helper()
	for range 3 {
		if _, err := s.Update(ctx, func(c *counter) error { c.Count++; c.Label = label; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// What guests have that came back stays, whatever number of guests comes once.
// The bounds hold all the while, that of the count and that of the memory.
// Proves E6, A12.
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
		"very many":  {stay.Options{MaxGuests: 4096}, 2500, 20_000, "", 4096, 0},
		"large ones": {stay.Options{MaxBytes: 1 << 20}, 500, 200, strings.Repeat("x", 50_000), 0, 1 << 20},
	} {
		for _, strategy := range []stay.Strategy{nil, stay.PerUser} {
			t.Run(fmt.Sprintf("%s/stored for users=%t", name, strategy != nil), func(t *testing.T) {
				m := &measured{}
				c.opts.Metrics, c.opts.Logger = m, slog.New(slog.DiscardHandler)
				app := newApp(t, memstore.New(), &c.opts)
				cart := stay.Register(app, stay.Module[counter]{Name: "cart", Persist: strategy})
				var guests []*browser
				for range c.back {
					b := newBrowser(app)
					visit(t, b.ctx(), cart, "")
					guests = append(guests, b)
				}
				for _, b := range guests {
					wantCount(t, b.ctx(), cart, 3)
				}
				first := newBrowser(app)
				visit(t, first.ctx(), cart, "")
				for range c.flood {
					visit(t, newBrowser(app).ctx(), cart, c.label)
				}
				if n := m.gauge(t, "stay.ephemeral.states"); c.maxGuests > 0 && n > c.maxGuests {
					t.Errorf("there are %d guests, MaxGuests is %d", n, c.maxGuests)
				}
				if n := m.gauge(t, "stay.ephemeral.size"); c.maxBytes > 0 && n > c.maxBytes {
					t.Errorf("guests take %d bytes, MaxBytes is %d", n, c.maxBytes)
				}
				lost := 0
				for _, b := range guests {
					if got, err := cart.Get(b.ctx()); err != nil || got.Count != 3 {
						lost++
					}
				}
				if lost > 0 {
					t.Errorf("%d of %d carts of guests who had come back are gone", lost, len(guests))
				}
				wantCount(t, first.ctx(), cart, 0)
			})
		}
	}
}

// Guests who come back get the places of those who did not, all of them: what
// a flood has left does not stay in their way.
// Proves E6, A12.
func TestGuestsWhoComeBackNeedNoPlaceForAFlood(t *testing.T) {
	const limit = 100
	app := newApp(t, memstore.New(), &stay.Options{MaxGuests: limit, Logger: slog.New(slog.DiscardHandler)})
	cart := stay.Register(app, stay.Module[counter]{Name: "cart"})
	for range 3 * limit {
		visit(t, newBrowser(app).ctx(), cart, "")
	}
	var guests []*browser
	for range limit {
		b := newBrowser(app)
		visit(t, b.ctx(), cart, "")
		wantCount(t, b.ctx(), cart, 3)
		guests = append(guests, b)
	}
	for _, b := range guests {
		wantCount(t, b.ctx(), cart, 3)
	}
}

// States that were used again stay in memory when many others come once, as in
// a search through all keys, and sessions that came back when many begin.
// Proves E6.
func TestStatesThatAreUsedAgainOutliveAScan(t *testing.T) {
	const limit, n = 200, 30
	m := &measured{}
	st := memstore.New()
	app := newApp(t, st, &stay.Options{Metrics: m, MaxInstances: limit, MaxNewSessions: 100_000})
	users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
	visits := stay.Register(app, stay.Module[counter]{Name: "visits", Persist: stay.PerSession})
	var browsers []*browser
	for i := range 10 * limit {
		mustUpdate(t, t.Context(), users.At(fmt.Sprint(i)))
	}
	for range n {
		b := newBrowser(app)
		visit(t, b.ctx(), visits, "")
		browsers = append(browsers, b)
	}
	use := func() {
		t.Helper()
		for i, b := range browsers {
			wantCount(t, b.ctx(), visits, 3)
			wantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
			wantCount(t, t.Context(), users.At(fmt.Sprint(i)), 1)
		}
	}
	use()
	for i := range 10 * limit {
		wantCount(t, t.Context(), users.At(fmt.Sprint(n+i%(9*limit))), 1)
		visit(t, newBrowser(app).ctx(), visits, "")
	}
	m.sums("stay.cache.misses") // forgets them
	use()
	if misses := m.sums("stay.cache.misses"); len(misses) > 0 {
		t.Errorf("what is used again and again has left memory: %v", misses)
	}
}
