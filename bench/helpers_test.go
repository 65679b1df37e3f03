package bench_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// A keyed state is one that needs no session: [stay.State.At] reaches it by
// its key. It has about 30 bytes as well.
type keyed struct {
	ID    string `json:"id" stay:"key"`
	Count int    `json:"count"`
}

var keyedModule = stay.Module[keyed]{
	Name:    "keyed",
	Persist: stay.WithKey(func(k *keyed) string { return k.ID }),
}

// incrementAt adds one to the state under a key, which need not be there yet.
func incrementAt(ctx context.Context, states *stay.State[keyed], key string) error {
	_, err := states.At(key).Update(ctx, func(k *keyed) error {
		k.ID = key
		k.Count++
		return nil
	})
	return err
}

var stores = []struct {
	name string
	open func(b *testing.B) store.Store
}{
	{"memory", func(*testing.B) store.Store { return memstore.New() }},
	{"sqlite", func(b *testing.B) store.Store { return openSQLite(b, filepath.Join(b.TempDir(), "bench.db")) }},
}

func openSQLite(b *testing.B, path string) *sqlitestore.Store {
	b.Helper()
	st, err := sqlitestore.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// newApp returns an App that ends with the benchmark.
func newApp(b *testing.B, st store.Store, options stay.Options) *stay.App {
	options.MaxNewSessions = 1_000_000 // all of them begin at once
	app := stay.New(st, &options)
	b.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return app
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

// run calls fn b.N times from several goroutines; fn gets the number of its
// goroutine and that of the call. Beside the time that goes by it reports the
// processor time of the process, which depends less on what else the machine
// does.
func run(b *testing.B, goroutines int, fn func(goroutine, call int) error) {
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu.Used()
	err := spread(goroutines, b.N, fn)
	b.StopTimer()
	b.ReportMetric(float64(cpu.Used()-before)/float64(b.N), "cpu-ns/op")
	if err != nil {
		b.Fatal(err)
	}
}

// spread makes calls from several goroutines, each of which stops at its first
// error.
func spread(goroutines, calls int, fn func(goroutine, call int) error) error {
	if goroutines == 1 {
		for i := range calls {
			if err := fn(0, i); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	failures := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for failures[g] == nil {
				i := int(next.Add(1)) - 1
				if i >= calls {
					return
				}
				failures[g] = fn(g, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// percentile returns what so many percent of the times are not above. It sorts
// them.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)*percent/100]
}

// reportTimes reports the median and the tail of single calls.
func reportTimes(b *testing.B, times []time.Duration) {
	b.ReportMetric(float64(percentile(times, 50)), "p50-ns")
	b.ReportMetric(float64(percentile(times, 99)), "p99-ns")
}
