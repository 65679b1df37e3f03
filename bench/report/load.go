package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Phases of a load.
const (
	warming uint32 = iota
	measuring
	over
)

// A load is a number of connections, each of which asks again as soon as it
// is answered, while the load is not held up.
type load struct {
	phase   atomic.Uint32
	gate    sync.RWMutex // locked while the load is held up
	slowest atomic.Int64 // answer of the warm-up, in nanoseconds
	workers sync.WaitGroup
	mu      sync.Mutex
	sum     tally
}

// A tally is what came of a load. Latencies are those of requests that were
// answered while it was measured; the other numbers are of all requests.
type tally struct {
	latencies    []time.Duration
	acknowledged int64 // increments
	failed       int64
	failure      error // the first one
}

func (t *tally) add(other *tally) {
	t.latencies = append(t.latencies, other.latencies...)
	t.acknowledged += other.acknowledged
	t.failed += other.failed
	if t.failure == nil {
		t.failure = other.failure
	}
}

// maxFailures is when a connection gives up: the server has gone, or refuses.
const maxFailures = 1000

// startLoad makes a server's load, which is held up.
func startLoad(s *server) *load {
	l := &load{}
	l.gate.Lock()
	for i := range s.load.conns {
		next := s.load.pick.from(s.browsers, i, s.load.conns)
		l.workers.Go(func() {
			t := l.work(s.addr, next, s.load.request)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.sum.add(&t)
		})
	}
	return l
}

func (l *load) work(addr string, next func() browser, req request) (t tally) {
	c := conn{addr: addr}
	defer c.close()
	for t.failed < maxFailures {
		l.gate.RLock()
		phase := l.phase.Load() // does not change while the load goes on
		if phase == over {
			l.gate.RUnlock()
			break
		}
		b := next()
		began := time.Now()
		_, err := c.ask(b, req)
		took := time.Since(began)
		l.gate.RUnlock()
		if err != nil {
			t.failed++
			if t.failure == nil {
				t.failure = err
			}
			continue
		}
		t.acknowledged++
		if phase == measuring {
			t.latencies = append(t.latencies, took)
			continue
		}
		for s := l.slowest.Load(); s < int64(took) && !l.slowest.CompareAndSwap(s, int64(took)); {
			s = l.slowest.Load()
		}
	}
	return t
}

// slice lets the load go on for a while, and returns when every connection has
// its last answer.
func (l *load) slice(ctx context.Context, d time.Duration) error {
	l.gate.Unlock()
	defer l.gate.Lock()
	return pause(ctx, d)
}

// end stops a load that is held up.
func (l *load) end() *tally {
	l.phase.Store(over)
	l.gate.Unlock()
	l.workers.Wait()
	return &l.sum
}

// parallel is how many connections are used where nothing is measured.
const parallel = 16

// overBrowsers calls fn for each index below n, on several connections.
func overBrowsers(ctx context.Context, addr string, n int, fn func(c *conn, i int) error) error {
	var next atomic.Int64
	errs := make([]error, min(parallel, n))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			c := conn{addr: addr}
			defer c.close()
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[w] = ctx.Err(); errs[w] == nil {
					errs[w] = fn(&c, i)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// openSessions has n browsers make one increment each and keep the cookies
// that they get.
func openSessions(ctx context.Context, addr string, n int) ([]browser, error) {
	browsers := make([]browser, n)
	err := overBrowsers(ctx, addr, n, func(c *conn, i int) (err error) {
		browsers[i], err = c.first()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %d sessions: %w", n, err)
	}
	return browsers, nil
}

// sum adds up what the server has counted for the browsers.
func sum(ctx context.Context, addr string, browsers []browser) (int64, error) {
	var total atomic.Int64
	err := overBrowsers(ctx, addr, len(browsers), func(c *conn, i int) error {
		n, err := c.ask(browsers[i], read)
		total.Add(n)
		return err
	})
	return total.Load(), err
}
