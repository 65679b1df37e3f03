// Package testseed gives seeds to tests that draw at random.
package testseed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// New returns the seed of a random test, which it prints. With STAY_SEED it is
// that one, so that the test draws the same again; what several goroutines or
// processes do in between stays the scheduler's. A STAY_SEED that is no number
// ends the test.
func New(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if env := os.Getenv("STAY_SEED"); env != "" {
		var err error
		if seed, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay with STAY_SEED=%d", seed)
	return seed
}
