package storefault_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// announced makes a call of Watch, and returns what it has announced since the last
// call of the result: "lost" or keys, in order.
func announced(t *testing.T, s *storefault.Store) func() []string {
	t.Helper()
	var mu sync.Mutex
	var got []string
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, func(changes []store.Change, lost bool) {
			mu.Lock()
			defer mu.Unlock()
			if lost {
				got = append(got, "lost")
			}
			for _, c := range changes {
				got = append(got, c.Key)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	})
	synctest.Wait()
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		some := got
		got = nil
		return some
	}
}

// TestAnnouncements proves that announcements are lost, doubled and held up as the
// rules say, each by itself, and that a failed call announces nothing.
func TestAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storefault.Wrap(memstore.New(), nil)
		t.Cleanup(func() { s.Close() })
		gate := storefault.NewGate()
		s.Add(storefault.Rule{Op: storefault.Watch, Times: 1, Fault: storefault.Fail(nil)})
		for key, fault := range map[string]storefault.Fault{
			"lost": storefault.Drop(nil), "twice": storefault.Twice(), "slow": storefault.Delay(time.Second, 0),
			"stopped": storefault.Stop(gate), "late": storefault.Late(gate, nil),
		} {
			s.Add(storefault.Rule{Op: storefault.Announce, Key: key, Fault: fault})
		}
		if err := s.Watch(t.Context(), nil); !errors.Is(err, storefault.ErrInjected) {
			t.Fatalf("Watch: %v", err)
		}
		got := announced(t, s)
		want := func(want ...string) {
			t.Helper()
			if got := got(); !slices.Equal(got, want) {
				t.Errorf("announced %q, want %q", got, want)
			}
		}
		want("lost")
		var all []store.Group
		for _, key := range []string{"slow", "plain", "lost", "stopped", "twice", "late"} {
			all = append(all, store.Group{{Key: key}})
		}
		s.Commit(t.Context(), all)
		want("twice", "twice", "plain")
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		want("slow")
		gate.Open()
		if got := got(); len(got) != 2 || !slices.Contains(got, "late") || !slices.Contains(got, "stopped") {
			t.Errorf("announced %q after the gate has opened", got)
		}
		if n := s.Count(storefault.Announce); n != 7 {
			t.Errorf("%d announcements counted, want 7", n)
		}
		rule := s.Add(storefault.Rule{Op: storefault.Announce, Fault: storefault.Delay(time.Hour, 0)})
		s.Commit(t.Context(), []store.Group{{{Key: "after the end"}}})
		synctest.Wait()
		if rule.Hits() != 1 {
			t.Errorf("%d hits", rule.Hits())
		}
	})
}
