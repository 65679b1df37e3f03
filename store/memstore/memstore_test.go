package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storetest"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// Proves C1, C2, C3, C4, C5, C6, C7.
func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func(*testing.T) store.Store {
			return func(*testing.T) store.Store { return memstore.New() }
		},
		Shared: func(*testing.T) func(*testing.T) store.Store {
			handles := memstore.Shared(8)
			return func(t *testing.T) store.Store {
				if len(handles) == 0 {
					t.Fatal("a rule opened more handles than the harness has")
				}
				s := handles[0]
				handles = handles[1:]
				return s
			}
		},
	})
}

// Proves C5.
func TestFeatures(t *testing.T) {
	want := store.Features{SoleOwner: true, Groups: true, Expire: true, List: true, Watch: true, Immediate: true}
	if got := memstore.New().Features(); got != want {
		t.Errorf("New: %+v, want %+v", got, want)
	}
	want.SoleOwner, want.Immediate = false, false
	for _, s := range memstore.Shared(2) {
		if got := s.Features(); got != want {
			t.Errorf("Shared: %+v, want %+v", got, want)
		}
	}
}

// A call whose context has ended does nothing, and says so.
//
// Proves C6.
func TestCancelled(t *testing.T) {
	s := memstore.New()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res := s.Commit(ctx, []store.Group{{{Key: "key"}}})[0]
	if res.Outcome != store.Rejected || !errors.Is(res.Err, context.Canceled) || !errors.Is(res.Err, store.ErrUnavailable) {
		t.Errorf("Commit: %v (%v), want rejected", res.Outcome, res.Err)
	}
	if _, err := s.Load(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	if _, err := s.Expired(ctx, now, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Expired: %v", err)
	}
	if _, err := s.List(ctx, now, "", "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v", err)
	}
	if keys, err := s.List(t.Context(), now, "", "", 1); err != nil || len(keys) != 0 {
		t.Errorf("a rejected write is there: %q, %v", keys, err)
	}
}

// Records are found by the minute in which they expire, in whatever order
// they came and moved, also before 1970.
//
// Proves C4.
func TestExpiredByMinute(t *testing.T) {
	s := memstore.New()
	at := map[string]time.Time{}
	put := func(key string, expires time.Time) {
		t.Helper()
		recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
		if err != nil {
			t.Fatal(err)
		}
		w := store.Write{Key: key, Base: recs[0].Revision, Expires: expires}
		if res := s.Commit(t.Context(), []store.Group{{w}})[0]; res.Outcome != store.Applied {
			t.Fatalf("put %q: %v", key, res.Outcome)
		}
		at[key] = expires
	}
	minutes := []int{5, 1, 3, -40_000_000, 2, 4, 3, 1, 0, -1}
	for round := range 3 {
		for i := range 20 {
			m := minutes[(i+round)%len(minutes)]
			put(fmt.Sprint("key", i), now.Add(time.Duration(m)*time.Minute+time.Duration(i)*time.Second))
		}
		put(fmt.Sprint("key", round), time.Time{})
		for m := -2; m < 8; m++ {
			when := now.Add(time.Duration(m) * time.Minute)
			recs, err := s.Expired(t.Context(), when, 1000)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, rec := range recs {
				if found[rec.Key] || !rec.Expired(when) || !rec.Expires.Equal(at[rec.Key]) {
					t.Errorf("minute %d: Expired returned %q, which expires at %v", m, rec.Key, rec.Expires)
				}
				found[rec.Key] = true
			}
			for key, expires := range at {
				due := !expires.IsZero() && !expires.After(when.Add(-time.Minute))
				if due && !found[key] {
					t.Errorf("minute %d: Expired missed %q, which expired at %v", m, key, expires)
				}
			}
		}
	}
}

// A record that left a minute and came back to it is found once, and minutes
// before 1970 are as long as others.
//
// Proves C4.
func TestExpiredMinuteAgain(t *testing.T) {
	s := memstore.New()
	var rev store.Revision
	for _, expires := range []time.Time{time.Unix(-30, 0), {}, time.Unix(600, 0), time.Unix(-30, 0)} {
		w := store.Write{Key: "key", Base: rev, Expires: expires}
		res := s.Commit(t.Context(), []store.Group{{w}})[0]
		if res.Outcome != store.Applied {
			t.Fatalf("put: %v", res.Outcome)
		}
		rev = res.Revisions[0]
	}
	recs, err := s.Expired(t.Context(), time.Unix(31, 0), 10)
	if err != nil || len(recs) != 1 || recs[0].Revision != rev {
		t.Errorf("Expired = %+v, %v; want the record once", recs, err)
	}
}

// List lets other calls in while it runs, and a key that exists all the time is
// listed once.
func TestListWhileChanging(t *testing.T) {
	const n = 20_000
	s := memstore.New()
	for i := range n {
		s.Commit(t.Context(), []store.Group{{{Key: fmt.Sprintf("stays%05d", i)}}})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			key := fmt.Sprintf("comes and goes%d", i%1000)
			res := s.Commit(t.Context(), []store.Group{{{Key: key}}})[0]
			s.Commit(t.Context(), []store.Group{{{Op: store.Delete, Key: key, Base: res.Revisions[0]}}})
		}
	})
	for range 5 {
		keys, err := s.List(t.Context(), now, "stays", "", n+1)
		if err != nil || len(keys) != n {
			t.Errorf("%d keys, %v; want %d", len(keys), err, n)
		}
	}
	close(stop)
	wg.Wait()
}

// A commit of one write makes the two slices of its answer and nothing else.
func TestAllocations(t *testing.T) {
	s := memstore.New()
	groups := []store.Group{{{Key: "key", Value: []byte("value")}}}
	reads := []store.Read{{Key: "key"}}
	commit := func() {
		res := s.Commit(context.Background(), groups)
		groups[0][0].Base = res[0].Revisions[0]
	}
	commit()
	if n := testing.AllocsPerRun(100, commit); n > 2 {
		t.Errorf("Commit makes %v allocations, want 2", n)
	}
	load := func() {
		if _, err := s.Load(context.Background(), reads); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, load); n > 1 {
		t.Errorf("Load makes %v allocations, want 1", n)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, expiring := range []bool{false, true} {
		b.Run(fmt.Sprintf("expiring=%v", expiring), func(b *testing.B) {
			s := memstore.New()
			w := store.Write{Key: "key", Value: make([]byte, 100)}
			if expiring {
				w.Expires = now.Add(time.Hour)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.Base = s.Commit(context.Background(), []store.Group{{w}})[0].Revisions[0]
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	s := memstore.New()
	rev := s.Commit(context.Background(), []store.Group{{{Key: "key", Value: make([]byte, 100)}}})[0].Revisions[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(context.Background(), []store.Read{{Key: "key", Have: rev}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExpired has a million records, of which one in a thousand has
// expired.
func BenchmarkExpired(b *testing.B) {
	s := memstore.New()
	groups := make([]store.Group, 0, 1000)
	for i := range 1_000_000 {
		expires := now.Add(24*time.Hour + time.Duration(i)*time.Second)
		if i%1000 == 0 {
			expires = now.Add(-time.Hour)
		}
		groups = append(groups, store.Group{{Key: fmt.Sprint("key", i), Expires: expires}})
		if len(groups) == cap(groups) {
			s.Commit(context.Background(), groups)
			groups = groups[:0]
		}
	}
	b.ResetTimer()
	for b.Loop() {
		if recs, err := s.Expired(context.Background(), now, 100); err != nil || len(recs) != 100 {
			b.Fatal(len(recs), err)
		}
	}
}
