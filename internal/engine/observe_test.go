package engine

import "testing"

// Without an observer the engine's hooks do nothing and allocate nothing.
func TestUnobservedHooksCostNothing(t *testing.T) {
	e, k := &Engine{}, &Kind{Backend: &Backend{}}
	v := &Version{}
	in := &Instance{kind: k, active: &active{m: machine{committed: v, working: &Version{}}}}
	in.m.batch.push(&member{})
	n := testing.AllocsPerRun(100, func() {
		e.observeHit(k)
		e.observeMiss(k)
		e.observeStored(k, 1)
		if e.observeBatch(in, applied) != 0 {
			t.Error("a batch was looked at for nobody")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
