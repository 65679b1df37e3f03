package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// TestLargeCalls proves that a call may have more groups, a group more writes, and
// both more bytes than one script takes, and that such a call is several scripts.
//
// Proves C2.
func TestLargeCalls(t *testing.T) {
	s := ownServer(t)
	st := open(t, s.URL())
	before := sent(t, s)
	big := bytes.Repeat([]byte("x"), 1<<20)
	var groups []store.Group
	for i := range 1200 {
		groups = append(groups, store.Group{{Key: fmt.Sprint("single ", i)}})
	}
	var g store.Group
	for i := range 700 {
		g = append(g, store.Write{Key: fmt.Sprint("in a group ", i)})
	}
	groups = append(groups, g)
	for i := range 12 {
		groups = append(groups, store.Group{{Key: fmt.Sprint("big ", i), Value: big}})
	}
	for range 2 { // created, then replaced
		for i, r := range st.Commit(within(t), groups) {
			if r.Outcome != store.Applied {
				t.Fatalf("group %d: %v: %v", i, r.Outcome, r.Err)
			}
			for j, rev := range r.Revisions {
				if rev <= groups[i][j].Base {
					t.Fatalf("group %d: revision %d after %d", i, rev, groups[i][j].Base)
				}
				groups[i][j].Base = rev
			}
		}
	}
	if n := sent(t, s) - before; n < 2*5 {
		t.Errorf("%d scripts", n)
	}
	// One conflict among them stops nobody else.
	stale := groups[600][0].Base
	groups[600][0].Base = 1
	for i, r := range st.Commit(within(t), groups) {
		if want := map[bool]store.Outcome{true: store.Conflict, false: store.Applied}[i == 600]; r.Outcome != want {
			t.Fatalf("group %d: %v: %v, want %v", i, r.Outcome, r.Err, want)
		}
		if i == 600 && r.Current[0].Revision != stale {
			t.Errorf("%+v, want revision %d", r.Current, stale)
		}
	}
}

// TestClockSetBack proves that revisions of a key grow, also when it is deleted and
// created again, while the clock of the server is far behind what it was.
//
// Proves C3.
func TestClockSetBack(t *testing.T) {
	s := ownServer(t)
	st := open(t, s.URL())
	const year = 365 * 24 * 3600 * 1_000_000
	put(t, st, "other", 0, "x")
	rev := put(t, st, "key", 0, "x")
	// A record as the server would have made it a year later.
	later := rev + year
	ask(t, s, "EVAL", `local r = redis.call('GET', KEYS[1])
		redis.call('SET', KEYS[1], struct.pack('>I8', ARGV[1]) .. string.sub(r, 9))`, "1", "{stay}:r:key", fmt.Sprint(uint64(later)))
	next := put(t, st, "key", later, "y")
	if next <= later {
		t.Errorf("replaced: revision %d after %d", next, later)
	}
	if r := one(st, store.Write{Op: store.Delete, Key: "key", Base: next}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	if again := put(t, st, "key", 0, "z"); again <= next {
		t.Errorf("created again: revision %d after %d", again, next)
	}
}

type counter struct{ N int }

// TestTwoApps proves that changes by two programs that share a server do not get
// lost.
//
// Proves C1, C2.
func TestTwoApps(t *testing.T) {
	const workers, rounds = 4, 25
	s, name := theServer(t), place()
	var counters []*stay.State[counter]
	for _, open := range []opener{own, onClient} {
		st := open(t, at(t, s), name)
		app := stay.New(st, nil)
		defer app.Close(context.Background())
		counters = append(counters, stay.Register(app, stay.Module[counter]{Name: "counter", Persist: stay.Global}))
	}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for range rounds {
				_, err := counters[worker%len(counters)].Update(context.Background(), func(c *counter) error {
					c.N++
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i, c := range counters {
		if got, err := c.Get(context.Background()); err != nil || got.N != workers*rounds {
			t.Errorf("app %d has %+v, %v, want %d", i, got, err, workers*rounds)
		}
	}
}
