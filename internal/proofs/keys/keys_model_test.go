package keys_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// worldStores are the stores of worlds, and whether calls are made directly.
var worldStores = map[string]struct {
	open      func() store.Store
	immediate bool
}{
	"direct":    {func() store.Store { return memstore.New() }, true},
	"committer": {func() store.Store { return memstore.New() }, false},
	"simple":    {func() store.Store { return store.FromSimple(testkit.NewSimple()) }, false},
}

// A chaos is what goes wrong in a run.
type chaos struct {
	faults  bool // of the store
	crashes bool
	evict   bool // keep nothing in memory
}

// A player draws what sessions do. It may be used concurrently.
type player struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (p *player) n(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.IntN(n)
}

func (p *player) user() string { return string(rune('a' + p.n(3))) }

func (p *player) pause() { letPass(time.Duration(p.n(4000)) * time.Microsecond) }

// letPass has time pass in a bubble.
func letPass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // no time is spent in a bubble
}

// slowly has the store take its time, and with faults fail now and then, in
// each way there is.
func (p *player) slowly(st *storefault.Store, faults bool) (calm func()) {
	one := func(in int) func(storefault.Call) bool {
		return func(storefault.Call) bool { return p.n(in) == 0 }
	}
	var rules []*storefault.Added
	for _, d := range []time.Duration{100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		rules = append(rules,
			st.Add(storefault.Rule{Op: storefault.Load, Match: one(4), Fault: storefault.Delay(d, 0)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(4), Fault: storefault.Delay(d, 0)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(6), Fault: storefault.Delay(0, d)}))
	}
	late := storefault.NewGate()
	if faults {
		rules = append(rules,
			st.Add(storefault.Rule{Op: storefault.Load, Match: one(30), Fault: storefault.Fail(nil)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(30), Fault: storefault.Fail(nil)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(20), Fault: storefault.LoseAck(nil)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(30), Fault: storefault.Drop(nil)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(40), Fault: storefault.Late(late, nil)}),
			st.Add(storefault.Rule{Op: storefault.Commit, Match: one(40), Fault: storefault.Delay(0, 60*time.Millisecond)}))
	}
	stop := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				if p.n(4) == 0 {
					late.Pass()
				}
			}
		}
	})
	return func() {
		for _, r := range rules {
			r.Remove()
		}
		close(stop)
		passing.Wait()
		late.Open()
	}
}

// session plays one browser, with requests at the same time.
func (p *player) session(w *world, steps int) {
	var mu sync.Mutex
	var now, old *cookie
	next := func(c, n *cookie, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case now != c:
		case n != nil:
			old, now = c, n
		case errors.Is(err, stay.ErrEnded):
			old, now = c, nil
		}
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range steps {
				p.pause()
				mu.Lock()
				c := now
				if old != nil && p.n(12) == 0 {
					c = old
				}
				mu.Unlock()
				if c == nil {
					n := w.visit()
					mu.Lock()
					if now == nil {
						now = n
					}
					mu.Unlock()
					continue
				}
				n, err := p.step(w, c)
				next(c, n, err)
			}
		})
	}
	all.Wait()
}

// step makes one request.
func (p *player) step(w *world, c *cookie) (*cookie, error) {
	switch k := p.n(100); {
	case k < 35:
		return nil, w.add(c, p.n(worldModules))
	case k < 50:
		return nil, w.read(c, p.n(worldModules))
	case k < 65:
		return w.become(c, p.user())
	case k < 71:
		return w.become(c, "")
	case k < 83:
		return w.login(c, p.user())
	case k < 89:
		return w.login(c, "")
	case k < 93:
		return w.renew(c)
	case k < 95:
		return nil, w.destroy(c)
	default:
		return nil, w.removeGuest(c, p.n(worldModules))
	}
}

// world does what needs no session, and what befalls processes.
func (p *player) world(w *world, c chaos, steps int) {
	for range steps {
		p.pause()
		switch k := p.n(20); {
		case k < 8:
			_ = w.addAt(p.user(), p.n(worldModules))
		case k < 12:
			_ = w.remove(p.user(), p.n(worldModules))
		case k < 14:
			_ = w.revoke(p.user())
		case k < 18:
			w.mu.Lock()
			app := w.p.app
			w.mu.Unlock()
			access.AppOf(app).Evict(false)
		case c.crashes:
			w.restart(k == 18)
		}
		if c.evict {
			w.mu.Lock()
			app := w.p.app
			w.mu.Unlock()
			access.AppOf(app).Evict(true)
		}
	}
}

// play runs one world.
func play(t *testing.T, seed uint64, immediate bool, open func() store.Store, guests stay.GuestMode, c chaos, steps int) {
	synctest.Test(t, func(t *testing.T) {
		p := &player{r: rand.New(rand.NewPCG(seed, 0))}
		w := newWorld(t, open(), immediate, guests, nil)
		w.calm = !c.faults && !c.crashes
		calm := p.slowly(w.st, c.faults)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { p.session(w, steps) })
		}
		all.Go(func() { p.world(w, c, steps) })
		all.Wait()
		calm()
		letPass(time.Second)
		w.finish()
	})
}

func playAll(t *testing.T, seed uint64, steps int) {
	n := uint64(0)
	for name, s := range worldStores {
		for mode, guests := range testkit.GuestModes {
			for kind, c := range map[string]chaos{
				"calm":  {},
				"storm": {faults: true, crashes: true},
				"evict": {evict: true},
				"all":   {faults: true, crashes: true, evict: true},
			} {
				n++
				t.Run(name+"/"+mode+"/"+kind, func(t *testing.T) {
					play(t, seed, s.immediate, s.open, guests, c, steps)
				})
			}
		}
	}
}

// Whatever sessions, users, the store and the process do at once, no state
// reaches a user or guest who does not own it, and acknowledged changes are
// kept, once.
//
// Proves A9, K2, K3, K4, K5, K6, K7, K8, S3, S4, S5, S7.
func TestKeysAgreeWithTheModel(t *testing.T) {
	playAll(t, testseed.New(t), 25)
}

// The same for longer.
func TestSoakKeyModel(t *testing.T) {
	if os.Getenv("STAY_SOAK") == "" {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	random := rand.New(rand.NewPCG(testseed.New(t), 1))
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && !t.Failed(); {
		seed := random.Uint64()
		t.Logf("seed %d", seed)
		playAll(t, seed, 40)
	}
}
