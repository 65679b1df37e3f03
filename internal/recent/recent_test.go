package recent_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/recent"
)

// until sleeps to the beginning of the next slot. In a bubble that takes no time.
func until() {
	const step = int64(recent.Step)
	time.Sleep(time.Duration(step - time.Now().UnixNano()%step)) //nolint:forbidigo // it takes no time here
}

// What happens is counted in the slot of its time, and shown once the slot is over,
// for ten minutes.
func TestSlotsHoldTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l recent.Log
		until()
		l.Changed(false)
		l.Changed(true)
		began := l.Now()
		time.Sleep(time.Second) //nolint:forbidigo // it takes no time here
		l.Committed(began, false)
		l.Committed(began.Add(-time.Second), true)
		l.Loaded(began, true)
		l.Failed(recent.Failure{Code: "busy"})
		last := func() recent.Slot {
			all := l.Last(time.Now())
			return all[len(all)-1]
		}
		if got := last(); got.Changes != 0 {
			t.Errorf("a slot that is not over is shown: %+v", got)
		}
		until()
		s := last()
		if s.Changes != 2 || s.Refused != 1 || s.Errors != 1 {
			t.Errorf("%+v", s)
		}
		if want := (recent.Calls{Number: 2, Failed: 1, Took: 3 * time.Second, Longest: 2 * time.Second}); s.Commits != want || s.Commits.Mean() != 1500*time.Millisecond {
			t.Errorf("commits %+v", s.Commits)
		}
		if want := (recent.Calls{Number: 1, Failed: 1, Took: time.Second, Longest: time.Second}); s.Loads != want {
			t.Errorf("loads %+v", s.Loads)
		}
		for range recent.Slots - 1 {
			until()
		}
		all := l.Last(time.Now())
		if all[0].Changes != 2 {
			t.Errorf("the oldest slot is %+v", all[0])
		}
		l.Changed(false) // in the slot that is the next to be reused
		until()
		for i, s := range l.Last(time.Now()) {
			if want := i / (recent.Slots - 1); s.Changes != want {
				t.Errorf("slot %d has %d changes", i, s.Changes)
			}
		}
	})
}

// The latest failures stay, the latest first.
func TestTheLatestFailuresStay(t *testing.T) {
	var l recent.Log
	if latest, all := l.Failures(); len(latest) != 0 || all != 0 {
		t.Errorf("%d of %d", len(latest), all)
	}
	const n = recent.MaxFailures + 7
	for i := range n {
		l.Failed(recent.Failure{KeyHash: fmt.Sprint(i)})
	}
	latest, all := l.Failures()
	if len(latest) != recent.MaxFailures || all != n {
		t.Fatalf("%d of %d", len(latest), all)
	}
	for i, f := range latest {
		if f.KeyHash != fmt.Sprint(n-1-i) || f.When.IsZero() {
			t.Errorf("failure %d is %+v", i, f)
		}
	}
}

// Without a Log nothing is noted, no clock is read and nothing is allocated. A call
// that began without one is left out.
func TestWithoutALogNothingHappens(t *testing.T) {
	var none *recent.Log
	if n := testing.AllocsPerRun(100, func() {
		none.Changed(true)
		none.Committed(none.Now(), true)
		none.Loaded(none.Now(), true)
		none.Failed(recent.Failure{})
	}); n != 0 || !none.Now().IsZero() {
		t.Errorf("%v allocations, now is %v", n, none.Now())
	}
	synctest.Test(t, func(t *testing.T) {
		var l recent.Log
		l.Committed(none.Now(), true)
		until()
		if all := l.Last(time.Now()); all[len(all)-1].Commits.Number != 0 {
			t.Errorf("%+v", all[len(all)-1])
		}
	})
}

// Many note at once, while others look.
func TestManyNoteAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l recent.Log
		until()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					l.Changed(false)
					l.Committed(l.Now(), false)
					l.Failed(recent.Failure{})
					l.Last(time.Now())
					l.Failures()
				}
			})
		}
		wg.Wait()
		until()
		all := l.Last(time.Now())
		if s := all[len(all)-1]; s.Changes != 800 || s.Commits.Number != 800 || s.Errors != 800 {
			t.Errorf("%+v", s)
		}
	})
}

// BenchmarkCommitted is what a commit costs more in an App that is inspected.
func BenchmarkCommitted(b *testing.B) {
	var l recent.Log
	for b.Loop() {
		l.Committed(l.Now(), false)
	}
}
