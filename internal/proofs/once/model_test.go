package once_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A logbook is a state that says who has changed it, and how often, so that what
// is made twice shows.
type logbook struct {
	By map[string]int `json:"by"` // the last action of each sender that has taken effect
	N  int            `json:"n"`  // how many have
	// Wrong is how many of them were not the next of their sender.
	Wrong int `json:"wrong"`
}

// A sender sends its actions one after the other, each until it is answered and
// some of them again, whatever the errors; now and then several times at once.
type sender struct {
	name   string
	random *rand.Rand
	sent   int
}

// send makes the next action.
func (s *sender) send(r *rounds) {
	s.sent++
	id := fmt.Sprint(s.name, " ", s.sent)
	var both sync.WaitGroup
	for range 1 + s.random.IntN(3)/2 { // one, or two at once
		random := rand.New(rand.NewPCG(s.random.Uint64(), 1)) //nolint:gosec // it has a seed
		both.Go(func() {
			for again := random.IntN(2); again >= 0; {
				r.sendings.Add(1)
				ctx, cancel := context.WithCancel(context.Background())
				if random.IntN(8) == 0 {
					time.AfterFunc(time.Duration(random.IntN(300))*time.Microsecond, cancel)
				}
				_, err := r.state(random).Update(stay.Once(ctx, id), func(l *logbook) error {
					if l.By[s.name] != s.sent-1 { // a run on an old state is dropped
						l.Wrong++
					}
					if l.By == nil {
						l.By = map[string]int{}
					}
					l.By[s.name] = s.sent
					l.N++
					return nil
				})
				cancel()
				if err == nil {
					again--
				}
			}
		})
	}
	both.Wait()
}

// rounds are those of a test, between which its nodes are started again.
type rounds struct {
	t        *testing.T
	sendings atomic.Int64
	apps     []*stay.App
	states   []*stay.State[logbook]
}

func (r *rounds) state(random *rand.Rand) *stay.State[logbook] {
	return r.states[random.IntN(len(r.states))]
}

// start opens the nodes, with stores that lose answers.
func (r *rounds) start(stores []store.Store, seed uint64) {
	r.apps, r.states = nil, nil
	for i, s := range stores {
		random := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // it has a seed
		var mu sync.Mutex
		st := testkit.BehindCommitter(s)
		chance := func(n int) func(storefault.Call) bool {
			return func(c storefault.Call) bool {
				mu.Lock()
				defer mu.Unlock()
				return testkit.StoresNoList(c) && random.IntN(n) == 0
			}
		}
		st.Add(storefault.Rule{Op: storefault.Commit, Match: chance(12), Fault: storefault.LoseAck(nil)})
		st.Add(storefault.Rule{Op: storefault.Commit, Match: chance(20), Fault: storefault.Drop(nil)})
		st.Add(storefault.Rule{Op: storefault.Commit, Match: chance(30), Fault: storefault.Fail(store.ErrUnavailable)})
		app := stay.New(st, &stay.Options{OnError: testkit.Quiet})
		r.apps = append(r.apps, app)
		r.states = append(r.states, stay.Register(app, stay.Module[logbook]{Name: "log", Persist: stay.Global}))
	}
}

func (r *rounds) close() {
	for _, app := range r.apps {
		testkit.NoError(r.t, app.Close(context.Background()))
	}
}

// run has all senders send for some rounds, and looks after each of them.
func (r *rounds) run(seed uint64, n, each int, open func() []store.Store) {
	t := r.t
	senders := make([]*sender, 6)
	for i := range senders {
		senders[i] = &sender{name: fmt.Sprint("s", i), random: rand.New(rand.NewPCG(seed, uint64(i)))} //nolint:gosec // it has a seed
	}
	for round := range n {
		r.start(open(), seed+uint64(round))
		var all sync.WaitGroup
		for _, s := range senders {
			all.Go(func() {
				for range each {
					s.send(r)
					if s.random.IntN(20) == 0 {
						access.AppOf(r.apps[s.random.IntN(len(r.apps))]).Evict(false)
					}
				}
			})
		}
		all.Wait()
		l, err := r.states[0].Get(context.Background())
		testkit.NoError(t, err)
		want := 0
		for _, s := range senders {
			want += s.sent
			if l.By[s.name] != s.sent {
				t.Errorf("%s: the last is %d, want %d", s.name, l.By[s.name], s.sent)
			}
		}
		testkit.WantEqual(t, "actions", l.N, want)
		testkit.WantEqual(t, "actions out of order", l.Wrong, 0)
		r.close()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d sendings of %d actions", r.sendings.Load(), len(senders)*n*each)
}

// Whatever answers are lost, whoever leaves, and whenever the nodes are started
// again, each action takes effect once, in the order in which its sender has sent
// it. The long test sends more than a million times again. Tests of crashes and of
// nodes do the same on disks.
//
// Proves L28, L30.
func TestSoakActionsThatAreSentUntilTheyAreAnswered(t *testing.T) {
	seed := testseed.New(t)
	n, each := 4, 40
	if os.Getenv("STAY_SOAK") != "" {
		n, each = 40, 3600
	}
	shared := memstore.Shared(2)
	(&rounds{t: t}).run(seed, n, each, func() []store.Store {
		return []store.Store{testkit.Unclosed{Store: shared[0]}, testkit.Unclosed{Store: shared[1]}}
	})
}
