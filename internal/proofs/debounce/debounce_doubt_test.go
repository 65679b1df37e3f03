package debounce_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// inDoubt runs the test in bubbles with a state of so many changes, which has
// not been stored yet or has been stored once. The outcome of the save of the
// last change is unknown: it was given up, and has not begun again.
func inDoubt(t *testing.T, test func(t *testing.T, s *stay.State[testkit.Counter], changes int, st *storefault.Store, mem store.Store, rule *storefault.Added)) {
	for name, before := range map[string]int{"never stored": 0, "stored": 1} {
		t.Run(name, func(t *testing.T) {
			var log faultLog
			testkit.InBubbles(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
				log.take()
				s := testkit.Debounced(app)
				for range before {
					testkit.MustUpdate(t, t.Context(), s)
					testkit.Sleep(testkit.Debounce)
				}
				rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.LoseAck(nil)})
				testkit.MustUpdate(t, t.Context(), s)
				for len(log.take()) == 0 {
					testkit.Sleep(5 * time.Millisecond)
				}
				test(t, s, before+1, st, mem, rule)
			})
		})
	}
}

// A delete after a save with an unknown outcome asks the store for the outcome:
// the deleted state does not come back, and nothing has to be loaded for it.
//
// Proves A14, E5.
func TestDeleteAfterASaveInDoubtAsksTheStore(t *testing.T) {
	inDoubt(t, func(t *testing.T, s *stay.State[testkit.Counter], _ int, st *storefault.Store, mem store.Store, rule *storefault.Added) {
		rule.Remove()
		unread := st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		unread.Remove()
		testkit.WantCount(t, t.Context(), s, 0)
		testkit.Sleep(time.Minute)
		if n, found := testkit.StoredCounter(t, mem, "s"); found {
			t.Errorf("%d is stored", n.Count)
		}
	})
}

// While the outcome of a save is unknown, a delete fails and drops nothing,
// whether it comes between two attempts or waits for one.
//
// Proves A14, E5.
func TestDeleteFailsWhileASaveIsInDoubt(t *testing.T) {
	inDoubt(t, func(t *testing.T, s *stay.State[testkit.Counter], changes int, _ *storefault.Store, mem store.Store, rule *storefault.Added) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		testkit.WantCode(t, s.Delete(ctx), stay.ErrUnavailable)
		testkit.WantCount(t, t.Context(), s, changes)
		testkit.Sleep(time.Second) // the next attempt is under way
		testkit.MustUpdate(t, t.Context(), s)
		testkit.WantCode(t, s.Delete(ctx), stay.ErrUnavailable)
		testkit.WantCount(t, t.Context(), s, changes+1)
		rule.Remove()
		testkit.Sleep(time.Minute)
		wantStored(t, mem, changes+1)
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		testkit.WantCount(t, t.Context(), s, 0)
	})
}

// A delete that fails drops no acknowledged change, also when the store has the
// save whose answer was lost and cannot be read.
//
// Proves A14, E5.
func TestDeleteThatFailsInDoubtDropsNothing(t *testing.T) {
	inDoubt(t, func(t *testing.T, s *stay.State[testkit.Counter], changes int, st *storefault.Store, mem store.Store, rule *storefault.Added) {
		testkit.MustUpdate(t, t.Context(), s)
		rule.Remove()
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		refused := st.Add(storefault.Rule{Op: storefault.Commit, Match: deletes, Fault: storefault.Fail(nil)})
		testkit.WantCode(t, s.Delete(t.Context()), stay.ErrUnavailable)
		if refused.Hits() != 1 {
			t.Errorf("the store was asked to delete %d times", refused.Hits())
		}
		testkit.WantCount(t, t.Context(), s, changes+1)
		testkit.Sleep(time.Minute)
		wantStored(t, mem, changes+1)
	})
}

// deletes matches groups that delete.
func deletes(c storefault.Call) bool { return c.Groups[0][0].Op == store.Delete }
