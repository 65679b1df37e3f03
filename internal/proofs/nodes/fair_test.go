package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

const (
	counterKey = "global/g/"
	turnKey    = "stay/turn/global/g/"
)

// A race is some nodes with callers who change one state all the time.
type race struct {
	t      *testing.T
	store  store.Store // no node's
	stores []*storefault.Store
	states []*stay.State[testkit.Counter]

	mu    sync.Mutex
	waits [][]time.Duration // of each node's changes
	all   sync.WaitGroup
}

// newRace makes a node for each of the times that a call takes to the store and
// back.
func newRace(t *testing.T, trips ...time.Duration) *race {
	shared := memstore.Shared(len(trips) + 1)
	r := &race{t: t, store: shared[len(trips)], waits: make([][]time.Duration, len(trips))}
	for i, trip := range trips {
		st := storefault.Wrap(shared[i], nil)
		for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
			st.Add(storefault.Rule{Op: op, Fault: storefault.Delay(trip/2, trip/2)})
		}
		app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet})
		r.stores = append(r.stores, st)
		r.states = append(r.states, stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global}))
	}
	testkit.MustUpdate(t, t.Context(), r.states[0])
	return r
}

// run has callers of a node change the state until ctx ends. A change that has
// begun ends.
func (r *race) run(ctx context.Context, node, callers int) {
	for range callers {
		r.all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if _, err := r.states[node].Update(context.Background(), testkit.Increment); err != nil {
					r.t.Error(err)
					return
				}
				r.mu.Lock()
				r.waits[node] = append(r.waits[node], time.Since(began))
				r.mu.Unlock()
			}
		})
	}
}

// end waits until all callers have gone, and checks that nothing was lost.
func (r *race) end() (changes int) {
	r.t.Helper()
	r.all.Wait()
	for _, w := range r.waits {
		slices.Sort(w)
		changes += len(w)
	}
	testkit.WantCount(r.t, r.t.Context(), r.states[0], changes+1)
	return changes
}

// fair checks that each node has got at least half of its share, and that none
// waits much longer than the others.
func (r *race) fair() {
	r.t.Helper()
	changes := r.end()
	var p99 []time.Duration
	for i, w := range r.waits {
		if len(w) < changes/len(r.waits)/2 {
			r.t.Fatalf("node %d has made %d of %d changes", i, len(w), changes)
		}
		p99 = append(p99, w[len(w)*99/100])
	}
	if slices.Max(p99) > 10*slices.Min(p99) {
		r.t.Errorf("the 99th percentiles are %v", p99)
	}
}

// turns returns whether there is a rota.
func (r *race) turns() bool { return slices.Contains(testkit.AllRows(r.t, r.store), turnKey) }

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Nodes that change one state all the time get their shares of it, also one that
// is farther from the store. When they have what they want, nothing of that is
// left in the store.
//
// Proves N3, E4.
func TestNodesTakeTurns(t *testing.T) {
	const ms = time.Millisecond
	for what, trips := range map[string][]time.Duration{
		"equal":     {ms, ms, ms},
		"one far":   {ms, ms, 4 * ms},
		"one near":  {4 * ms, 4 * ms, ms},
		"two":       {ms, 10 * ms},
		"very far":  {ms, 40 * ms},
		"different": {ms, 2 * ms, 3 * ms, 5 * ms, 8 * ms},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRace(t, trips...)
				ctx := timeout(t, max(2*time.Second, 500*slices.Max(trips)))
				for i := range trips {
					r.run(ctx, i, 8)
				}
				r.fair()
				<-time.After(time.Second)
				if r.turns() {
					t.Error("the nodes have left the rota in the store")
				}
			})
		})
	}
}

// A node that dies holds the others up for a second at most, whenever it dies.
//
// Proves N3.
func TestDeadNodeLosesItsTurn(t *testing.T) {
	for _, after := range []int{0, 1, 3, 5, 7, 9} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const ms = time.Millisecond
				r := newRace(t, ms, ms, 4*ms)
				long, life := timeout(t, 2*time.Second), timeout(t, 500*ms+time.Duration(after)*ms)
				r.run(long, 0, 8)
				r.run(long, 2, 8)
				for range 8 {
					go func() {
						for life.Err() == nil {
							_, _ = r.states[1].Update(life, testkit.Increment)
						}
					}()
				}
				<-life.Done()
				dead := r.stores[1].Add(storefault.Rule{Fault: storefault.Hang()})
				r.all.Wait()
				dead.Remove()
				for _, node := range []int{0, 2} {
					w := r.waits[node]
					if slices.Sort(w); w[len(w)-1] > 1200*ms || len(w) < 500 {
						t.Errorf("node %d has made %d changes, and one took %v", node, len(w), w[len(w)-1])
					}
				}
			})
		})
	}
}

// A state that one node alone changes costs no call of the store and no record
// more, however often. Now and then a commit looks for others.
//
// Proves N3.
func TestLoneNodePaysNothingForTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRace(t, time.Millisecond)
		var looks, other atomic.Int64
		rule := r.stores[0].Add(storefault.Rule{Match: func(c storefault.Call) bool {
			if c.Op == storefault.Load {
				other.Add(1)
			}
			for _, g := range c.Groups {
				if g[0].Key != counterKey || len(g) > 1 && g[1].Op != store.Check {
					other.Add(1)
				}
				looks.Add(int64(len(g) - 1))
			}
			return false
		}})
		ctx := timeout(t, time.Second)
		r.run(ctx, 0, 8)
		r.all.Wait()
		rule.Remove()
		if changes := r.end(); changes < 1000 || other.Load() > 0 {
			t.Errorf("%d changes made %d more calls or writes", changes, other.Load())
		}
		if n := looks.Load(); n < 5 || n > 21 {
			t.Errorf("it looked for others %d times in a second", n)
		}
	})
}

// Nodes whose changes overtake each other now and then, as when one caller's
// requests go to one node after the other, do not look for a rota.
//
// Proves N3.
func TestSingleConflictIsNoContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRace(t, time.Millisecond, time.Millisecond)
		var looks atomic.Int64
		for _, st := range r.stores {
			st.Add(storefault.Rule{Key: turnKey, Match: func(storefault.Call) bool { looks.Add(1); return false }})
		}
		for range 20 {
			for i := range r.states {
				testkit.MustUpdate(t, t.Context(), r.states[i])
				<-time.After(600 * time.Millisecond) // not often enough to look for others
			}
		}
		if n := looks.Load(); n > 0 {
			t.Errorf("there were %d looks for a rota", n)
		}
	})
}

// Changes that take longer than a node has patience at first get their turns all
// the same.
//
// Proves N3.
func TestSlowChangesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		r := newRace(t, ms, 4*ms)
		ctx := timeout(t, 10*time.Second)
		for i, state := range r.states {
			for range 2 {
				r.all.Go(func() {
					for ctx.Err() == nil {
						if _, err := state.Update(context.Background(), func(c *testkit.Counter) error {
							<-time.After(80 * ms)
							return testkit.Increment(c)
						}); err != nil {
							t.Error(err)
						}
						r.mu.Lock()
						r.waits[i] = append(r.waits[i], ms)
						r.mu.Unlock()
					}
				})
			}
		}
		r.fair()
	})
}

// A record in the place of the rota that this release cannot read does no harm.
//
// Proves N3.
func TestUnreadableTurns(t *testing.T) {
	for what, w := range map[string]store.Write{
		"garbage":     {Version: 1, Value: []byte("\x01garbage")},
		"empty":       {Version: 1},
		"format":      {Version: 1, Value: []byte("\x7f\x00\x00\x00\x00\x00\x00\x00\x01\x01")},
		"version":     {Version: 2, Value: []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01")},
		"dead nodes":  {Version: 1, Value: []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x02\xff\x7f")},
		"full":        {Version: 1, Value: []byte("\x01" + many(32))},
		"one twice":   {Version: 1, Value: []byte("\x01" + many(1) + many(1))},
		"far too big": {Version: 1, Value: []byte("\x01" + many(1000))},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRace(t, time.Millisecond, 4*time.Millisecond)
				w.Op, w.Key = store.Put, turnKey
				testkit.Commit(t, r.store, w)
				r.run(timeout(t, 200*time.Millisecond), 0, 8)
				r.end()
				ctx := timeout(t, 4*time.Second)
				r.run(ctx, 0, 8)
				r.run(ctx, 1, 8)
				r.fair()
			})
		})
	}
}

// many is the places of this many dead nodes.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "nodes%03d\x01", i)
	}
	return b.String()
}

// A change that waits for its node's turn ends with its context.
//
// Proves N3.
func TestWaitForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		r := newRace(t, ms, ms)
		ctx := timeout(t, 200*ms)
		r.run(ctx, 0, 1)
		r.run(ctx, 1, 1)
		<-ctx.Done()
		hung := r.stores[1].Add(storefault.Rule{Fault: storefault.Hang()})
		defer hung.Remove()
		var err error
		for range 3 { // the first of them may be in the node's own turn
			if _, err = r.states[0].Update(timeout(t, 20*ms), testkit.Increment); err != nil {
				break
			}
		}
		testkit.WantCode(t, err, stay.ErrConflict)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not tell that the context was over", err)
		}
		testkit.MustUpdate(t, t.Context(), r.states[0])
	})
}

// A node whose changes come to nothing gives its turn away at once.
//
// Proves N3.
func TestTurnWithoutAChangePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		r := newRace(t, ms, 4*ms)
		refused := errors.New("refused")
		ctx := timeout(t, 3*time.Second)
		r.run(ctx, 0, 8)
		in := 0 // turns in which nothing was changed
		for ctx.Err() == nil {
			runs := 0
			_, err := r.states[1].Update(context.Background(), func(c *testkit.Counter) error {
				if runs++; runs > 2 { // now it is this node's turn
					return refused
				}
				return testkit.Increment(c)
			})
			if err == nil { // it was the first by chance
				r.waits[1] = append(r.waits[1], 0)
			} else if in++; !errors.Is(err, refused) {
				t.Errorf("the change ended with %v", err)
			}
			<-time.After(50 * ms)
		}
		r.end()
		if w := r.waits[0]; in < 5 || len(w) < 1000 || w[len(w)-1] > 40*ms {
			t.Errorf("in %d turns nothing was changed; the other node has made %d changes, and one took %v", in, len(w), w[len(w)-1])
		}
	})
}
