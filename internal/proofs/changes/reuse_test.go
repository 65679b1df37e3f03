package changes_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// What a change runs with is not used by another one while the store still
// works on it, although its caller has left.
//
// Proves A4, E4.
func TestCallerThatHasLeftKeepsItsChange(t *testing.T) {
	st := storefault.Wrap(testkit.BehindCommitter(memstore.New()), nil)
	app := testkit.NewApp(t, st, nil)
	after := make(chan string, 100)
	register := func(name string) *stay.State[testkit.Counter] {
		return stay.Register(app, stay.Module[testkit.Counter]{
			Name: name, Persist: stay.Global,
			Actions: map[string]stay.Action[testkit.Counter]{
				"increment": func(c *stay.Call, s *testkit.Counter) error {
					c.After(func(context.Context) { after <- name })
					return testkit.Increment(s)
				},
			},
		})
	}
	slow, others := register("slow"), register("others")
	gate := testkit.StopAt(st, storefault.Commit, "global/slow/", true)
	ctx, leave := context.WithCancel(t.Context())
	wait := testkit.Start(t, gate, func() error {
		_, err := slow.Do(ctx, "increment", nil)
		return err
	})
	leave()
	const n = 50
	result := make(chan error, 1)
	go func() { result <- wait() }() // opens the gate, so the answer and the others come at the same time
	for range n {
		if _, err := others.Do(t.Context(), "increment", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-result; err != nil && !errors.Is(err, stay.ErrUnknown) {
		t.Fatal(err)
	}
	called := map[string]int{}
	for range n + 1 {
		select {
		case name := <-after:
			called[name]++
		case <-testkit.Soon(t).Done():
			t.Fatalf("called after the changes: %v", called)
		}
	}
	if called["slow"] != 1 || called["others"] != n {
		t.Errorf("called after the changes: %v", called)
	}
	testkit.WantCount(t, t.Context(), slow, 1)
	testkit.WantCount(t, t.Context(), others, n)
}
