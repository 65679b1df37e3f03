package faults_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A ground is where a world is built.
type ground struct {
	name      string
	immediate bool
	open      func(t *testing.T, dir string) []store.Store
	homes     bool // the store that fails has groups at one home; others are made of those
	disk      bool // it is opened anew after each round, and takes real time
	rounds    int
	turns     int // of each worker in each round
}

var grounds = []ground{
	{name: "memory", immediate: true, rounds: 2, turns: 20, open: func(*testing.T, string) []store.Store {
		return []store.Store{memstore.New()}
	}},
	{name: "memory behind the committer", rounds: 2, turns: 20, open: func(*testing.T, string) []store.Store {
		return []store.Store{memstore.New()}
	}},
	{name: "two nodes", rounds: 2, turns: 20, open: func(*testing.T, string) []store.Store {
		a := memstore.Shared(2)
		return []store.Store{a[0], a[1]}
	}},
	{name: "two nodes on homes", rounds: 2, turns: 20, homes: true, open: func(*testing.T, string) []store.Store {
		a := memstore.Shared(2)
		return []store.Store{a[0], a[1]}
	}},
	{name: "sqlite", rounds: 1, turns: 8, disk: true, open: func(t *testing.T, dir string) []store.Store {
		t.Helper()
		s, err := sqlitestore.Open(filepath.Join(dir, "app.db"))
		if err != nil {
			t.Fatal(err)
		}
		return []store.Store{s}
	}},
}

// Whatever the store does to the requests of many visitors: what was
// acknowledged is there, once, on every node and after a restart; what failed
// is not; what is unknown is there once or not at all. Everybody is answered in
// bounded time, and when the store works again everything works at once, with
// the right values.
//
// Proves A3, B11, E1, E3, E5, E6, E7, S5, N1.
func TestSoakStoreFaults(t *testing.T) {
	for _, g := range grounds {
		if soak() {
			g.rounds, g.turns = 5*g.rounds, 5*g.turns
		}
		for _, w := range weathers {
			if g.immediate && w.hangs || g.disk && w.outages {
				continue
			}
			if g.homes && w.damages { // a lock holds what was read, and is stored
				continue
			}
			t.Run(g.name+"/"+w.name, func(t *testing.T) {
				seed := testseed.New(t)
				if g.disk { // which waits in system calls
					t.Parallel()
					storms(t, g, w, seed, false)
					return
				}
				synctest.Test(t, func(t *testing.T) { storms(t, g, w, seed, true) })
			})
		}
	}
}

func storms(t *testing.T, g ground, kind weather, seed uint64, bubble bool) {
	w := &world{t: t, seed: seed, opts: options(), bounds: bubble, ledger: newLedger(t), clock: &clock{jumps: kind.jumps}, homes: g.homes}
	w.opts.Clock = w.clock.now
	if kind.may == nil {
		w.opts.MaxInstances = 0 // so that nothing explains a failure
	}
	switch {
	case bubble:
	case kind.endless:
		w.opts.CommitTimeout = 100 * time.Millisecond
	default: // the machine may be slow as well
		w.opts.MaxWait, w.opts.CommitTimeout = patience, patience
	}
	for i := range 6 {
		w.browsers = append(w.browsers, &browser{user: fmt.Sprint("u", i%2)})
	}
	dir := t.TempDir()
	stores := g.open(t, dir)
	workers := make([]*worker, 8)
	for i := range workers {
		workers[i] = &worker{world: w, id: i, random: rand.New(rand.NewPCG(seed, uint64(i))), may: map[stay.Code]bool{}}
		for _, code := range kind.may {
			workers[i].may[code] = true
		}
	}
	hits := 0
	for round := range g.rounds {
		w.start(stores, g.immediate)
		hits += w.storm(kind, workers, g.turns, seed+uint64(round))
		w.rest(round)
		w.close()
		if g.disk {
			closeAll(t, stores)
			stores = g.open(t, dir)
		}
		w.start(stores, g.immediate) // another App on the same store
		w.same(t.Context())
		w.close()
	}
	closeAll(t, stores)
	if hits == 0 && kind.begin != nil {
		t.Error("no fault was met")
	}
	worst := time.Duration(w.worst.Load())
	t.Logf("%d faults, %d states; the longest request took %v", hits, len(w.accounts), worst)
	if w.bounds && worst > w.limit() {
		t.Errorf("a request took %v, want %v at most", worst, w.limit())
	}
}

func closeAll(t *testing.T, stores []store.Store) {
	t.Helper()
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// storm has the workers work while the store is in trouble.
func (w *world) storm(kind weather, workers []*worker, turns int, seed uint64) (hits int) {
	w.t.Helper()
	var all []*storm
	var ends []func()
	for i, n := range w.nodes {
		if kind.begin == nil {
			continue
		}
		s := newStorm(n.faults, seed^uint64(i)<<32)
		all = append(all, s)
		if end := kind.begin(s); end != nil {
			ends = append(ends, end)
		}
	}
	var working sync.WaitGroup
	for _, one := range workers {
		working.Go(func() {
			for range turns {
				one.turn()
			}
		})
	}
	done := make(chan struct{})
	go func() { working.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(w.patience()):
		panic("some requests are never answered")
	}
	for _, s := range all {
		hits += s.end()
	}
	for _, end := range ends {
		end()
	}
	w.ready()
	return hits
}
