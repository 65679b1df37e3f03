package system_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// told counts what a module's hooks were told, by the count in the state.
type told struct {
	mu        sync.Mutex
	expired   map[int]int
	destroyed map[int]int
}

func newTold() *told {
	return &told{expired: map[int]int{}, destroyed: map[int]int{}}
}

func (h *told) module(name string, persist stay.Strategy, expiry time.Duration) stay.Module[Counter] {
	return stay.Module[Counter]{
		Name: name, Persist: persist, Expiry: expiry,
		OnExpire: func(_ *stay.Call, c *Counter) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.expired[c.Count]++
		},
		OnDestroyed: func(_ *stay.Call, c *Counter) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.destroyed[c.Count]++
		},
	}
}

// counts returns how often OnExpire and OnDestroyed got the count.
func (h *told) counts(n int) (expired, destroyed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expired[n], h.destroyed[n]
}

// A page posts to and gets from a handler without a network, as a browser
// with a cookie.
type page struct {
	t      *testing.T
	h      http.Handler
	cookie string
}

func (p *page) want(method, path, want string) {
	p.t.Helper()
	r := httptest.NewRequest(method, "http://app.test"+path, nil)
	r.Header.Set("Cookie", "stay="+p.cookie)
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != want {
		p.t.Errorf("%s %s: %d %q, want %q", method, path, w.Code, w.Body, want)
	}
	for _, c := range w.Result().Cookies() {
		p.cookie = c.Value
	}
}

// pages returns a handler of the app with the states under their names.
func pages(app *stay.App, states ...*stay.State[Counter]) http.Handler {
	mux := http.NewServeMux()
	for _, s := range states {
		mux.Handle("POST /"+s.Name(), web.Update(s, click))
		mux.Handle("GET /"+s.Name(), web.View(s, show))
	}
	return web.Sessions(app, nil)(mux)
}

// expiredRows fails the test if the store holds anything that has expired.
func expiredRows(t *testing.T, s store.Store) {
	t.Helper()
	recs, err := s.Expired(t.Context(), time.Now(), 100)
	if err != nil {
		t.Error(err)
	}
	for _, rec := range recs {
		t.Errorf("left: %q", rec.Key)
	}
}

// onEachStoreBubble runs the test in a bubble of synctest, where time passes at
// once, on each store.
func onEachStoreBubble(t *testing.T, test func(t *testing.T, s store.Store)) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := st.open(t)
				t.Cleanup(func() { _ = s.Close() })
				test(t, s)
			})
		})
	}
}

// On each store, states expire with their session and by themselves, also
// across a restart; OnExpire gets them before they go, also where they have
// begun anew by then.
//
// Proves A15, S6.
func TestStatesExpire(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		h := newTold()
		start := func() (*stay.App, *page) {
			app := newApp(t, kept{s}, &stay.Options{IdleTimeout: time.Hour})
			return app, &page{t: t, h: pages(app,
				stay.Register(app, h.module("cart", stay.PerSession, 0)),
				stay.Register(app, h.module("offer", stay.Global, 30*time.Minute)))}
		}
		app, p := start()
		p.want("POST", "/cart", "1")
		p.want("POST", "/offer", "1")
		p.want("POST", "/offer", "2")
		pass(20 * time.Minute)
		p.want("POST", "/offer", "3")
		closeApp(t, app)
		if e, d := h.counts(3); e != 0 || d != 1 {
			t.Errorf("Close: OnExpire %d, OnDestroyed %d times", e, d)
		}

		pass(29 * time.Minute)
		app, p = start()
		p.want("GET", "/offer", "3")
		pass(time.Minute)
		p.want("GET", "/offer", "0")
		p.want("POST", "/offer", "1")
		pass(2 * time.Hour)
		if e, _ := h.counts(3); e != 1 {
			t.Errorf("OnExpire got the offer that was begun anew %d times", e)
		}
		if e, d := h.counts(1); e != 2 || d != 2 { // the cart was closed with the first App
			t.Errorf("of cart and offer OnExpire got %d, OnDestroyed %d", e, d)
		}
		closeApp(t, app)
		expiredRows(t, s)
	})
}

// Two processes on one database share the work: each expired state gets its
// OnExpire once, and nothing is left.
//
// Proves A15.
func TestTwoAppsExpire(t *testing.T) {
	onEachStoreBubble(t, func(t *testing.T, s store.Store) {
		const sessions = 500
		h := newTold()
		var most atomic.Int32
		var apps []*stay.App
		for i := range 2 {
			f := storefault.Wrap(kept{s}, &storefault.Options{Hook: func(c storefault.Call) {
				most.Store(max(most.Load(), int32(len(c.Groups))))
			}})
			f.Add(storefault.Rule{Fault: storefault.Delay(time.Second, 0)}) // so that they meet
			if i == 0 {
				f = storefault.Wrap(kept{s}, nil)
			}
			app := newApp(t, f, &stay.Options{IdleTimeout: time.Hour})
			cart := stay.Register(app, h.module("cart", stay.PerSession, 0))
			apps = append(apps, app)
			for range sessions * (1 - i) {
				p := &page{t: t, h: pages(app, cart)}
				p.want("POST", "/cart", "1")
			}
		}
		pass(2 * time.Hour)
		for _, app := range apps {
			closeApp(t, app)
		}
		if e, _ := h.counts(1); e != sessions || most.Load() > 256 {
			t.Errorf("OnExpire ran %d times for %d states, up to %d groups at once", e, sessions, most.Load())
		}
		expiredRows(t, s)
	})
}

// On a store that does not find what has expired, states with an Expiry are
// absent from then on all the same, and are dropped when they are looked at.
//
// Proves A15, C4.
func TestStatesExpireOnSimple(t *testing.T) {
	now := newClock()
	simple := &folder{values: map[string][]byte{}}
	app := newApp(t, store.FromSimple(simple), &stay.Options{Clock: now.now, Logger: slog.New(slog.DiscardHandler)})
	offer := stay.Register(app, stay.Module[Counter]{Name: "offer", Persist: stay.Global, Expiry: time.Hour})
	if _, err := offer.Update(t.Context(), add1); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		c, err := offer.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Count
	}
	now.advance(time.Hour - time.Millisecond)
	if n := count(); n != 1 {
		t.Errorf("before it expires: %d", n)
	}
	now.advance(time.Millisecond)
	if n := count(); n != 0 {
		t.Errorf("when it has expired: %d", n)
	}
	// From memory it is gone as well, so that it can begin anew.
	if c, err := offer.Update(t.Context(), add1); err != nil || c.Count != 1 {
		t.Errorf("begun anew: %v, %v", c, err)
	}
	if n := len(simple.values); n != 1 {
		t.Errorf("%d values are stored", n)
	}
}

// A folder is a store.Simple in memory.
type folder struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (f *folder) Load(_ context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.values[key]), nil
}

func (f *folder) Save(_ context.Context, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[key] = slices.Clone(value)
	return nil
}

func (f *folder) Delete(_ context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.values, key)
	return nil
}
