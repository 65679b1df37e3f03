package faults_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A clock is ahead of the system's, or behind it.
type clock struct {
	jumps  bool
	offset atomic.Int64
}

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) set(offset time.Duration) { c.offset.Store(int64(offset)) }

// jump sets the clock now and then, by seconds to hours, and never to where a
// session could have expired.
func (c *clock) jump(random *rand.Rand) {
	if c.jumps && random.IntN(4) == 0 {
		all := []time.Duration{0, -2 * time.Second, -time.Minute, -7 * time.Minute, -time.Hour, -8 * time.Hour}
		c.set(all[random.IntN(len(all))])
	}
}

// oneNode is a world with one node in memory, whose clock the test sets.
func oneNode(t *testing.T) (*world, *node) {
	w := &world{t: t, opts: options(), bounds: true, ledger: newLedger(t), clock: &clock{}}
	w.opts.Clock = w.clock.now
	w.start([]store.Store{memstore.New()}, true)
	return w, w.nodes[0]
}

// visit appends a word to the session's state and returns what there is then,
// the session and the cookie.
func (w *world) visit(n *node, cookie, word string) (items []string, id, next string, err error) {
	next = w.request(n, cookie, func(ctx context.Context) {
		var l *List
		if l, err = n.mine.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil }); err == nil {
			items = l.Items
		}
		id = stay.SessionFrom(ctx).ID()
	})
	return items, id, next, err
}

// A clock that is set back neither ends a session nor shortens it, and when it
// has caught up the session ends when it would have ended.
//
// Proves S6.
func TestClockThatGoesBackEndsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := oneNode(t)
		defer w.close()
		_, id, cookie, err := w.visit(n, "", "first")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"first"}
		day := 24 * time.Hour
		for _, at := range []time.Duration{-5 * time.Minute, -3 * time.Hour, -day, 0, day - time.Minute} {
			w.clock.set(at)
			want = append(want, at.String())
			items, now, next, err := w.visit(n, cookie, at.String())
			if err != nil || now != id || !slices.Equal(items, want) {
				t.Errorf("with the clock at %v: %q, %v, want %q", at, items, err, want)
			}
			if at < 0 && next != cookie {
				t.Errorf("with the clock at %v the cookie is replaced by one that ends earlier", at)
			}
			cookie = next
		}
		// The last visit has made it last for another day.
		w.clock.set(2*day - 2*time.Minute)
		if _, now, _, err := w.visit(n, cookie, "alive"); err != nil || now != id {
			t.Errorf("shortly before its end: %v, session %s", err, now)
		}
		w.clock.set(5 * day)
		if items, now, _, err := w.visit(n, cookie, "late"); err != nil || now == id || len(items) != 1 {
			t.Errorf("after its end: %q, %v", items, err)
		}
	})
}

// A cookie that has ended is answered quietly for a minute, and not for as long
// as the clock needs to catch up after it was set back by hours.
//
// Proves S5.
func TestQuietMinuteWhenTheClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := oneNode(t)
		defer w.close()
		for name, end := range map[string]func(ctx context.Context) error{
			"destroyed": func(ctx context.Context) error { return stay.SessionFrom(ctx).Destroy(ctx) },
			"renewed":   func(ctx context.Context) error { return stay.SessionFrom(ctx).Renew(ctx) },
		} {
			w.clock.set(0)
			_, id, cookie, err := w.visit(n, "", "first")
			if err != nil {
				t.Fatal(err)
			}
			w.request(n, cookie, func(ctx context.Context) { err = end(ctx) })
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []time.Duration{0, 50 * time.Second, -50 * time.Second} {
				w.clock.set(at)
				if _, _, next, err := w.visit(n, cookie, "quiet"); stay.CodeOf(err) != stay.ErrEnded || next != cookie {
					t.Errorf("%s, with the clock at %v: %v, want ErrEnded and no cookie", name, at, err)
				}
			}
			for _, at := range []time.Duration{-2 * time.Minute, -3 * time.Hour, 2 * time.Minute} {
				w.clock.set(at)
				if _, now, next, err := w.visit(n, cookie, "new"); err != nil || now == id || next == cookie {
					t.Errorf("%s, with the clock at %v: %v, want a new session", name, at, err)
				}
			}
		}
	})
}

// A clock that is set back while a state expires has its hook run once, and the
// state begins anew; what is stored then expires in its own time.
//
// Proves A15.
func TestClockGoesBackDuringTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		opts := options()
		opts.Clock = c.now
		var mu sync.Mutex
		var expired []string
		app := stay.New(memstore.New(), &opts)
		defer func() {
			if err := app.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		s := stay.Register(app, stay.Module[List]{
			Name: "s", Persist: stay.Global, Expiry: time.Hour,
			OnExpire: func(_ *stay.Call, l *List) {
				mu.Lock()
				defer mu.Unlock()
				expired = append(expired, l.Items...)
				c.set(-6 * time.Hour)
			},
		})
		sweeps := func(want ...string) {
			t.Helper()
			<-time.After(5 * time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(expired, want) {
				t.Errorf("OnExpire was told of %q, want %q", expired, want)
			}
		}
		add := func(word string, want ...string) {
			t.Helper()
			l, err := s.Update(t.Context(), func(l *List) error { l.Items = append(l.Items, word); return nil })
			if err != nil || !slices.Equal(l.Items, want) {
				t.Errorf("%v, %v, want %q", l, err, want)
			}
		}
		add("one", "one")
		sweeps()
		c.set(2 * time.Hour)
		sweeps("one") // which sets the clock back to before the state was made
		add("two", "two")
		c.set(-7 * time.Hour)
		add("three", "two", "three")
		sweeps("one")
		c.set(0)
		sweeps("one", "two", "three")
		add("four", "four")
	})
}
