package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
)

// failover is the fault that the primary goes for good and its standby takes
// over, a moment later.
var failover = fault{"the standby takes over", func(r *run, _ *node, random *rand.Rand) {
	first, second := r.c.postgres(0), r.c.postgres(1)
	if random.IntN(2) == 0 {
		check(r.c.t, first.Pause()) // some connections hang before they end
		pause(between(random, 0, 500))
	}
	first.Kill()
	pause(between(random, 0, 500))
	check(r.c.t, second.Promote(r.c.t.Context()))
}}

// A standby that has everything that was acknowledged takes over, and nodes that
// have both addresses go on with it: nothing is lost, doubled or old.
//
// Proves A5, C1, C3, C6, E5, N1.
func TestSoakFailover(t *testing.T) {
	t.Parallel()
	rounds := 1
	if soak() {
		rounds = 20
	}
	seed := testseed.New(t)
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			s := brisk
			s.standby = true
			c := newCluster(t, s)
			defer c.end()
			r := newRun(c, newHistory("TestSoakFailover", seed+uint64(round)))
			r.use(func(random *rand.Rand) {
				pause(time.Second)
				r.strike(failover, nil, random)
				pause(2 * time.Second)
			})
			r.judge()
		})
	}
}
