package main

import "math/rand/v2"

// pick says whose turn it is when a connection asks.
type pick int

const (
	// inTurn gives each connection browsers of its own, one after the other. If there
	// are fewer browsers than connections, all have all.
	inTurn pick = iota
	// uniformly takes any browser.
	uniformly
	// skewed takes some browsers far more often than others. Of 100,000, the busiest
	// makes 1.7 % of the requests, the first 350 make half of them, and 24,000 make
	// nine tenths.
	skewed
)

const (
	// The n-th browser makes a share of the requests that falls with (zipfV+n)^zipfS.
	zipfS = 1.1
	zipfV = 10
	// scatter is a prime number. It takes the busy browsers from everywhere: what was
	// stored one after the other may lie side by side.
	scatter = 1<<31 - 1
)

// from returns a function that picks the browsers for one of so many connections.
func (p pick) from(browsers []browser, conn, conns int) func() browser {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	switch p {
	case uniformly:
		return func() browser { return browsers[random.IntN(len(browsers))] }
	case skewed:
		n := uint64(len(browsers))
		zipf := rand.NewZipf(random, zipfS, zipfV, n-1)
		return func() browser { return browsers[zipf.Uint64()*scatter%n] }
	}
	at, step := conn, conns
	if len(browsers) < conns {
		at, step = 0, 1
	}
	first := at
	return func() browser {
		b := browsers[at]
		if at += step; at >= len(browsers) {
			at = first
		}
		return b
	}
}
