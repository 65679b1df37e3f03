package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/bench/internal/cpu"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// A state is flat and has about 30 bytes when it is encoded.
type state struct {
	Count int    `json:"count"`
	Name  string `json:"name"`
}

var initial = state{Name: "counter"}

func increment(s *state) error {
	s.Count++
	return nil
}

// callers are how many goroutines call at the same time, on how many keys.
var callers = []struct {
	name             string
	goroutines, keys int
}{
	{"callers=1", 1, 1},
	{"callers=64/keys=1", 64, 1},
	{"callers=64/keys=64", 64, 64},
}

var strategies = []struct {
	name    string
	persist stay.Strategy
}{
	{"PerSession", stay.PerSession},
	{"Global", stay.Global},
}

var stores = []struct {
	name string
	open func(b *testing.B) store.Store
}{
	{"memory", func(*testing.B) store.Store { return memstore.New() }},
	{"sqlite", func(b *testing.B) store.Store {
		st, err := sqlitestore.Open(filepath.Join(b.TempDir(), "bench.db"))
		if err != nil {
			b.Fatal(err)
		}
		return st
	}},
}

// BenchmarkUpdate is one increment, from the call until it is durable.
func BenchmarkUpdate(b *testing.B) { each(b, true, update) }

func update(b *testing.B, counter *stay.State[state], contexts []context.Context, goroutines int) {
	before := total(b, counter, contexts)
	run(b, goroutines, func(i int) error {
		_, err := counter.Update(contexts[i%len(contexts)], increment)
		return err
	})
	if got := total(b, counter, contexts) - before; got != b.N {
		b.Fatalf("%d updates counted to %d", b.N, got)
	}
}

// BenchmarkGet is one read of a state that is in memory. SQLite shows that
// the store is not asked.
func BenchmarkGet(b *testing.B) {
	each(b, false, func(b *testing.B, counter *stay.State[state], contexts []context.Context, goroutines int) {
		run(b, goroutines, func(i int) error {
			_, err := counter.Get(contexts[i%len(contexts)])
			return err
		})
	})
}

// each runs a benchmark for every store, strategy and number of callers.
func each(b *testing.B, hot bool, fn func(*testing.B, *stay.State[state], []context.Context, int)) {
	for _, st := range stores {
		for _, strategy := range strategies {
			for _, c := range callers {
				if c.keys > 1 && strategy.persist == stay.Global || c.goroutines > 1 && !hot {
					continue // Global has one key; readers do not wait for each other
				}
				b.Run(fmt.Sprintf("%s/%s/%s", st.name, strategy.name, c.name), func(b *testing.B) {
					app := stay.New(st.open(b), &stay.Options{MaxNewSessions: 1_000_000})
					b.Cleanup(func() {
						if err := app.Close(context.Background()); err != nil {
							b.Error(err)
						}
					})
					counter := stay.Register(app, stay.Module[state]{Name: "counter", Initial: initial, Persist: strategy.persist})
					fn(b, counter, sessions(b, app, counter, c.keys), c.goroutines)
				})
			}
		}
	}
}

// sessions returns the contexts of n sessions that have a stored state.
func sessions(b *testing.B, app *stay.App, counter *stay.State[state], n int) []context.Context {
	contexts := make([]context.Context, n)
	for i := range contexts {
		var err error
		handler := web.Sessions(app, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			contexts[i] = stay.WithSession(context.Background(), stay.SessionFrom(r.Context()))
			_, err = counter.Update(r.Context(), increment)
		}))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", http.NoBody))
		if err != nil {
			b.Fatal(err)
		}
	}
	return contexts
}

func total(b *testing.B, counter *stay.State[state], contexts []context.Context) (n int) {
	for _, ctx := range contexts {
		s, err := counter.Get(ctx)
		if err != nil {
			b.Fatal(err)
		}
		n += s.Count
	}
	return n
}

// run calls fn b.N times from several goroutines, each with its own number.
// Beside the time that goes by it reports the processor time of the process,
// which depends less on what else the machine does.
func run(b *testing.B, goroutines int, fn func(i int) error) {
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu.Used()
	defer func() { b.ReportMetric(float64(cpu.Used()-before)/float64(b.N), "cpu-ns/op") }()
	if goroutines == 1 {
		for range b.N {
			if err := fn(0); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		return
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	failures := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for failures[i] == nil && left.Add(-1) >= 0 {
				failures[i] = fn(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if err := errors.Join(failures...); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMapMutex is what a program without Stay does, to compare with: a
// map of states behind a mutex, lost when the process ends.
func BenchmarkMapMutex(b *testing.B) {
	for _, c := range callers {
		var mu sync.Mutex
		states := map[string]state{}
		names := make([]string, c.keys)
		for i := range names {
			names[i] = fmt.Sprintf("session %d", i)
			states[names[i]] = initial
		}
		b.Run("Update/"+c.name, func(b *testing.B) {
			run(b, c.goroutines, func(i int) error {
				name := names[i%len(names)]
				mu.Lock()
				defer mu.Unlock()
				s := states[name]
				err := increment(&s)
				states[name] = s
				return err
			})
		})
		if c.goroutines > 1 {
			continue
		}
		b.Run("Get/"+c.name, func(b *testing.B) {
			var s state
			run(b, 1, func(int) error {
				mu.Lock()
				s = states[names[0]]
				mu.Unlock()
				return nil
			})
			runtime.KeepAlive(s)
		})
	}
}
