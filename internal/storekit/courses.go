package storekit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// Crash kills the server of a store while there are commits, and starts it
// again. What was applied is there afterwards, what was rejected is not, and the store
// works again without being reopened. patience is how long a read may ask meanwhile.
func Crash(t *testing.T, st store.Store, patience time.Duration, kill func(), start func() error) {
	t.Helper()
	const writers = 4
	var warm, done sync.WaitGroup
	var applied, sure [writers]int // by each writer: the last that was applied, and the last that may be there
	var revs [writers]store.Revision
	warm.Add(writers)
	for i := range writers {
		done.Go(func() {
			for n := 1; ; n++ {
				r := One(st, store.Write{Key: strconv.Itoa(i), Base: revs[i], Value: []byte(strconv.Itoa(n))})
				switch r.Outcome {
				case store.Applied:
					revs[i], applied[i], sure[i] = r.Revisions[0], n, n
				case store.Unknown:
					sure[i] = n
					return
				case store.Rejected:
					return
				default:
					t.Errorf("%v: %+v", r.Outcome, r.Current)
					return
				}
				if n == 20 {
					warm.Done()
				}
			}
		})
	}
	warm.Wait()
	kill()
	done.Wait()
	if r := One(st, store.Write{Key: "down"}); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrUnavailable) {
		t.Errorf("without a server: %v: %v, want rejected", r.Outcome, r.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := st.Load(ctx, []store.Read{{Key: "0"}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Load without a server: %v", err)
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		got := Load(t, st, strconv.Itoa(i))
		if n, _ := strconv.Atoi(string(got.Value)); n < applied[i] || n > sure[i] {
			t.Errorf("writer %d finds %d; applied %d, in doubt up to %d", i, n, applied[i], sure[i])
		}
		if next := Put(t, st, strconv.Itoa(i), got.Revision, "after"); next <= revs[i] {
			t.Errorf("revision %d after the crash, %d before", next, revs[i])
		}
	}
	if got := Load(t, st, "down"); got.Revision != 0 {
		t.Errorf("%+v was rejected", got)
	}
}

// Large says what a large call consists of: groups of one write, one group of many
// writes, and groups of one large value.
type Large struct{ Singles, Together, Big, Bytes int }

// Commit creates and replaces all records in a call each, reads them in one, and
// makes one group of a last call conflict, which stops no other. It returns the groups
// as they would replace the records once more, but for that one.
func (l Large) Commit(t *testing.T, st store.Store) []store.Group {
	t.Helper()
	var groups []store.Group
	for i := range l.Singles {
		groups = append(groups, store.Group{{Key: fmt.Sprint("single ", i)}})
	}
	var g store.Group
	for i := range l.Together {
		g = append(g, store.Write{Key: fmt.Sprint("in a group ", i)})
	}
	groups = append(groups, g)
	big := bytes.Repeat([]byte("x"), l.Bytes)
	for i := range l.Big {
		groups = append(groups, store.Group{{Key: fmt.Sprint("big ", i), Value: big}})
	}
	var reads []store.Read
	for range 2 { // created, then replaced
		reads = reads[:0]
		for i, r := range st.Commit(Within(t), groups) {
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
	records, err := st.Load(Within(t), reads)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range groups {
		for _, w := range g {
			if rec := records[n]; rec.Revision != w.Base || len(rec.Value) != len(w.Value) {
				t.Fatalf("%q has revision %d and %d bytes, want %d and %d", rec.Key, rec.Revision, len(rec.Value), w.Base, len(w.Value))
			}
			n++
		}
	}
	odd := l.Singles / 2
	stale := groups[odd][0].Base
	groups[odd][0].Base = 1
	for i, r := range st.Commit(Within(t), groups) {
		want := store.Applied
		if i == odd {
			want = store.Conflict
		}
		if r.Outcome != want {
			t.Fatalf("group %d: %v: %v, want %v", i, r.Outcome, r.Err, want)
		}
		if i == odd && r.Current[0].Revision != stale {
			t.Errorf("%+v, want revision %d", r.Current, stale)
		}
	}
	return groups
}

type counter struct{ N int }

// Apps has one program on each of the stores, which share their records, and counts
// with all of them at once. No change gets lost.
func Apps(t *testing.T, o *stay.Options, stores ...store.Store) {
	t.Helper()
	const workers, rounds = 4, 25
	var counters []*stay.State[counter]
	for _, st := range stores {
		app := stay.New(st, o)
		defer func() { _ = app.Close(context.Background()) }()
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
