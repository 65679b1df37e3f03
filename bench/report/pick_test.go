package main

import (
	"strconv"
	"testing"
)

func numbered(n int) []browser {
	browsers := make([]browser, n)
	for i := range browsers {
		browsers[i] = browser(strconv.Itoa(i))
	}
	return browsers
}

// In turn, each browser belongs to one connection, and all have all if there are fewer
// browsers than connections.
func TestBrowsersInTurn(t *testing.T) {
	of := map[browser]int{}
	browsers := numbered(7)
	for conn := range 3 {
		next := inTurn.from(browsers, conn, 3)
		for range 6 {
			b := next()
			if other, taken := of[b]; taken && other != conn {
				t.Errorf("browser %s belongs to connections %d and %d", b, other, conn)
			}
			of[b] = conn
		}
	}
	if len(of) != len(browsers) {
		t.Errorf("%d browsers have had a turn, want all %d", len(of), len(browsers))
	}
	next := inTurn.from(browsers, 8, 9)
	for _, want := range append(browsers, browsers[0]) {
		if got := next(); got != want {
			t.Errorf("the turn is at %s, want %s", got, want)
		}
	}
}

// At random, all browsers are about as busy, or some far busier than others, and in two
// measurements it is not the same ones one after the other.
func TestBrowsersAtRandom(t *testing.T) {
	const n, asks = 100_000, 200_000
	for _, at := range []struct {
		pick       pick
		top        int // this many of the busiest
		from, upTo float64
	}{
		{uniformly, 350, 0, 0.05},
		{skewed, 1, 0.013, 0.021},
		{skewed, 350, 0.47, 0.53},
	} {
		browsers := numbered(n)
		counts := make([]int, n)
		next, again := at.pick.from(browsers, 0, 64), at.pick.from(browsers, 0, 64)
		same := 0
		for range asks {
			b := next()
			if b == again() {
				same++
			}
			i, err := strconv.Atoi(string(b))
			if err != nil {
				t.Fatal(err)
			}
			counts[i]++
		}
		busiest := 0
		for rank := range at.top {
			if at.pick == skewed {
				busiest += counts[uint64(rank)*scatter%n]
			} else {
				busiest += counts[rank]
			}
		}
		if part := float64(busiest) / asks; part < at.from || part > at.upTo {
			t.Errorf("pick %d: %d browsers make %.3f of the requests, want %g to %g", at.pick, at.top, part, at.from, at.upTo)
		}
		if same > asks/10 {
			t.Errorf("pick %d: %d of %d times the same browser in the next measurement", at.pick, same, asks)
		}
	}
}
