package keys_test

import (
	"fmt"
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
	"github.com/stay-go/stay/store/memstore"
)

// A scenario is a few requests that meet: it does what comes before, and
// returns them.
type scenario func(w *world) []func()

// An exploration plays a scenario in every order of its store calls and turns.
type exploration struct {
	name      string
	play      scenario
	immediate bool
	guests    stay.GuestMode
	cold      bool // nothing is in memory when it begins
	faults    int  // how many calls may fail in one run
	limit     int  // more orders than this are drawn by lot
}

// A path is the choice at each step of a run, and the number of choices.
type path struct{ chosen, of []int }

// next is the path that comes after, nil after the last one.
func (p *path) next() *path {
	for i := len(p.chosen) - 1; i >= 0; i-- {
		if p.chosen[i]+1 < p.of[i] {
			return &path{chosen: append(p.chosen[:i:i], p.chosen[i]+1)}
		}
	}
	return nil
}

// explore returns how many orders it has tried, and whether these were all.
func (x exploration) explore(t *testing.T, seed uint64) (n int, all bool) {
	random := rand.New(rand.NewPCG(seed, 0))
	for p := (&path{}); p != nil && n < x.limit && !t.Failed(); n++ {
		p = x.run(t, p, nil).next()
		all = p == nil
	}
	if !all {
		for range x.limit / 2 {
			if t.Failed() {
				break
			}
			x.run(t, &path{}, random)
			n++
		}
	}
	return n, all
}

// run plays one order: the one that begins with the choices of the path, or
// a random one.
func (x exploration) run(t *testing.T, prefix *path, random *rand.Rand) *path {
	taken := &path{}
	synctest.Test(t, func(t *testing.T) {
		s := &stepper{}
		w := newWorld(t, memstore.New(), x.immediate, x.guests, s)
		w.calm = x.faults == 0
		requests := x.play(w)
		if x.cold {
			access.AppOf(w.p.app).Evict(false)
		}
		s.begin()
		var under sync.WaitGroup
		for i, fn := range requests {
			under.Go(func() {
				s.stop(stopTurn, fmt.Sprint("begin ", i))
				fn()
			})
		}
		done := make(chan struct{})
		go func() {
			under.Wait()
			close(done)
		}()
		x.steer(s, done, prefix, taken, random)
		s.end()
		<-done
		letPass(time.Second)
		w.finish()
		if t.Failed() {
			t.Logf("%s: the order %v", x.name, taken.chosen)
		}
	})
	return taken
}

func (x exploration) steer(s *stepper, done chan struct{}, prefix, taken *path, random *rand.Rand) {
	faults := x.faults
	for range 200 {
		synctest.Wait()
		select {
		case <-done:
			return
		default:
		}
		type choice struct {
			stop *stop
			fate fate
		}
		var choices []choice
		for _, stop := range s.standing() {
			for _, f := range stop.fates() {
				if f == goesWell || faults > 0 {
					choices = append(choices, choice{stop, f})
				}
			}
		}
		if len(choices) == 0 {
			letPass(time.Millisecond) // somebody tries again
			continue
		}
		i := 0
		switch at := len(taken.chosen); {
		case random != nil:
			i = random.IntN(len(choices))
		case at < len(prefix.chosen):
			i = min(prefix.chosen[at], len(choices)-1)
		}
		taken.chosen, taken.of = append(taken.chosen, i), append(taken.of, len(choices))
		if choices[i].fate != goesWell {
			faults--
		}
		s.pass(choices[i].stop, choices[i].fate)
	}
}

func do2[T any](fn func() (T, error)) func() {
	return func() { _, _ = fn() }
}

func do(fn func() error) func() {
	return func() { _ = fn() }
}

// The scenarios.
var meetings = map[string]scenario{
	"opposite switches": func(w *world) []func() {
		one, _ := w.become(w.visit(), "a")
		two, _ := w.become(w.visit(), "b")
		_, _ = w.add(one, inTodos), w.add(two, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(one, "b") }),
			do2(func() (*cookie, error) { return w.become(two, "a") }),
		}
	},
	"the same login twice": func(w *world) []func() {
		c := w.visit()
		_, _ = w.add(c, inTodos), w.addAt("a", inTodos)
		again := func() (*cookie, error) { return w.become(c, "a") }
		return []func(){do2(again), do2(again)}
	},
	"two logins of one session": func(w *world) []func() {
		c := w.visit()
		_ = w.add(c, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(c, "a") }),
			do2(func() (*cookie, error) { return w.become(c, "b") }),
		}
	},
	"two sessions become one user": func(w *world) []func() {
		one, two := w.visit(), w.visit()
		_, _ = w.add(one, inTodos), w.add(two, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(one, "a") }),
			do2(func() (*cookie, error) { return w.become(two, "a") }),
		}
	},
	"login and guest": func(w *world) []func() {
		c := w.visit()
		_ = w.add(c, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(c, "a") }),
			do(func() error { return w.add(c, inTodos) }),
		}
	},
	"login and a first guest": func(w *world) []func() {
		c := w.visit()
		return []func(){
			do2(func() (*cookie, error) { return w.become(c, "a") }),
			do(func() error { return w.add(c, inTodos) }),
		}
	},
	"logout and change": func(w *world) []func() {
		c, _ := w.become(w.visit(), "a")
		_ = w.add(c, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(c, "") }),
			do(func() error { return w.add(c, inTodos) }),
		}
	},
	"login and deletion of the key": func(w *world) []func() {
		c := w.visit()
		_, _ = w.add(c, inTodos), w.addAt("a", inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.become(c, "a") }),
			do(func() error { return w.remove("a", inTodos) }),
		}
	},
	"change, deletion and another's login": func(w *world) []func() {
		c, _ := w.become(w.visit(), "a")
		other := w.visit()
		return []func(){
			do(func() error { return w.add(c, inTodos) }),
			do(func() error { return w.remove("a", inTodos) }),
			do2(func() (*cookie, error) { return w.become(other, "a") }),
		}
	},
	"login and revocation": func(w *world) []func() {
		c := w.visit()
		_ = w.add(c, inCart)
		return []func(){
			do2(func() (*cookie, error) { return w.login(c, "a") }),
			do(func() error { return w.revoke("a") }),
		}
	},
	"switch and revocation": func(w *world) []func() {
		c, _ := w.login(w.visit(), "a")
		_ = w.add(c, inCart)
		return []func(){
			do2(func() (*cookie, error) { return w.login(c, "b") }),
			do(func() error { return w.revoke("a") }),
		}
	},
	"login and a guest in two modules": func(w *world) []func() {
		c := w.visit()
		_ = w.addAt("a", inCart)
		return []func(){
			do2(func() (*cookie, error) { return w.login(c, "a") }),
			do(func() error { return w.add(c, inCart) }),
			do(func() error { return w.add(c, inNotes) }),
		}
	},
	"both kinds of login": func(w *world) []func() {
		c := w.visit()
		_, _ = w.add(c, inCart), w.add(c, inTodos)
		return []func(){
			do2(func() (*cookie, error) { return w.login(c, "a") }),
			do2(func() (*cookie, error) { return w.become(c, "b") }),
		}
	},
	"login and end": func(w *world) []func() {
		c := w.visit()
		_ = w.add(c, inCart)
		return []func(){
			do2(func() (*cookie, error) { return w.login(c, "a") }),
			do(func() error { return w.destroy(c) }),
		}
	},
}

// Small cases in every order of their store calls and turns, with a failure at
// every place. Where there are too many, some are drawn by lot.
//
// Proves A9, S4, S5.
func TestEveryOrderOfAKeyChange(t *testing.T) { exploreAll(t, 6) }

// The same, with a hundred times as many.
func TestSoakKeyExplore(t *testing.T) {
	if os.Getenv("STAY_SOAK") == "" {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	exploreAll(t, 800)
}

func exploreAll(t *testing.T, limit int) {
	seed := testseed.New(t)
	total := 0
	for name, play := range meetings {
		t.Run(name, func(t *testing.T) {
			for _, x := range []exploration{
				{immediate: true, guests: stay.GuestMemory, faults: 1, limit: 2 * limit},
				{guests: stay.GuestStored, faults: 1, limit: 2 * limit},
				{guests: stay.GuestStored, cold: true, limit: limit},
				{immediate: true, guests: stay.GuestMemory, cold: true, limit: limit},
			} {
				x.name, x.play = name, play
				n, all := x.explore(t, seed)
				total += n
				t.Logf("immediate %v, guests %d, cold %v: %d orders, all %v", x.immediate, x.guests, x.cold, n, all)
			}
		})
	}
	t.Logf("%d orders in all", total)
}

// The changes of a key, each after what makes it one.
var keyChanges = map[string]func(w *world) func(){
	"login": func(w *world) func() {
		c := w.visit()
		_, _ = w.add(c, inTodos), w.addAt("a", inTodos)
		return do2(func() (*cookie, error) { return w.become(c, "a") })
	},
	"first login": func(w *world) func() {
		c := w.visit()
		_ = w.add(c, inTodos)
		return do2(func() (*cookie, error) { return w.become(c, "a") })
	},
	"switch": func(w *world) func() {
		c, _ := w.become(w.visit(), "a")
		_, _ = w.add(c, inTodos), w.addAt("b", inTodos)
		return do2(func() (*cookie, error) { return w.become(c, "b") })
	},
	"logout": func(w *world) func() {
		c, _ := w.become(w.visit(), "a")
		_ = w.add(c, inTodos)
		return do2(func() (*cookie, error) { return w.become(c, "") })
	},
	"Login": func(w *world) func() {
		c := w.visit()
		_, _, _ = w.add(c, inCart), w.add(c, inNotes), w.addAt("a", inCart)
		return do2(func() (*cookie, error) { return w.login(c, "a") })
	},
	"Login of another": func(w *world) func() {
		c, _ := w.login(w.visit(), "a")
		_, _ = w.add(c, inCart), w.addAt("b", inCart)
		return do2(func() (*cookie, error) { return w.login(c, "b") })
	},
	"Logout": func(w *world) func() {
		c, _ := w.login(w.visit(), "a")
		_ = w.add(c, inCart)
		return do2(func() (*cookie, error) { return w.login(c, "") })
	},
	"Destroy": func(w *world) func() {
		c, _ := w.login(w.visit(), "a")
		_ = w.add(c, inTodos)
		return do(func() error { return w.destroy(c) })
	},
	"Revoke": func(w *world) func() {
		c, _ := w.login(w.visit(), "a")
		_ = w.add(c, inCart)
		return do(func() error { return w.revoke("a") })
	},
}

// The process may end before or after every call of the store that a change of
// the key makes; the next one finds it done or not done.
//
// Proves A3, S4.
func TestCrashAtEveryCallOfAKeyChange(t *testing.T) {
	n := 0
	for name, play := range keyChanges {
		for mode, guests := range testkit.GuestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				for _, f := range []fate{crashes, crashed} {
					for at := 0; crashAt(t, play, guests, f, at); at++ {
						n++
					}
				}
			})
		}
	}
	t.Logf("%d crashes", n)
}

// crashAt ends the process at the call with this number. It reports false when
// there is none.
func crashAt(t *testing.T, play func(w *world) func(), guests stay.GuestMode, f fate, at int) (again bool) {
	synctest.Test(t, func(t *testing.T) {
		s := &stepper{}
		w := newWorld(t, memstore.New(), false, guests, s)
		s.crash = w.crash
		request := play(w)
		access.AppOf(w.p.app).Evict(false)
		s.begin()
		go request()
		for i := 0; i <= at; i++ {
			synctest.Wait()
			standing := s.standing()
			for len(standing) > 0 && standing[0].op == stopTurn {
				s.pass(standing[0], goesWell)
				synctest.Wait()
				standing = s.standing()
			}
			if len(standing) == 0 {
				break
			}
			if again = i == at; again {
				s.pass(standing[0], f)
			} else {
				s.pass(standing[0], goesWell)
			}
		}
		s.end()
		synctest.Wait()
		letPass(time.Second)
		if again {
			w.restart(true)
		}
		w.finish()
		if t.Failed() {
			t.Logf("the crash %v at %d", f, at)
		}
	})
	return again && !t.Failed()
}
