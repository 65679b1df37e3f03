package testkit

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/store/storefault"
)

// StopAt has the next call of an operation that names a key with the prefix
// wait, before or after the work, until the gate is opened.
func StopAt(st *storefault.Store, op storefault.Op, prefix string, after bool) *storefault.Gate {
	gate := storefault.NewGate()
	fault := storefault.Stop(gate)
	if after {
		fault = storefault.StopAfter(gate)
	}
	st.Add(storefault.Rule{Op: op, Times: 1, Fault: fault, Match: func(c storefault.Call) bool {
		for _, key := range c.Keys {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}})
	return gate
}

// Start runs fn while the gate is closed, and returns when it stands there;
// wait opens the gate and returns what fn did.
func Start(t *testing.T, gate *storefault.Gate, fn func() error) (wait func() error) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- fn() }()
	if _, err := gate.Arrived(Soon(t)); err != nil {
		t.Fatal(err)
	}
	return func() error {
		gate.Open()
		return <-result
	}
}

// Every matches each nth call.
func Every(n uint64) func(storefault.Call) bool {
	var calls atomic.Uint64
	return func(storefault.Call) bool { return calls.Add(1)%n == 0 }
}
