package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// hold keeps as many loads under way as there may be, at a gate after their
// work, and returns when they stand there. end lets them go.
func (p *prefetching) hold(t *testing.T) (end func()) {
	t.Helper()
	gate := storefault.NewGate()
	rule := p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.StopAfter(gate)})
	var held sync.WaitGroup
	for i := range maxLoads {
		held.Go(func() {
			if _, err := p.kind.Backend.read(fmt.Sprint("held", i)); err != nil {
				t.Error(err)
			}
		})
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rule.Remove()
	return func() {
		gate.Open()
		held.Wait()
	}
}

// reading reads in goroutines of their own, with one query for each list of
// reads. wait returns what they read.
func (p *prefetching) reading(t *testing.T, all ...[]store.Read) (wait func() ([][]store.Record, []error)) {
	t.Helper()
	recs, errs := make([][]store.Record, len(all)), make([]error, len(all))
	var readers sync.WaitGroup
	for i, reads := range all {
		readers.Go(func() { recs[i], errs[i] = p.kind.Backend.main.readAll(reads) })
		synctest.Wait() // in this order
	}
	return func() ([][]store.Record, []error) {
		readers.Wait()
		return recs, errs
	}
}

// Callers that wait while the store answers others are served with one call,
// whatever they read.
func TestQueriesThatWaitAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := map[string]string{}
		for i := range 100 {
			records[strconv.Itoa(i)] = fmt.Sprint("value ", i)
		}
		p := newPrefetching(t, false, 1000, nil, records)
		end := p.hold(t)
		before := p.store.Count(storefault.Load)
		var readers sync.WaitGroup
		for key, value := range records {
			readers.Go(func() { p.want(t, key, value) })
		}
		synctest.Wait()
		if n := p.store.Count(storefault.Load) - before; n != 0 {
			t.Errorf("%d more loads while %d are under way", n, maxLoads)
		}
		end()
		readers.Wait()
		if n := p.store.Count(storefault.Load) - before; n != 1 {
			t.Errorf("%d loads for 100 callers that waited, want 1", n)
		}
	})
}

// One call has a bound, and those for whom it has no room come next.
func TestQueriesBeyondTheBoundOfACallComeNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrefetching(t, false, 10, nil, nil)
		var sizes []int
		var mu sync.Mutex
		end := p.hold(t)
		p.store.Add(storefault.Rule{Op: storefault.Load, Match: func(c storefault.Call) bool {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(c.Keys))
			return false
		}})
		many := make([]store.Read, maxReads-1)
		for i := range many {
			many[i].Key = fmt.Sprint("k/", i)
		}
		wait := p.reading(t, many, []store.Read{{Key: "one"}}, many, []store.Read{{Key: "other"}})
		end()
		wait()
		mu.Lock()
		defer mu.Unlock()
		total := 0
		for _, n := range sizes {
			if total += n; n > maxReads {
				t.Errorf("a call of %d reads", n)
			}
		}
		if len(sizes) < 2 || total < maxReads+1 {
			t.Errorf("the calls read %v", sizes)
		}
	})
}

// A query gets what was stored when it was made, although an earlier query for
// the same key is still under way.
//
// Proves N1.
func TestQueryJoinsNoCallThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrefetching(t, false, 10, nil, map[string]string{"a": "old"})
		gate := storefault.NewGate()
		rule := p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.StopAfter(gate)})
		reads := []store.Read{{Key: "k/a"}}
		first := p.reading(t, reads, reads, reads) // two calls, and one that waits
		rule.Remove()
		recs, err := p.store.Load(t.Context(), reads)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, p.store, store.Write{Op: store.Put, Key: "k/a", Base: recs[0].Revision, Value: []byte("new"), Version: 1})
		second := p.reading(t, reads)
		gate.Open()
		first()
		got, errs := second()
		if errs[0] != nil || string(got[0][0].Value) != "new" {
			t.Errorf("after the change, a query reads %q, %v", got[0][0].Value, errs[0])
		}
	})
}

// Each caller of one call gets what a call of its own would have brought: the
// records that it named, in its order, and nothing but the revision where it has
// the same one.
func TestJoinedQueriesGetWhatTheyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrefetching(t, false, 10, nil, map[string]string{"a": "A", "b": "B", "c": "C"})
		revs := map[string]store.Revision{}
		for _, key := range []string{"a", "b", "c"} {
			recs, err := p.store.Load(t.Context(), []store.Read{{Key: "k/" + key}})
			if err != nil {
				t.Fatal(err)
			}
			revs[key] = recs[0].Revision
		}
		read := func(key string, have store.Revision) store.Read { return store.Read{Key: "k/" + key, Have: have} }
		all := [][]store.Read{
			{read("a", revs["a"]), read("c", revs["c"])},
			{read("b", revs["b"]), read("a", 0)},
			{read("a", revs["a"]), read("b", revs["b"]-1), read("absent", 0)},
			{read("c", revs["c"])},
		}
		end := p.hold(t)
		before := p.store.Count(storefault.Load)
		wait := p.reading(t, all...)
		end()
		got, errs := wait()
		if n := p.store.Count(storefault.Load) - before; n != 1 {
			t.Fatalf("%d loads", n)
		}
		for i, reads := range all {
			want, err := p.store.Load(t.Context(), reads)
			if err != nil || errs[i] != nil || len(got[i]) != len(want) {
				t.Fatal(err, errs[i], got[i])
			}
			for j := range want {
				if g, w := &got[i][j], &want[j]; g.Key != w.Key || g.Revision != w.Revision || string(g.Value) != string(w.Value) {
					t.Errorf("query %d, read %d: %+v, want %+v", i, j, g, w)
				}
			}
		}
	})
}

// A record that cannot be read fails the callers that read it, and nobody else
// who happens to be in the same call. When the store is not available, one call
// is enough to know.
//
// Proves E8.
func TestOneBadRecordFailsItsOwnCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrefetching(t, false, 100, nil, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
		bad := errors.New("damaged")
		var all [][]store.Read
		for _, key := range []string{"a", "b", "bad", "c", "d"} {
			all = append(all, []store.Read{{Key: "k/" + key}})
		}
		end := p.hold(t)
		rule := p.store.Add(storefault.Rule{Op: storefault.Load, Key: "k/bad", Fault: storefault.Fail(bad)})
		wait := p.reading(t, all...)
		end()
		_, errs := wait()
		for i, err := range errs {
			if is := errors.Is(err, bad); is != (i == 2) || !is && err != nil {
				t.Errorf("query %d: %v", i, err)
			}
		}
		rule.Remove()

		end = p.hold(t)
		p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		before := p.store.Count(storefault.Load)
		wait = p.reading(t, all...)
		end()
		if _, errs := wait(); !errors.Is(errors.Join(errs[0]), store.ErrUnavailable) || !errors.Is(errs[4], store.ErrUnavailable) {
			t.Error(errs)
		}
		if n := p.store.Count(storefault.Load) - before; n != 1 {
			t.Errorf("%d loads to learn that the store is not available", n)
		}
	})
}

// A caller that leaves waits for no call, whether its query is under way or
// still waits.
func TestCallerLeavesAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrefetching(t, false, 100, nil, map[string]string{"a": "1"})
		end := p.hold(t)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := p.Get(ctx, &Ref{Kind: p.kind, Key: "a"})
			left <- err
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		select {
		case err := <-left:
			if err == nil {
				t.Error("a state was read before the store has answered")
			}
		default:
			t.Error("the caller still waits")
		}
		end()
		p.want(t, "a", "1")
	})
}

// BenchmarkQueries shows how many calls of Store.Load a read takes when many
// callers read at once, each another state, and a call takes 1 ms.
func BenchmarkQueries(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			st := storefault.Wrap(memstore.Shared(1)[0], nil)
			p := newPrefetchingOn(b, st, 10_000, nil, nil)
			for i := range callers {
				commit(b, st, store.Write{Op: store.Put, Key: fmt.Sprint("k/", i), Value: []byte("value"), Version: 1})
			}
			st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Delay(time.Millisecond, 0)})
			before := st.Count(storefault.Load)
			b.ResetTimer()
			var working sync.WaitGroup
			for i := range callers {
				working.Go(func() {
					for n := i; n < b.N; n += callers {
						errs, release := p.Prefetch(context.Background(), p.refs(strconv.Itoa(i)))
						release()
						if errs[0] != nil {
							b.Error(errs[0])
						}
					}
				})
			}
			working.Wait()
			b.ReportMetric(float64(st.Count(storefault.Load)-before)/float64(b.N), "calls/op")
		})
	}
}
