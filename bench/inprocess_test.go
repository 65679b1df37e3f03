package bench_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stay-go/stay"
)

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

// BenchmarkUpdate is one increment, from the call until it is durable.
func BenchmarkUpdate(b *testing.B) { each(b, true, update) }

func update(b *testing.B, counter *stay.State[state], contexts []context.Context, goroutines int) {
	before := total(b, counter, contexts)
	run(b, goroutines, func(g, _ int) error {
		_, err := counter.Update(contexts[g%len(contexts)], increment)
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
		run(b, goroutines, func(g, _ int) error {
			_, err := counter.Get(contexts[g%len(contexts)])
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
					continue // Global has one key; BenchmarkGoroutines has many readers
				}
				b.Run(fmt.Sprintf("%s/%s/%s", st.name, strategy.name, c.name), func(b *testing.B) {
					app := newApp(b, st.open(b), stay.Options{})
					counter := stay.Register(app, stay.Module[state]{Name: "counter", Initial: initial, Persist: strategy.persist})
					fn(b, counter, sessions(b, app, counter, c.keys), c.goroutines)
				})
			}
		}
	}
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
			run(b, c.goroutines, func(g, _ int) error {
				name := names[g%len(names)]
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
			run(b, 1, func(int, int) error {
				mu.Lock()
				s = states[names[0]]
				mu.Unlock()
				return nil
			})
			runtime.KeepAlive(s)
		})
	}
}
