package faults_test

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A weather is a kind of trouble with the store.
type weather struct {
	name string
	may  []stay.Code // what callers may be told because of it
	// hangs: calls wait until their context ends. A store that declares
	// Features.Immediate never does, and is not asked under a deadline.
	hangs bool
	// endless: for some writes nobody ever learns what became of them.
	endless bool
	jumps   bool // the clock is set back and forth
	// outages: the store answers nobody for longer than anybody waits. Then it
	// takes a moment until somebody notices that it is back.
	outages bool
	// damages: reads bring something else than what is stored.
	damages bool
	// begin adds the rules of one storm; nil if the store is not in trouble.
	// What it returns lets go of what waits.
	begin func(s *storm) (end func())
}

// A storm is one time of trouble on one store, drawn from a seed.
type storm struct {
	store  *storefault.Store
	seed   uint64
	mu     sync.Mutex
	random *rand.Rand
	rules  []*storefault.Added
}

func newStorm(s *storefault.Store, seed uint64) *storm {
	return &storm{store: s, seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
}

// often applies a fault to this share of the calls.
func (s *storm) often(op storefault.Op, share float64, f storefault.Fault) {
	s.add(op, f, func(storefault.Call) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.random.Float64() < share
	})
}

// stuck applies a fault to all calls that concern this share of the keys.
func (s *storm) stuck(op storefault.Op, share float64, f storefault.Fault) {
	s.add(op, f, func(c storefault.Call) bool {
		for _, key := range c.Keys {
			h := fnv.New64a()
			_, _ = h.Write([]byte(key))
			if float64((h.Sum64()^s.seed)*0x9e3779b97f4a7c15>>11)/(1<<53) < share {
				return true
			}
		}
		return false
	})
}

func (s *storm) add(op storefault.Op, f storefault.Fault, match func(storefault.Call) bool) {
	s.rules = append(s.rules, s.store.Add(storefault.Rule{Op: op, Match: match, Fault: f}))
}

// end takes the rules away and returns how often they struck.
func (s *storm) end() (hits int) {
	for _, r := range s.rules {
		r.Remove()
		hits += r.Hits()
	}
	return hits
}

var (
	fails = []stay.Code{stay.ErrUnavailable, stay.ErrBusy, stay.ErrConflict}
	lost  = append([]stay.Code{stay.ErrUnknown}, fails...)
)

// damage makes a record one that cannot be decoded, in one of several ways.
func (s *storm) damage(rec *store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.random.IntN(4) {
	case 0:
		rec.Value = rec.Value[:len(rec.Value)/2]
	case 1:
		rec.Value = []byte("\x00\xff{")
	case 2:
		rec.Version = 99
	default:
		rec.Value = []byte(`{"items":7,"keys":7,"gen":"x","epoch":"x"}`)
	}
}

func slow(s *storm) func() {
	for _, d := range []time.Duration{time.Millisecond, 3 * time.Millisecond, 9 * time.Millisecond} {
		s.often(storefault.Any, 0.3, storefault.Delay(d, d/2))
	}
	return nil
}

func failBefore(s *storm) func() {
	s.often(storefault.Commit, 0.3, storefault.Fail(nil))
	s.often(storefault.Load, 0.15, storefault.Fail(nil))
	s.stuck(storefault.Commit, 0.2, storefault.Fail(nil))
	return nil
}

func failAfter(s *storm) func() {
	s.often(storefault.Commit, 0.4, storefault.LoseAck(nil))
	s.often(storefault.Load, 0.1, storefault.LoseAck(nil))
	return nil
}

func neverAnswer(s *storm) func() {
	s.stuck(storefault.Commit, 0.25, storefault.LoseAck(nil))
	s.stuck(storefault.Commit, 0.25, storefault.Drop(nil))
	return nil
}

func loseRequests(s *storm) func() {
	s.often(storefault.Commit, 0.4, storefault.Drop(nil))
	s.often(storefault.Load, 0.1, storefault.Drop(nil))
	return nil
}

func hang(s *storm) func() {
	s.often(storefault.Commit, 0.05, storefault.Hang())
	s.often(storefault.Commit, 0.05, storefault.HangAfter())
	s.often(storefault.Load, 0.03, storefault.Hang())
	return nil
}

// silence has the store answer nobody, again and again, for longer than anybody
// waits.
func silence(s *storm) func() {
	var mu sync.Mutex
	silent := true
	for op, f := range map[storefault.Op]storefault.Fault{storefault.Load: storefault.Hang(), storefault.Commit: storefault.HangAfter()} {
		s.add(op, f, func(storefault.Call) bool {
			mu.Lock()
			defer mu.Unlock()
			return silent
		})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			t := time.NewTimer(9 * time.Second)
			select {
			case <-t.C:
				mu.Lock()
				silent = !silent
				mu.Unlock()
			case <-stop:
				t.Stop()
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// late holds writes back that their callers have given up already, and lets
// them go one by one.
func late(s *storm) func() {
	gate := storefault.NewGate()
	s.often(storefault.Commit, 0.2, storefault.Late(gate, nil))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			t := time.NewTimer(3 * time.Millisecond)
			select {
			case <-t.C:
				gate.Pass()
			case <-stop:
				t.Stop()
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		for gate.Pass() { // nobody comes any more
		}
	}
}

func corrupt(s *storm) func() {
	s.often(storefault.Load, 0.3, storefault.Corrupt(s.damage))
	return nil
}

func everything(s *storm) func() {
	for _, f := range []storefault.Fault{storefault.LoseAck(nil), storefault.Drop(nil), storefault.Fail(nil), storefault.Hang(), storefault.HangAfter()} {
		s.often(storefault.Commit, 0.03, f)
	}
	s.often(storefault.Any, 0.3, storefault.Delay(time.Millisecond, time.Millisecond))
	s.often(storefault.Load, 0.05, storefault.Fail(nil))
	s.often(storefault.Load, 0.05, storefault.Corrupt(s.damage))
	return late(s)
}

var weathers = []weather{
	{name: "slow", begin: slow},
	{name: "fails before the commit", may: fails, begin: failBefore},
	{name: "fails after the commit", may: lost, begin: failAfter},
	{name: "never answers for some keys", may: lost, endless: true, begin: neverAnswer},
	{name: "loses requests", may: lost, begin: loseRequests},
	{name: "hangs", may: lost, hangs: true, endless: true, begin: hang},
	{name: "answers nobody for a while", may: lost, hangs: true, endless: true, outages: true, begin: silence},
	{name: "writes arrive late", may: lost, begin: late},
	{name: "reads come back damaged", may: append([]stay.Code{stay.ErrCorrupt}, fails...), damages: true, begin: corrupt},
	{name: "everything at once", may: append([]stay.Code{stay.ErrCorrupt}, lost...), hangs: true, endless: true, damages: true, begin: everything},
	{name: "the clock goes back", jumps: true},
	{name: "the clock goes back and writes are lost", jumps: true, may: lost, begin: loseRequests},
}
