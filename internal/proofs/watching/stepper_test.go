package watching_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
)

// A stepper stops whoever comes to a point, until the test says who goes on. The
// points are the calls of the store, before and after, the reads of a look, and
// where somebody begins.
type stepper struct {
	mu      sync.Mutex
	on      bool
	waiting []*stop
	// What has happened to what is shared: the states in the store, how often other
	// records were written, how often each was read, and which changes are over.
	stored map[string]string
	counts map[string]int
}

type stop struct {
	label string
	came  string // what had happened by then
	pass  chan struct{}
}

func (s *stepper) stop(label string) {
	s.mu.Lock()
	if !s.on {
		s.mu.Unlock()
		return
	}
	w := &stop{label: label, came: s.shared(), pass: make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	<-w.pass
}

// standing returns who waits, in an order that does not depend on chance but where
// two do the same.
func (s *stepper) standing() []*stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.waiting, func(a, b *stop) int {
		return cmp.Or(strings.Compare(a.label, b.label), strings.Compare(a.came, b.came))
	})
	return slices.Clone(s.waiting)
}

func (s *stepper) pass(w *stop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(o *stop) bool { return o == w })
	close(w.pass)
}

// begin stops everybody from now on; end lets everybody go.
func (s *stepper) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
}

func (s *stepper) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	for _, w := range s.waiting {
		close(w.pass)
	}
	s.waiting = nil
}

// shared is what has happened to what is shared. The stepper is locked.
func (s *stepper) shared() string { return fmt.Sprint(s.stored, s.counts) }

// count notes that a record was read, or written with a value, or a change is over.
func (s *stepper) count(what, key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return
	}
	if s.counts == nil {
		s.stored, s.counts = map[string]string{}, map[string]int{}
	}
	if what == "write" && !strings.HasPrefix(key, "session") && !strings.HasPrefix(key, "stay/") {
		s.stored[key] = value
		return
	}
	s.counts[what+" "+key]++
}

// drawn is a part of a key that differs from run to run.
var drawn = regexp.MustCompile(`[0-9A-Za-z_-]{20,}`)

// named is a key without that.
func named(key string) string { return drawn.ReplaceAllString(key, "*") }

// looks reports whether its caller was called by a look of a Watch.
func looks() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".(*follower).look") {
			return true
		}
		if !more {
			return false
		}
	}
}

// Measure implements stay.Metrics: a look that has just read a state in memory
// stops, before it does anything with it.
func (s *stepper) Measure(_ context.Context, m stay.Measurement) {
	if m.Name == "stay.cache.hits" && looks() {
		s.stop("look " + m.Module)
	}
}

// Observe implements stay.Metrics.
func (*stepper) Observe(string, func() int64) func() { return nil }

// A slowClock stops looks, too: they ask for the time before and after the read of
// a state that is only in memory, which is no hit.
func (s *stepper) slowClock() time.Time {
	if looks() {
		s.stop("time")
	}
	return time.Now()
}

// A stepped store is one whose calls a stepper stops.
type stepped struct {
	store.Store
	s *stepper
}

// Load implements store.Store.
func (st *stepped) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	label := "load"
	for _, r := range reads {
		label += " " + named(r.Key)
	}
	st.s.stop(label)
	defer func() {
		for _, r := range reads {
			st.s.count("read", named(r.Key), "")
		}
	}()
	return st.Store.Load(ctx, reads)
}

// Commit implements store.Store.
func (st *stepped) Commit(ctx context.Context, groups []store.Group) []store.Result {
	label := "commit"
	for _, g := range groups {
		for _, w := range g {
			label += " " + named(w.Key)
		}
	}
	st.s.stop(label)
	res := st.Store.Commit(ctx, groups)
	for i, g := range groups {
		for _, w := range g {
			if res[i].Err == nil {
				st.s.count("write", named(w.Key), fmt.Sprint(w.Op, string(w.Value)))
			}
		}
	}
	st.s.stop(label + " done")
	return res
}

// state is what is shared, and who stands where since when.
func (s *stepper) state(standing []*stop) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.shared()
	for _, w := range standing {
		text += "\n" + w.label + " " + w.came
	}
	return text
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

// steer lets one of those that stand go on, again and again, until all has been
// done and nobody stands any more. Those whose turn it is are chosen by the
// prefix; after its end the first, or by lot. What follows a state of things that
// was met before is known: known reports whether that was so, from what is shared
// and who stands where since when; it adds what else there is to know.
func (s *stepper) steer(done <-chan struct{}, prefix *path, random *rand.Rand, known func(string) bool) (taken *path) {
	again := false
	taken = &path{}
	for range 400 {
		testkit.Sleep(0)
		standing := s.standing()
		if len(standing) == 0 {
			select {
			case <-done:
				return taken
			default:
				testkit.Sleep(time.Millisecond) // somebody tries again
				continue
			}
		}
		i := 0
		switch at := len(taken.chosen); {
		case random != nil:
			i = random.IntN(len(standing))
		case at < len(prefix.chosen):
			i = min(prefix.chosen[at], len(standing)-1)
		default:
			again = again || known(s.state(standing))
		}
		choices := len(standing)
		if again {
			choices = 1
		}
		taken.chosen, taken.of = append(taken.chosen, i), append(taken.of, choices)
		s.pass(standing[i])
	}
	return taken
}
