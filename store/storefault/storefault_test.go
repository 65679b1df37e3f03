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
	"github.com/stay-go/stay/store/storetest"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

var errTest = errors.New("test")

// Without rules the wrapper is as good a store as the one inside.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func(*testing.T) store.Store {
			return func(*testing.T) store.Store { return storefault.Wrap(memstore.New(), nil) }
		},
		Shared: func(*testing.T) func(*testing.T) store.Store {
			handles := memstore.Shared(8)
			return func(*testing.T) store.Store {
				s := storefault.Wrap(handles[0], nil)
				handles = handles[1:]
				return s
			}
		},
	})
}

// wrapped returns a wrapper, closed at the end, and the store inside.
func wrapped(t *testing.T) (*storefault.Store, store.Store) {
	t.Helper()
	inner := memstore.New()
	s := storefault.Wrap(inner, nil)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, inner
}

func put(key string) store.Group {
	return store.Group{{Key: key, Value: []byte("value of " + key)}}
}

func revision(t *testing.T, s store.Store, key string) store.Revision {
	t.Helper()
	recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return recs[0].Revision
}

// Each outcome of a commit, with the contents of the wrapped store afterwards;
// the group beside the matching one is not affected.
func TestCommitOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		fault   storefault.Fault
		outcome store.Outcome
		err     error
		there   bool
	}{
		"fail":            {storefault.Fail(errTest), store.Rejected, errTest, false},
		"fail by default": {storefault.Fail(nil), store.Rejected, storefault.ErrInjected, false},
		"drop":            {storefault.Drop(errTest), store.Unknown, errTest, false},
		"lose ack":        {storefault.LoseAck(errTest), store.Unknown, errTest, true},
		"unavailable":     {storefault.LoseAck(nil), store.Unknown, store.ErrUnavailable, true},
		"nothing":         {storefault.Fault{}, store.Applied, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, inner := wrapped(t)
			s.Add(storefault.Rule{Op: storefault.Commit, Key: "b", Fault: c.fault})
			results := s.Commit(t.Context(), []store.Group{put("a"), put("b"), put("c")})
			if results[1].Outcome != c.outcome || !errors.Is(results[1].Err, c.err) {
				t.Errorf("matching group: %v (%v), want %v (%v)", results[1].Outcome, results[1].Err, c.outcome, c.err)
			}
			if there := revision(t, inner, "b") != 0; there != c.there {
				t.Errorf("record is there: %v, want %v", there, c.there)
			}
			for _, i := range []int{0, 2} {
				if results[i].Outcome != store.Applied {
					t.Errorf("group %d beside it: %v (%v), want applied", i, results[i].Outcome, results[i].Err)
				}
			}
			if revision(t, inner, "a") != results[0].Revisions[0] || revision(t, inner, "c") != results[2].Revisions[0] {
				t.Error("the results of the other groups were mixed up")
			}
		})
	}
}

func TestReadsFail(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{
		"fail": storefault.Fail(errTest), "drop": storefault.Drop(errTest), "lose ack": storefault.LoseAck(errTest),
		"late": storefault.Late(storefault.NewGate(), errTest),
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := wrapped(t)
			s.Add(storefault.Rule{Match: func(c storefault.Call) bool { return c.Op != storefault.Close }, Fault: fault})
			if _, err := s.Load(t.Context(), nil); !errors.Is(err, errTest) {
				t.Errorf("Load: %v", err)
			}
			if _, err := s.Expired(t.Context(), now, 1); !errors.Is(err, errTest) {
				t.Errorf("Expired: %v", err)
			}
			if _, err := s.List(t.Context(), now, "", "", 1); !errors.Is(err, errTest) {
				t.Errorf("List: %v", err)
			}
		})
	}
}

func TestSkipAndTimes(t *testing.T) {
	s, _ := wrapped(t)
	rule := s.Add(storefault.Rule{Op: storefault.Load, Key: "b", Skip: 1, Times: 2, Fault: storefault.Fail(errTest)})
	load := func(key string) error {
		_, err := s.Load(t.Context(), []store.Read{{Key: "x"}, {Key: key}})
		return err
	}
	for i, want := range []error{nil, errTest, errTest, nil} {
		if err := load("a"); err != nil {
			t.Errorf("Load of another key: %v", err)
		}
		if err := load("b"); !errors.Is(err, want) {
			t.Errorf("Load %d: %v, want %v", i, err, want)
		}
	}
	if rule.Hits() != 2 {
		t.Errorf("Hits = %d, want 2", rule.Hits())
	}
}

func TestMatchAndRemove(t *testing.T) {
	s, _ := wrapped(t)
	third := s.Add(storefault.Rule{
		Match: func(c storefault.Call) bool { return c.Op == storefault.Commit && c.N == 3 && c.Groups[0][0].Base == 0 },
		Fault: storefault.Fail(nil),
	})
	every := s.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
	for i, key := range []string{"a", "b", "c", "d"} {
		res := s.Commit(t.Context(), []store.Group{put(key)})[0]
		if rejected := res.Outcome == store.Rejected; rejected != (i == 2) {
			t.Errorf("commit %d: %v", i+1, res.Outcome)
		}
	}
	every.Remove()
	every.Remove()
	if _, err := s.Load(t.Context(), nil); err != nil {
		t.Errorf("Load after Remove: %v", err)
	}
	if third.Hits() != 1 || every.Hits() != 0 {
		t.Errorf("Hits = %d, %d, want 1, 0", third.Hits(), every.Hits())
	}
}

// Hooks see every call, rules or not, and Count agrees with them.
func TestHookAndCount(t *testing.T) {
	var mu sync.Mutex
	var calls []storefault.Call
	s := storefault.Wrap(memstore.New(), &storefault.Options{Hook: func(c storefault.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	}})
	s.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
	ctx := t.Context()
	s.Commit(ctx, []store.Group{put("a"), append(put("b"), put("c")...)})
	_, loaded := s.Load(ctx, []store.Read{{Key: "a"}, {Key: "b"}})
	_, loadedNone := s.Load(ctx, nil)
	_, expired := s.Expired(ctx, now, 1)
	_, listed := s.List(ctx, now, "prefix", "", 1)
	if err := errors.Join(loaded, loadedNone, expired, listed, s.Close()); err != nil {
		t.Fatal(err)
	}
	// After Close nothing is counted, nor does any rule apply.
	if res := s.Commit(ctx, []store.Group{put("a")})[0]; res.Outcome != store.Rejected || !errors.Is(res.Err, store.ErrClosed) {
		t.Errorf("Commit after Close: %v (%v), want rejected", res.Outcome, res.Err)
	}
	want := []storefault.Call{
		{Op: storefault.Commit, N: 1, Keys: []string{"a", "b", "c"}},
		{Op: storefault.Load, N: 1, Keys: []string{"a", "b"}},
		{Op: storefault.Load, N: 2},
		{Op: storefault.Expired, N: 1},
		{Op: storefault.List, N: 1, Keys: []string{"prefix"}},
		{Op: storefault.Close, N: 1},
	}
	if len(calls) != len(want) || s.Count(storefault.Any) != len(want) || s.Count(storefault.Load) != 2 {
		t.Fatalf("%d calls, Count %d and %d", len(calls), s.Count(storefault.Any), s.Count(storefault.Load))
	}
	for i, c := range calls {
		if c.Op != want[i].Op || c.N != want[i].N || !slices.Equal(c.Keys, want[i].Keys) {
			t.Errorf("call %d: %v %d %q, want %v %d %q", i, c.Op, c.N, c.Keys, want[i].Op, want[i].N, want[i].Keys)
		}
	}
	if len(calls[0].Groups) != 2 {
		t.Errorf("the hook saw %d groups, want 2", len(calls[0].Groups))
	}
}

// Proves C5.
func TestFeatures(t *testing.T) {
	override := &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate, f.Durable, f.List, f.Watch = false, true, true, true
		return f
	}}
	s := storefault.Wrap(memstore.New(), override)
	defer s.Close()
	want := memstore.New().Features()
	want.Immediate, want.Durable = false, true
	if got := s.Features(); got != want {
		t.Errorf("Features = %+v, want %+v", got, want)
	}
	// A store without List cannot be made to declare it.
	bare := storefault.Wrap(struct{ store.Store }{memstore.New()}, override)
	defer bare.Close()
	if bare.Features().List || bare.Features().Watch {
		t.Error("a wrapper around a store without List and Watch declares them")
	}
	if err := bare.Watch(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Watch: %v, want ErrUnsupported", err)
	}
	if _, err := bare.List(t.Context(), now, "", "", 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("List: %v, want ErrUnsupported", err)
	}
}

// Corrupt changes copies, and the wrapped store keeps its records.
func TestCorrupt(t *testing.T) {
	s, inner := wrapped(t)
	rule := s.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(r *store.Record) { r.Value[0] = '?' })})
	s.Commit(t.Context(), []store.Group{put("a")})
	for _, c := range []struct {
		s    store.Store
		want string
	}{{s, "?alue of a"}, {inner, "value of a"}} {
		recs, err := c.s.Load(t.Context(), []store.Read{{Key: "a"}, {Key: "absent"}})
		if err != nil || string(recs[0].Value) != c.want || recs[1].Revision != 0 {
			t.Errorf("Load = %q, %v; want %q", recs[0].Value, err, c.want)
		}
	}
	rule.Remove()
	if recs, _ := s.Load(t.Context(), []store.Read{{Key: "a"}}); string(recs[0].Value) != "value of a" {
		t.Errorf("Load after Remove = %q", recs[0].Value)
	}
}

// A delay takes its time before and after the work, and if its context ends
// during the delay, the outcome says whether the work was done.
func TestDelay(t *testing.T) {
	for name, c := range map[string]struct {
		timeout time.Duration
		outcome store.Outcome
		there   bool
		took    time.Duration
	}{
		"long enough":          {time.Hour, store.Applied, true, 5 * time.Second},
		"ends before the work": {time.Second, store.Rejected, false, time.Second},
		"ends after the work":  {3 * time.Second, store.Unknown, true, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, inner := wrapped(t)
				s.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(2*time.Second, 3*time.Second)})
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				start := time.Now()
				res := s.Commit(ctx, []store.Group{put("a")})[0]
				if res.Outcome != c.outcome || time.Since(start) != c.took {
					t.Errorf("%v after %v, want %v after %v", res.Outcome, time.Since(start), c.outcome, c.took)
				}
				if c.outcome != store.Applied && (!errors.Is(res.Err, context.DeadlineExceeded) || !errors.Is(res.Err, store.ErrUnavailable)) {
					t.Errorf("error is %v", res.Err)
				}
				if there := revision(t, inner, "a") != 0; there != c.there {
					t.Errorf("record is there: %v, want %v", there, c.there)
				}
			})
		})
	}
}

// A lost request and a lost answer look the same to the caller, and last as
// long as the caller waits.
func TestHang(t *testing.T) {
	for name, c := range map[string]struct {
		fault storefault.Fault
		there bool
	}{"request": {storefault.Hang(), false}, "answer": {storefault.HangAfter(), true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, inner := wrapped(t)
				s.Add(storefault.Rule{Fault: c.fault})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				for i, res := range s.Commit(ctx, []store.Group{put("a"), put("b")}) {
					if res.Outcome != store.Unknown || !errors.Is(res.Err, context.DeadlineExceeded) {
						t.Errorf("group %d: %v (%v), want unknown", i, res.Outcome, res.Err)
					}
				}
				if time.Since(start) != time.Minute {
					t.Errorf("took %v, want a minute", time.Since(start))
				}
				if there := revision(t, inner, "a") != 0; there != c.there {
					t.Errorf("record is there: %v, want %v", there, c.there)
				}
				if _, err := s.Load(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Load: %v", err)
				}
			})
		})
	}
}
