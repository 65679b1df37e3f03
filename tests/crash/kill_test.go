package crash_test

import (
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/tests/internal/crashsite"
)

// Whenever the server is killed, every change that was acknowledged is there
// after the restart, what was not acknowledged is there as a whole or not at
// all, and nothing comes back that was reset, deleted, logged out, renewed,
// destroyed, revoked or expired. Guests in memory go with the process, and what
// is debounced loses at most what was not stored yet.
//
// Proves A3, K2, K3, K4, S4, S5.
func TestSoakKill9(t *testing.T) {
	cycles := 30
	if soak() {
		cycles = 1200
	}
	seed := testseed.New(t)
	for i, guests := range []string{"guests stored", "guests in memory"} {
		t.Run(guests, func(t *testing.T) {
			kill9(t, seed+uint64(i), cycles/2, i == 1)
		})
	}
}

func kill9(t *testing.T, seed uint64, cycles int, memory bool) {
	r := &run{}
	rep := &report{Seed: seed, Begun: time.Now(), Counts: map[string]int{}}
	defer rep.write(t, &r.tallies)
	browsers := newBrowsers(r, 8)
	db := filepath.Join(t.TempDir(), "app.db")
	var ahead, jump time.Duration // of the clock, and its latest jump
	restart := func(*world) {}    // what it does to a world
	for cycle := range cycles + 1 {
		random := draws(seed, cycle)
		args := []string{"-ahead", ahead.String(), db}
		if memory {
			args = append([]string{"-memory"}, args...)
		}
		if random.IntN(2) == 0 {
			args = append([]string{"-sweep"}, args...)
			rep.Counts["servers that sweep"]++
		}
		p := start(t, nil, args...)
		checkAll(r, p.url, browsers, random, restart, rep.Counts, jump == 0)
		if bad := r.problems(); len(bad) > 0 {
			for _, text := range bad {
				t.Error(text)
			}
			t.Fatalf("after the restart number %d", cycle)
		}
		if cycle == cycles {
			p.stop(t)
			return
		}
		for i, b := range browsers {
			b.random = draws(seed, cycle, 1+i)
		}
		clean := random.IntN(12) == 0
		// What was acknowledged must be there at once, so half of the kills
		// follow an acknowledgement as fast as they can; the others come when
		// more is under way.
		pause := time.Duration(random.IntN(3000)) * time.Microsecond
		if r.strike = nil; !clean && random.IntN(2) == 0 {
			r.strike, pause = p.strike, 0
		}
		load(t, r, p, browsers, 1+random.IntN(200), func() {
			if clean {
				p.stop(t)
				return
			}
			<-time.After(pause)
			p.kill(t)
		})
		jump = 0
		switch random.IntN(30) {
		case 0, 1:
			jump = crashsite.BriefExpiry + time.Hour
			rep.Counts["expiries of states"]++
		case 2:
			jump = crashsite.IdleTimeout + time.Hour
			rep.Counts["expiries of sessions"]++
		}
		if clean {
			rep.Counts["restarts after Close"]++
		} else {
			rep.Counts["kills"]++
		}
		ahead += jump
		restart = func(w *world) { w.restart(clean, memory, jump) }
	}
}

// restart does to a world what a restart does: with memory the guests are
// gone, and after a jump of the clock what has expired.
func (w *world) restart(clean, memory bool, jump time.Duration) {
	if clean {
		w.floor = w.draft
	}
	if memory {
		w.guest = [keyed]int{}
	}
	if jump > crashsite.BriefExpiry {
		w.brief = 0
	}
	if jump > crashsite.IdleTimeout {
		w.endSession()
	}
}

// checkAll has all browsers compare what they find with what they know.
func checkAll(r *run, url string, browsers []*browser, random *rand.Rand, restart func(*world), counts map[string]int, quick bool) {
	transport := &http.Transport{MaxIdleConnsPerHost: len(browsers)}
	defer transport.CloseIdleConnections()
	r.client, r.url = &http.Client{Transport: transport}, url
	seed := random.Uint64()
	old := make([]int, len(browsers))
	var wg sync.WaitGroup
	for i, b := range browsers {
		wg.Go(func() {
			b.check(restart, quick)
			old[i] = b.checkOld(draws(seed, i))
		})
	}
	wg.Wait()
	for _, n := range old {
		counts["old cookies tried"] += n
	}
	counts["browsers checked"] += len(browsers)
}
