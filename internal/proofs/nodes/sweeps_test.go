package nodes_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A counted store counts the groups that came too late.
type counted struct {
	store.Store
	conflicts *atomic.Int64
}

func (c counted) Commit(ctx context.Context, groups []store.Group) []store.Result {
	res := c.Store.Commit(ctx, groups)
	for i := range res {
		if res[i].Outcome == store.Conflict {
			c.conflicts.Add(1)
		}
	}
	return res
}

// Several nodes that sweep at the same time do not take the same records: one
// of them sweeps, and everything expires once.
//
// Proves A15, N1.
func TestNodesDoNotSweepTheSameRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, sessions = 3, 600
		c := testkit.NewClock()
		var expired atomic.Int64
		var conflicts atomic.Int64
		var apps []*testkit.Expiring
		var carts []*stay.State[testkit.Counter]
		shared := memstore.Shared(nodes + 1)
		for _, s := range shared[:nodes] {
			slow := storefault.Wrap(s, nil)
			slow.Add(storefault.Rule{Fault: storefault.Delay(time.Millisecond, time.Millisecond)})
			app := testkit.NewExpiring(t, counted{slow, &conflicts}, c)
			carts = append(carts, stay.Register(app.App, stay.Module[testkit.Counter]{
				Name: "cart", Persist: stay.PerSession, OnExpire: func(*stay.Call, *testkit.Counter) { expired.Add(1) },
			}))
			apps = append(apps, app)
		}
		for i := range sessions {
			testkit.MustUpdate(t, testkit.NewBrowser(apps[i%nodes].App).Ctx(), carts[i%nodes])
		}
		c.Advance(2 * time.Hour)
		conflicts.Store(0)
		var sweeps sync.WaitGroup
		for _, app := range apps {
			sweeps.Go(func() { testkit.Sweep(app.App) })
		}
		sweeps.Wait()
		if n := expired.Load(); n != sessions {
			t.Errorf("OnExpire ran %d times for %d states", n, sessions)
		}
		if left := testkit.AllRows(t, shared[nodes]); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		n := conflicts.Load()
		t.Logf("%d conflicts", n)
		if n > 2*nodes { // about who sweeps
			t.Errorf("%d groups came too late", n)
		}
	})
}

// A node that dies while it sweeps holds the others up for some minutes at most.
//
// Proves A15.
func TestNodeThatDiesWhileItSweepsIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testkit.NewClock()
		shared := memstore.Shared(3)
		dying := storefault.Wrap(shared[0], nil)
		one, two := testkit.NewExpiring(t, dying, c), testkit.NewExpiring(t, shared[1], c)
		cart := stay.Register(one.App, stay.Module[testkit.Counter]{Name: "cart", Persist: stay.PerSession})
		stay.Register(two.App, stay.Module[testkit.Counter]{Name: "cart", Persist: stay.PerSession})
		testkit.MustUpdate(t, testkit.NewBrowser(one.App).Ctx(), cart)
		c.Advance(2 * time.Hour)
		gate := storefault.NewGate()
		dying.Add(storefault.Rule{Op: storefault.Commit, Skip: 1, Fault: storefault.Stop(gate)}) // after it has said that it sweeps
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			testkit.Sweep(one.App)
		}()
		if _, err := gate.Arrived(testkit.Soon(t)); err != nil {
			t.Fatal(err)
		}
		rows := len(testkit.AllRows(t, shared[2]))
		testkit.Sweep(two.App)
		if n := len(testkit.AllRows(t, shared[2])); n != rows {
			t.Errorf("two nodes sweep at once: %d records are left of %d", n, rows)
		}
		c.Advance(5 * time.Minute)
		testkit.Sweep(two.App)
		if left := testkit.AllRows(t, shared[2]); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		gate.Open()
		<-dead
		if left := testkit.AllRows(t, shared[2]); len(left) > 0 {
			t.Errorf("left in the end: %q", left)
		}
	})
}
