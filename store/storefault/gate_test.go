package storefault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// commit makes a call in a separate goroutine.
func commit(ctx context.Context, s store.Store, key string) <-chan store.Result {
	done := make(chan store.Result, 1)
	go func() { done <- s.Commit(ctx, []store.Group{put(key)})[0] }()
	return done
}

// Calls stop at a gate before or after the work and go on one by one or all
// together.
func TestGate(t *testing.T) {
	for name, c := range map[string]struct {
		stop  func(*storefault.Gate) storefault.Fault
		there bool
	}{"before": {storefault.Stop, false}, "after": {storefault.StopAfter, true}} {
		t.Run(name, func(t *testing.T) {
			s, inner := wrapped(t)
			g := storefault.NewGate()
			s.Add(storefault.Rule{Op: storefault.Commit, Fault: c.stop(g)})
			var dones []<-chan store.Result
			for i := range 3 {
				key := fmt.Sprint("key", i)
				dones = append(dones, commit(t.Context(), s, key))
				call, err := g.Arrived(t.Context())
				if err != nil || call.N != i+1 || call.Keys[0] != key {
					t.Fatalf("Arrived = %+v, %v", call, err)
				}
				if there := revision(t, inner, key) != 0; there != c.there {
					t.Errorf("record is there: %v, want %v", there, c.there)
				}
			}
			if !g.Pass() {
				t.Error("Pass found no call")
			}
			if res := <-dones[0]; res.Outcome != store.Applied {
				t.Errorf("first call: %v", res.Outcome)
			}
			select {
			case <-dones[1]:
				t.Error("Pass let two calls go on")
			default:
			}
			g.Open()
			for _, done := range dones[1:] {
				if res := <-done; res.Outcome != store.Applied {
					t.Errorf("call after Open: %v", res.Outcome)
				}
			}
			if res := <-commit(t.Context(), s, "later"); res.Outcome != store.Applied {
				t.Errorf("call at an open gate: %v", res.Outcome)
			}
			if g.Pass() {
				t.Error("Pass found a call at an open gate")
			}
		})
	}
}

// A call whose context ends leaves the gate, which then holds no call.
func TestGateLeft(t *testing.T) {
	s, inner := wrapped(t)
	g := storefault.NewGate()
	s.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(g)})
	ctx, cancel := context.WithCancel(t.Context())
	done := commit(ctx, s, "a")
	if _, err := g.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if res := <-done; res.Outcome != store.Rejected || !errors.Is(res.Err, context.Canceled) {
		t.Errorf("%v (%v), want rejected", res.Outcome, res.Err)
	}
	if g.Pass() {
		t.Error("the call that left still stands at the gate")
	}
	if _, err := g.Arrived(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Arrived with a cancelled context: %v", err)
	}
	if revision(t, inner, "a") != 0 {
		t.Error("a rejected write is there")
	}
}

// A late write is unknown at once and there when the gate lets it through,
// though its caller has gone; one that the record has overtaken conflicts.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner := wrapped(t)
		g := storefault.NewGate()
		s.Add(storefault.Rule{Op: storefault.Commit, Times: 2, Fault: storefault.Late(g, errTest)})
		ctx, cancel := context.WithCancel(t.Context())
		for i, res := range s.Commit(ctx, []store.Group{put("a"), put("b"), put("c")}) {
			want := store.Unknown
			if i == 2 {
				want = store.Applied
			}
			if res.Outcome != want {
				t.Errorf("group %d: %v, want %v", i, res.Outcome, want)
			}
		}
		cancel()
		b := s.Commit(t.Context(), []store.Group{put("b")})[0]
		if b.Outcome != store.Applied {
			t.Fatalf("the second try: %v", b.Outcome)
		}
		if revision(t, inner, "a") != 0 {
			t.Error("a late write is there early")
		}
		g.Open()
		synctest.Wait()
		if revision(t, inner, "a") == 0 {
			t.Error("a late write did not arrive")
		}
		if revision(t, inner, "b") != b.Revisions[0] {
			t.Error("a late write replaced a newer one")
		}
	})
}

// A late write never arrives after a later one of its key, which may be the
// same once more and then a deletion; others wait on.
//
// Proves C6.
func TestLateIsSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner := wrapped(t)
		g := storefault.NewGate()
		s.Add(storefault.Rule{Op: storefault.Commit, Times: 2, Fault: storefault.Late(g, errTest)})
		s.Commit(t.Context(), []store.Group{put("a"), put("b")})
		again := s.Commit(t.Context(), []store.Group{put("a"), {{Op: store.Check, Key: "b"}}})
		if again[0].Outcome != store.Applied || again[1].Outcome != store.Applied {
			t.Fatalf("once more, and a check: %v", again)
		}
		gone := s.Commit(t.Context(), []store.Group{{{Op: store.Delete, Key: "a", Base: again[0].Revisions[0]}}})
		if gone[0].Outcome != store.Applied {
			t.Fatalf("the deletion: %v", gone)
		}
		g.Open()
		synctest.Wait()
		if revision(t, inner, "a") != 0 {
			t.Error("a late write brought back what was deleted")
		}
		if revision(t, inner, "b") == 0 {
			t.Error("a late write whose key nobody has written since did not arrive")
		}
	})
}

// Close ends every wait: calls fail with ErrClosed, late writes are dropped.
//
// Proves C7.
func TestCloseEndsWaits(t *testing.T) {
	handles := memstore.Shared(2)
	s, other := storefault.Wrap(handles[0], nil), handles[1]
	stop, late := storefault.NewGate(), storefault.NewGate()
	s.Add(storefault.Rule{Op: storefault.Commit, Key: "late", Fault: storefault.Late(late, nil)})
	s.Add(storefault.Rule{Op: storefault.Commit, Key: "before", Fault: storefault.Stop(stop)})
	s.Add(storefault.Rule{Op: storefault.Commit, Key: "after", Fault: storefault.StopAfter(stop)})
	s.Add(storefault.Rule{Op: storefault.Commit, Key: "hang", Fault: storefault.Hang()})
	want := map[string]store.Outcome{"before": store.Rejected, "after": store.Unknown, "hang": store.Unknown}
	dones := map[string]<-chan store.Result{}
	s.Commit(t.Context(), []store.Group{put("late")})
	if _, err := late.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key := range want {
		dones[key] = commit(t.Context(), s, key)
	}
	for range 2 {
		if _, err := stop.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for s.Count(storefault.Commit) < 4 { // the one that hangs may not have begun
		if _, err := s.Load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for key, outcome := range want {
		if res := <-dones[key]; res.Outcome != outcome || !errors.Is(res.Err, store.ErrClosed) {
			t.Errorf("%s: %v (%v), want %v", key, res.Outcome, res.Err, outcome)
		}
	}
	late.Open()
	for key, there := range map[string]bool{"late": false, "before": false, "after": true, "hang": false} {
		if (revision(t, other, key) != 0) != there {
			t.Errorf("%s is there: %v, want %v", key, !there, there)
		}
	}
}

// A stubborn store finishes its commits even after Close.
type stubborn struct {
	store.Store
	release chan struct{}
}

func (s stubborn) Commit(context.Context, []store.Group) []store.Result {
	<-s.release
	return []store.Result{{Outcome: store.Applied, Revisions: []store.Revision{1}}}
}

// Close returns when no call is under way any more.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := stubborn{memstore.New(), make(chan struct{})}
		s := storefault.Wrap(inner, nil)
		done := commit(t.Context(), s, "a")
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close did not wait for the commit")
		}
		close(inner.release)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if res := <-done; res.Outcome != store.Applied {
			t.Errorf("commit: %v", res.Outcome)
		}
	})
}

// Faults on Close: it stops at a gate, and its answer can be replaced, but
// the wrapped store is closed.
func TestCloseFaults(t *testing.T) {
	inner := memstore.New()
	s := storefault.Wrap(inner, nil)
	g := storefault.NewGate()
	s.Add(storefault.Rule{Op: storefault.Close, Fault: storefault.Stop(g)})
	s.Add(storefault.Rule{Op: storefault.Close, Fault: storefault.Hang()})
	s.Add(storefault.Rule{Op: storefault.Close, Fault: storefault.Fail(errTest)})
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	if _, err := g.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := s.Commit(t.Context(), []store.Group{put("a")})[0]; res.Outcome != store.Applied {
		t.Errorf("a call before Close has passed the gate: %v", res.Outcome)
	}
	g.Open()
	if err := <-done; !errors.Is(err, errTest) {
		t.Errorf("Close: %v, want the injected error", err)
	}
	if err := s.Close(); !errors.Is(err, errTest) {
		t.Errorf("Close again: %v, want the same error", err)
	}
	if _, err := inner.Load(t.Context(), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("the wrapped store: %v, want it closed", err)
	}
}
