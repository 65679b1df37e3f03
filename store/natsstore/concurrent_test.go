package natsstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// TestLargeCalls proves that a call may have more groups and a read more keys than a
// server takes at once, that a group may have as many writes as a batch, and that an
// answer which is longer than a server gives in one piece comes whole.
//
// Proves C1, C2.
func TestLargeCalls(t *testing.T) {
	st := open(t, theServer(t), place(), natsstore.Attempt(20*time.Second))
	big := bytes.Repeat([]byte("x"), 1_000_000)
	var groups []store.Group
	for i := range 600 {
		groups = append(groups, store.Group{{Key: fmt.Sprint("single ", i)}})
	}
	var g store.Group
	for i := range 1000 {
		g = append(g, store.Write{Key: fmt.Sprint("in a group ", i)})
	}
	groups = append(groups, g)
	for i := range 12 {
		groups = append(groups, store.Group{{Key: fmt.Sprint("big ", i), Value: big}})
	}
	var reads []store.Read
	for range 2 { // created, then replaced
		reads = reads[:0]
		for i, r := range st.Commit(within(t), groups) {
			if r.Outcome != store.Applied {
				t.Fatalf("group %d: %v: %v", i, r.Outcome, r.Err)
			}
			for j, rev := range r.Revisions {
				if rev <= groups[i][j].Base {
					t.Fatalf("group %d: revision %d after %d", i, rev, groups[i][j].Base)
				}
				groups[i][j].Base = rev
				reads = append(reads, store.Read{Key: groups[i][j].Key})
			}
		}
	}
	records, err := st.Load(within(t), reads)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range groups {
		for j := range groups[i] {
			if rec := records[n]; rec.Revision != groups[i][j].Base || len(rec.Value) != len(groups[i][j].Value) {
				t.Fatalf("%q has revision %d and %d bytes, want %d and %d", rec.Key, rec.Revision, len(rec.Value), groups[i][j].Base, len(groups[i][j].Value))
			}
			n++
		}
	}
	// One conflict among them stops nobody else.
	stale := groups[300][0].Base
	groups[300][0].Base = 1
	for i, r := range st.Commit(within(t), groups[:600]) {
		if want := map[bool]store.Outcome{true: store.Conflict, false: store.Applied}[i == 300]; r.Outcome != want {
			t.Fatalf("group %d: %v: %v, want %v", i, r.Outcome, r.Err, want)
		}
		if i == 300 && r.Current[0].Revision != stale {
			t.Errorf("%+v, want revision %d", r.Current, stale)
		}
	}
	if r := one(st, append(g, store.Write{Key: "one too many"})...); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrTooLarge) {
		t.Error(r.Outcome, r.Err)
	}
}

type counter struct{ N int }

// TestTwoApps proves that changes by two programs that share servers do not get lost.
//
// Proves C1, C2.
func TestTwoApps(t *testing.T) {
	const workers, rounds = 4, 20
	name := place()
	var counters []*stay.State[counter]
	for range 2 {
		app := stay.New(open(t, theCluster(t), name), &stay.Options{MaxState: 1 << 16, Logger: slog.New(slog.DiscardHandler)})
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
