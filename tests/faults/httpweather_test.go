package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"go.uber.org/goleak"
)

// avenues are where streets are built: with memory, with a file, and with two
// nodes on one store.
var avenues = []ground{
	{name: "memory behind the committer", open: func(*testing.T, string) []store.Store { return []store.Store{memstore.New()} }},
	{name: "two nodes", open: func(*testing.T, string) []store.Store {
		a := memstore.Shared(2)
		return []store.Store{a[0], a[1]}
	}},
	{name: "sqlite, two nodes", disk: true, open: func(t *testing.T, dir string) (all []store.Store) {
		t.Helper()
		for range 2 {
			s, err := sqlitestore.Open(filepath.Join(dir, "app.db"), sqlitestore.Shared())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		return all
	}},
}

// jumps are where clocks are set between phases: never to where a session
// could have expired.
var jumps = []time.Duration{0, 30 * time.Second, 2 * time.Minute, -2 * time.Minute, -40 * time.Second, time.Hour, -7 * time.Hour, 7 * time.Hour}

// Visitors with real cookies, thieves with old ones, callers who leave, stores
// in trouble and clocks that are set back and forth: what was acknowledged is
// there, once; what failed is not; what is unknown is there once or not at all.
// No old cookie sees or changes anything or is answered with a new one, no new
// cookie is overwritten, and nothing is left when all have gone.
//
// Proves A3, E1, E5, E7, E8, S1, S5, S6, W1, W2.
func TestSoakWeather(t *testing.T) {
	phases, visits := 1, 10
	if soak() {
		phases, visits = 6, 40
	}
	seed := testseed.New(t)
	for i, g := range avenues {
		for j, kind := range weathers {
			if !soak() && (g.disk || kind.outages || j%2 != i%2) {
				continue // the others are for the long test
			}
			t.Run(g.name+"/"+kind.name, func(t *testing.T) {
				playWeather(t, g, kind, seed+uint64(100*i+j), phases, visits)
			})
		}
	}
}

func playWeather(t *testing.T, g ground, kind weather, seed uint64, phases, visits int) {
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	before := goleak.IgnoreCurrent()
	w := &world{t: t, seed: seed, opts: options(), ledger: newLedger(t), clock: &clock{}}
	w.opts.Clock, w.opts.CommitTimeout, w.opts.MaxWait = w.clock.now, 150*time.Millisecond, time.Second
	s := &street{world: w}
	stores := g.open(t, dir)
	w.start(stores, g.immediate)
	s.open()
	may := map[stay.Code]bool{stay.ErrBusy: true, stay.ErrUnavailable: true, stay.ErrUnknown: true, stay.ErrConflict: true} // the machine may be slow
	for _, code := range kind.may {
		may[code] = true
	}
	p := &pool{}
	var visitors []*visitor
	for i := range 5 {
		visitors = append(visitors, newVisitor(s, i, seed, p, may))
	}
	var thieves []*thief
	for i := range 2 {
		thieves = append(thieves, &thief{s, worker{world: w, id: 50 + i, random: rand.New(rand.NewPCG(seed, uint64(50+i))), may: may}, p})
	}
	random := rand.New(rand.NewPCG(seed, 1000))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for phase := range 2 * phases {
		if phase%2 == 1 || kind.jumps {
			w.clock.set(jumps[random.IntN(len(jumps))])
		}
		s.phase(kind, visitors, thieves, visits, seed+uint64(phase))
		quiet := &worker{world: w, id: 100 + phase, random: random}
		w.settleAll(ctx, quiet)
		w.same(ctx)
		if t.Failed() {
			break
		}
	}
	s.upload(0)
	s.afterTheEnd(visitors, p)
	s.shut()
	w.close()
	closeAll(t, stores)
	t.Logf("%d stale cookies; the longest request took %v", len(p.all), time.Duration(w.worst.Load()))
	goleak.VerifyNone(t, before)
	files, err := os.ReadDir(temp)
	if err != nil || len(files) > 0 {
		t.Errorf("%d temporary files are left, %v", len(files), err)
	}
}

// phase has everybody do things while the stores are in trouble.
func (s *street) phase(kind weather, visitors []*visitor, thieves []*thief, visits int, seed uint64) {
	s.phases++
	var storms []*storm
	var ends []func()
	for i, n := range s.nodes {
		if kind.begin == nil {
			continue
		}
		one := newStorm(n.faults, seed^uint64(i)<<32)
		storms = append(storms, one)
		if end := kind.begin(one); end != nil {
			ends = append(ends, end)
		}
	}
	var all sync.WaitGroup
	for _, v := range visitors {
		all.Go(func() {
			for range visits {
				v.visit()
			}
		})
	}
	for _, th := range thieves {
		all.Go(func() {
			for range visits {
				th.steal()
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		panic("some requests are never answered")
	}
	for _, one := range storms {
		one.end()
	}
	for _, end := range ends {
		end()
	}
	s.ready()
}

// afterTheEnd looks through all cookies there are when every session has
// expired.
func (s *street) afterTheEnd(visitors []*visitor, p *pool) {
	all := p.all
	for _, v := range visitors {
		if cookie := v.cookie(v.client); cookie != "" && v.id != "" {
			all = append(all, stale{value: cookie, id: v.id, why: "of a session that has expired"})
		}
	}
	s.clock.set(72 * time.Hour)
	for i, c := range all {
		a := s.replay(i%len(s.servers), http.MethodGet, "/mine", c.value, "")
		if a.code != "" || a.session == c.id || a.user != "" || len(a.items) > 0 {
			s.t.Errorf("a cookie %s, two days later: %s", c.why, fmt.Sprintf("%+v", a))
		}
	}
}
