package storefault

import (
	"context"
	"slices"
	"sync"
)

// A Gate is a place where calls stop until a test lets them go on. It holds
// only the calls that wait at it. All methods may be called concurrently.
type Gate struct {
	mu      sync.Mutex
	open    bool
	waiters []*waiter     // in the order of their arrival
	arrived chan struct{} // closed and replaced when one arrives
}

type waiter struct {
	call Call
	seen bool
	pass chan struct{}
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{arrived: make(chan struct{})}
}

// Arrived waits until a call stands at the gate that it has not returned
// before, and returns it; if there are several, it returns the one that came
// first. It fails when ctx ends.
func (g *Gate) Arrived(ctx context.Context) (Call, error) {
	for {
		g.mu.Lock()
		for _, v := range g.waiters {
			if !v.seen {
				v.seen = true
				g.mu.Unlock()
				return v.call, nil
			}
		}
		next := g.arrived
		g.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			return Call{}, ctx.Err()
		}
	}
}

// Pass lets the call that has waited longest go on, and reports whether there
// was one.
func (g *Gate) Pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiters) == 0 {
		return false
	}
	close(g.waiters[0].pass)
	g.waiters = slices.Delete(g.waiters, 0, 1)
	return true
}

// Open lets all calls go on, those that wait and those that come later. Opening
// an open gate does nothing.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, v := range g.waiters {
		close(v.pass)
	}
	g.waiters = nil
}

// arrive puts a call at the gate; nil means that the gate is open.
func (g *Gate) arrive(call Call) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return nil
	}
	v := &waiter{call: call, pass: make(chan struct{})}
	g.waiters = append(g.waiters, v)
	close(g.arrived)
	g.arrived = make(chan struct{})
	return v
}

// leave removes a call that gave up waiting.
func (g *Gate) leave(v *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiters = slices.DeleteFunc(g.waiters, func(other *waiter) bool { return other == v })
}
