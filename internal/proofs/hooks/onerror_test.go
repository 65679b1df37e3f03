package hooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// An ender is an OnError that ends its goroutine, as t.Fatal does.
type ender struct{ calls atomic.Int64 }

func (e *ender) hook(*stay.Call, *stay.Error) {
	e.calls.Add(1)
	runtime.Goexit()
}

var discard = slog.New(slog.DiscardHandler)

// wantCalls fails the test unless the hook was called so often since it was last
// asked.
func (e *ender) wantCalls(t *testing.T, want int64) {
	t.Helper()
	if n := e.calls.Swap(0); n != want {
		t.Errorf("OnError was called %d times, want %d", n, want)
	}
}

// An OnError that ends its goroutine while several states are loaded in one
// call keeps none of them from being loaded again.
//
// Proves A21, N1.
func TestOnErrorEndsItsGoroutineInALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, e := memstore.Shared(2), &ender{}
		here := testkit.NewApp(t, shared[0], nil)
		f := storefault.Wrap(shared[1], nil)
		there := testkit.NewApp(t, f, &stay.Options{OnError: e.hook, Logger: discard})
		m := stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession}
		mine, theirs := stay.Register(here, m), stay.Register(there, m)
		b := testkit.NewBrowser(here)
		testkit.MustUpdate(t, b.Ctx(), mine)
		if _, err := theirs.Get(testkit.NewBrowser(there).Ctx()); err != nil { // the keys
			t.Fatal(err)
		}
		bad := f.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		_, err := theirs.Get(b.On(there).Ctx())
		testkit.WantCode(t, err, stay.ErrUnavailable)
		if e.calls.Swap(0) == 0 {
			t.Error("OnError was not called")
		}
		bad.Remove()
		began := time.Now()
		testkit.WantCount(t, b.On(there).Ctx(), theirs, 1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the next read took %v", took)
		}
		testkit.WantClosed(t, there)
	})
}

// One that does so when OnDestroyed has panicked keeps no other state from
// leaving memory, and Close from nothing.
//
// Proves A21.
func TestOnErrorEndsItsGoroutineAfterOnDestroyed(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		e, destroyed := &ender{}, 0
		app := testkit.NewApp(t, s, &stay.Options{OnError: e.hook, Logger: discard})
		states := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "s", Persist: stay.PerSession,
			OnDestroyed: func(*stay.Call, *testkit.Counter) {
				destroyed++
				panic("no")
			},
		})
		for range 3 {
			testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), states)
		}
		evicted := make(chan struct{})
		go func() { defer close(evicted); access.AppOf(app).Evict(false) }()
		synctest.Wait()
		select {
		case <-evicted:
		default:
			t.Error("Evict waits")
		}
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), states)
		testkit.WantClosed(t, app)
		if destroyed != 4 {
			t.Errorf("OnDestroyed was called %d times, want 4", destroyed)
		}
		e.wantCalls(t, 4)
	})
}

// One that does so when a save has failed does not stop the save: it is tried
// again, and callers that wait for it get the error.
//
// Proves A14, A21.
func TestOnErrorEndsItsGoroutineAfterASave(t *testing.T) {
	e := &ender{}
	testkit.InBubbles(t, stay.Options{OnError: e.hook, Logger: discard}, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		bad := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil)})
		testkit.MustUpdate(t, t.Context(), s)
		evicted := make(chan struct{})
		go func() { defer close(evicted); access.AppOf(app).Evict(false) }()
		synctest.Wait()
		select {
		case <-evicted:
		default:
			t.Error("Evict waits for a save that has failed")
		}
		e.wantCalls(t, 1)
		bad.Remove()
		testkit.Sleep(time.Second)
		testkit.WantCount(t, t.Context(), s, 1)
		testkit.MustUpdate(t, t.Context(), s)
		testkit.WantClosed(t, app)
		e.wantCalls(t, 0)
		if rec := testkit.RecordAt(t, mem, time.Now(), "global/s/"); string(rec.Value) != `{"count":2,"label":""}` {
			t.Errorf("stored: %s", rec.Value)
		}
	})
}

// An endingStore ends the goroutine of the first caller of Expired.
type endingStore struct {
	store.Store
	ends bool
}

func (s *endingStore) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if s.ends {
		s.ends = false
		runtime.Goexit()
	}
	return s.Store.Expired(ctx, now, limit)
}

// Neither one that does so when a sweep has failed, nor a step or a store that
// does, keeps the next sweeps from coming.
//
// Proves A15, A21.
func TestGoroutinesThatEndInASweepKeepTheNextFromNothing(t *testing.T) {
	end := func(old json.RawMessage) (json.RawMessage, error) { runtime.Goexit(); return old, nil }
	for name, c := range map[string]struct {
		module stay.Module[testkit.Counter]
		first  string // what expires first, as version 1
		store  bool   // ends the first look for it
		told   int64
		left   int
	}{
		"OnError": {first: `{`, told: 1, left: 1},
		"a step":  {module: stay.Module[testkit.Counter]{Version: 2, Migrate: testkit.Steps{1: end}}, first: `{}`, told: 1, left: 1},
		"a store": {first: `{}`, store: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, e, expired := memstore.New(), &ender{}, 0
				app := testkit.NewApp(t, &endingStore{s, c.store}, &stay.Options{OnError: e.hook, Logger: discard})
				m := c.module
				m.Name, m.Persist, m.Expiry = "offer", stay.Global, time.Minute
				m.OnExpire = func(*stay.Call, *testkit.Counter) { expired++ }
				stay.Register(app, m)
				put := func(version int, value string) {
					t.Helper()
					res := s.Commit(t.Context(), []store.Group{{{
						Key: "global/offer/", Version: version, Value: []byte(value), Expires: time.Now().Add(time.Minute),
					}}})
					if res[0].Outcome != store.Applied {
						t.Fatal(res[0])
					}
				}
				put(1, c.first)
				testkit.Sleep(6 * time.Minute)
				e.wantCalls(t, c.told)
				expired = 0
				put(max(m.Version, 1), `{}`)
				testkit.Sleep(6 * time.Minute)
				if left := testkit.AllRows(t, s); expired != 1 || len(left) != c.left {
					t.Errorf("OnExpire was called %d times, left: %q", expired, left)
				}
				e.wantCalls(t, 0)
				testkit.WantClosed(t, app)
			})
		})
	}
}

// An OnError that fails itself is logged, in whatever way it does.
//
// Proves A21.
func TestOnErrorThatFailsIsLogged(t *testing.T) {
	for want, fail := range map[string]func(){
		"OnError panicked":            func() { panic("no") },
		"OnError ended its goroutine": runtime.Goexit,
	} {
		t.Run(want, func(t *testing.T) {
			var log bytes.Buffer
			f := storefault.Wrap(memstore.New(), nil)
			app := testkit.NewApp(t, f, &stay.Options{
				OnError: func(*stay.Call, *stay.Error) { fail() },
				Logger:  slog.New(slog.NewTextHandler(&log, nil)),
			})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
			f.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
			_, err := s.Get(t.Context())
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "module=s") {
				t.Errorf("logged: %s", log.String())
			}
		})
	}
}
