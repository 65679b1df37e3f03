package sharded_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
)

// A sim runs several processes on one set of records, and decides which of their
// calls of the stores below goes on, and what becomes of it: it is done, done and
// its answer lost, lost, done later, or the last one of its process, before or
// after it was done. Time passes only when the sim lets it.
type sim struct {
	r     *rand.Rand
	calm  bool // nothing goes wrong
	mu    sync.Mutex
	calls []*simCall // that wait
	late  []*simCall // that come later
	steps int
}

// A simCall is one call of a store below.
type simCall struct {
	p       *process
	inner   store.Store
	groups  []store.Group // of Commit
	do      func() (any, error)
	answer  any
	err     error
	done    chan struct{}
	arrives int // orders the calls that wait
}

// A process is one program with its handle.
type process struct {
	name string
	s    *sharded.Store
	dead bool
}

// A wire is a store as one process reaches it.
type wire struct {
	store.Store
	sim *sim
	p   *process
}

var errLost = fmt.Errorf("sim: the answer is lost: %w", store.ErrUnavailable)

func (w *wire) call(groups []store.Group, do func() (any, error)) (any, error) {
	c := &simCall{p: w.p, inner: w.Store, groups: groups, do: do, done: make(chan struct{})}
	w.sim.mu.Lock()
	w.sim.steps++
	c.arrives = w.sim.steps
	w.sim.calls = append(w.sim.calls, c)
	w.sim.mu.Unlock()
	<-c.done
	return c.answer, c.err
}

func (w *wire) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	a, err := w.call(nil, func() (any, error) { return w.Store.Load(ctx, reads) })
	if err != nil {
		return nil, err
	}
	return a.([]store.Record), nil
}

func (w *wire) Commit(ctx context.Context, groups []store.Group) []store.Result {
	a, err := w.call(groups, func() (any, error) { return w.Store.Commit(ctx, groups), nil })
	if err == nil {
		return a.([]store.Result)
	}
	results := make([]store.Result, len(groups))
	for i := range results {
		results[i] = store.Result{Outcome: store.Unknown, Err: err}
	}
	return results
}

func (w *wire) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	a, err := w.call(nil, func() (any, error) { return w.Store.Expired(ctx, now, limit) })
	if err != nil {
		return nil, err
	}
	return a.([]store.Record), nil
}

func (w *wire) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	a, err := w.call(nil, func() (any, error) {
		return w.Store.(store.Lister).List(ctx, now, prefix, after, limit)
	})
	if err != nil {
		return nil, err
	}
	return a.([]string), nil
}

// sleep lets time pass in a bubble.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the bubble's time

// step lets something happen. false means that nobody waits for a call.
func (s *sim) step() bool {
	synctest.Wait()
	s.mu.Lock()
	slices.SortFunc(s.calls, func(a, b *simCall) int { return a.arrives - b.arrives })
	n := len(s.calls)
	var c *simCall
	if n > 0 && s.r.IntN(20) > 0 {
		i := s.r.IntN(n)
		c = s.calls[i]
		s.calls = slices.Delete(s.calls, i, i+1)
	}
	s.mu.Unlock()
	if len(s.late) > 0 && s.r.IntN(30) == 0 {
		s.arrive(s.r.IntN(len(s.late)))
	}
	if c == nil {
		sleep(time.Duration(1+s.r.IntN(60)) * time.Millisecond)
		return n > 0
	}
	s.perform(c)
	close(c.done)
	return true
}

// arrive lets a call come that was held up.
func (s *sim) arrive(i int) {
	c := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	for _, g := range c.groups {
		c.inner.Commit(context.Background(), []store.Group{g})
	}
}

// perform decides what becomes of a call.
func (s *sim) perform(c *simCall) {
	if c.p.dead {
		c.err = errLost
		return
	}
	s.before(c)
	fate := s.r.IntN(100)
	switch {
	case s.calm || fate < 88 || c.groups == nil && fate < 97:
		c.answer, c.err = c.do()
	case c.groups == nil:
		c.err = errLost
		c.p.dead = fate == 99
	case fate < 91: // the answer is lost
		_, _ = c.do()
		c.err = errLost
	case fate < 94: // the call is lost
		c.err = errLost
	case fate < 97:
		s.late = append(s.late, c)
		c.err = errLost
	case fate < 98: // the process stops after it
		_, _ = c.do()
		c.err = errLost
		c.p.dead = true
	default: // and before it
		c.err = errLost
		c.p.dead = true
	}
}

// before makes sure that no earlier call of the process with one of the keys comes
// later (C6): it comes now, or never.
func (s *sim) before(c *simCall) {
	for i := len(s.late) - 1; i >= 0; i-- {
		l := s.late[i]
		if l.p != c.p || !shareKey(l.groups, c.groups) {
			continue
		}
		if s.r.IntN(2) == 0 {
			s.arrive(i)
		} else {
			s.late = slices.Delete(s.late, i, i+1)
		}
	}
}

func shareKey(a, b []store.Group) bool {
	for _, g := range a {
		for _, w := range g {
			for _, h := range b {
				if slices.ContainsFunc(h, func(v store.Write) bool { return v.Key == w.Key }) {
					return true
				}
			}
		}
	}
	return false
}

// run lets the goroutines go on until all of them are done.
func (s *sim) run(all *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		default:
			s.step()
		}
	}
}

func simSeed(t *testing.T) uint64 {
	text := os.Getenv("SHARDED_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SHARDED_SEED: %v", err)
	}
	return seed
}

// Processes that stop at any call, lose answers and send what arrives late leave
// groups over several homes whole, in one order, and hold up nobody.
//
// Proves C1, C2, C3, C6.
func TestSimulation(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 10
	}
	first := simSeed(t)
	if os.Getenv("SHARDED_SEED") != "" {
		runs = 1
	}
	for name, open := range map[string]func(*sim, []*memstore.Store) *process{
		"one store":            simHome,
		"a router over stores": simRouter,
	} {
		t.Run(name, func(t *testing.T) {
			for i := range runs {
				seed := first + uint64(i)
				synctest.Test(t, func(t *testing.T) {
					defer func() {
						if t.Failed() {
							t.Logf("repeat with SHARDED_SEED=%d", seed)
						}
					}()
					simulate(t, seed, open)
				})
			}
		})
	}
}

// simHome opens a process on the first of the places.
func simHome(s *sim, places []*memstore.Store) *process {
	p := &process{}
	p.s = mustNew(&wire{atHome{places[0]}, s, p})
	return p
}

// simRouter opens a process on all of the places.
func simRouter(s *sim, places []*memstore.Store) *process {
	p := &process{}
	names := map[string]store.Store{}
	for i, m := range places {
		names[fmt.Sprint(i)] = &wire{m, s, p}
	}
	r, err := sharded.OpenRouter(context.Background(), names)
	if err != nil {
		panic(err)
	}
	p.s = mustNew(r)
	return p
}

func mustNew(inner store.Store) *sharded.Store {
	s, err := sharded.New(inner)
	if err != nil {
		panic(err)
	}
	return s
}

const simProcesses = 24

func simulate(t *testing.T, seed uint64, open func(*sim, []*memstore.Store) *process) {
	s := &sim{r: rand.New(rand.NewPCG(seed, 1)), calm: true}
	places := [][]*memstore.Store{memstore.Shared(simProcesses), memstore.Shared(simProcesses), memstore.Shared(simProcesses)}
	book := newBook(t)
	opened := 0
	start := func() (p *process) {
		calm := s.calm
		s.calm = true
		defer func() { s.calm = calm }()
		mine := []*memstore.Store{places[0][opened], places[1][opened], places[2][opened]}
		opened++
		var all sync.WaitGroup
		all.Go(func() { p = open(s, mine) })
		s.run(&all)
		p.name = fmt.Sprint("p", opened)
		return p
	}
	alive := make([]*process, 3)
	for i := range alive {
		alive[i] = start()
	}
	var all sync.WaitGroup
	all.Go(func() { book.fill(alive[0].s) })
	s.run(&all)
	s.calm = false
	var used []*process
	for round := range 6 {
		var all sync.WaitGroup
		for i, p := range alive {
			for k := range 2 {
				r := rand.New(rand.NewPCG(seed, s.r.Uint64()))
				all.Go(func() { book.act(p, r, fmt.Sprintf("%s.%d.%d", p.name, round, 2*i+k), 5) })
			}
		}
		s.run(&all)
		for i, p := range alive {
			if p.dead {
				used = append(used, p)
				alive[i] = start()
			}
		}
	}
	s.calm = true
	last := start()
	for len(s.late) > 0 {
		s.arrive(0)
	}
	var end sync.WaitGroup
	end.Go(func() { book.end(last.s) })
	s.run(&end)
	for range 2 { // what is not decided is seen first, and ended then
		sleep(25 * time.Hour)
		end.Go(func() { _, _ = last.s.Expired(context.Background(), time.Now(), 100) })
		s.run(&end)
	}
	end.Go(func() { book.clean(last.s, places) })
	s.run(&end)
	var closing sync.WaitGroup
	for _, p := range slices.Concat(used, alive, []*process{last}) {
		closing.Go(func() {
			if err := p.s.Close(); err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Close: %v", err)
			}
		})
	}
	s.run(&closing)
}
