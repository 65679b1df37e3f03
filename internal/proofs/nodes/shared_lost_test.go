package nodes_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A change whose answer is lost is not made a second time on another node's
// record: if the record does not show whether the change was stored before a
// deletion, the outcome is unknown.
//
// Proves E5, N1.
func TestLostAnswerBesideADeletion(t *testing.T) {
	type node = *stay.State[testkit.Counter]
	update := func(s node) error { _, err := s.Update(context.Background(), testkit.Increment); return err }
	remove := func(s node) error { return s.Delete(context.Background()) }
	lost, dropped := storefault.HangAfter(), storefault.Hang()
	for name, c := range map[string]struct {
		stored bool             // there is a record with count 1
		do     func(node) error // whose first sending meets the fault
		fault  storefault.Fault
		others []func(node) error
		code   stay.Code // "" = success
		want   int
	}{
		"changed, deleted":                  {true, update, lost, []func(node) error{remove}, stay.ErrUnknown, 0},
		"changed, deleted and created":      {true, update, lost, []func(node) error{remove, update}, stay.ErrUnknown, 1},
		"changed, changed":                  {true, update, lost, []func(node) error{update}, "", 3},
		"not yet changed, deleted":          {true, update, dropped, []func(node) error{remove}, "", 1},
		"not yet changed, changed":          {true, update, dropped, []func(node) error{update}, "", 3},
		"created, deleted and created":      {false, update, lost, []func(node) error{remove, update}, stay.ErrUnknown, 1},
		"created, deleted":                  {false, update, lost, []func(node) error{remove}, "", 0},
		"not yet created, then and deleted": {false, update, dropped, []func(node) error{update, remove}, "", 1},
		"created, changed":                  {false, update, lost, []func(node) error{update}, "", 2},
		"deleted":                           {true, remove, lost, nil, "", 0},
		"deleted, created":                  {true, remove, lost, []func(node) error{update}, "", 1},
		"not yet deleted, changed":          {true, remove, dropped, []func(node) error{update}, "", 0},
		"not yet deleted, deleted, created": {true, remove, dropped, []func(node) error{remove, update}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memstore.Shared(2)
				st := storefault.Wrap(shared[0], nil)
				here, there := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet}), testkit.NewApp(t, shared[1], nil)
				a := stay.Register(here, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
				b := stay.Register(there, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
				if c.stored {
					testkit.MustUpdate(t, t.Context(), a)
				}
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: c.fault})
				told := make(chan error, 1)
				go func() { told <- c.do(a) }()
				synctest.Wait() // now it hangs
				for _, other := range c.others {
					testkit.NoError(t, other(b))
				}
				if err := <-told; stay.CodeOf(err) != c.code {
					t.Errorf("told %v, want code %q", err, c.code)
				}
				for _, s := range []node{a, b} {
					testkit.WantCount(t, t.Context(), s, c.want)
				}
				testkit.MustUpdate(t, t.Context(), a)
				testkit.WantCount(t, t.Context(), b, c.want+1)
			})
		})
	}
}
