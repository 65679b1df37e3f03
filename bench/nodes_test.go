package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// newPostgres starts a PostgreSQL server that syncs each commit.
func newPostgres(b *testing.B) *pgserver.Server {
	b.Helper()
	dir, err := os.MkdirTemp("", "stay-bench-") // not below a folder that is for this process alone
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgserver.New(dir, "fsync=on", "max_wal_size=4GB")
	need.NoError(b, err, pgserver.ErrMissing)
	b.Cleanup(server.Stop)
	return server
}

// newNode opens an App on a database, through a proxy that makes it farther by a
// number of round-trip milliseconds if there are any.
func newNode(b *testing.B, database string, farther time.Duration) *stay.State[state] {
	b.Helper()
	if farther > 0 {
		u, err := url.Parse(database)
		if err != nil {
			b.Fatal(err)
		}
		proxy, err := faultnet.Listen(u.Host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(proxy.Close)
		proxy.Delay(farther / 2)
		u.Host = proxy.Address()
		database = u.String()
	}
	st, err := pgstore.Open(b.Context(), database)
	if err != nil {
		b.Fatal(err)
	}
	return onNode(b, st)
}

// onNode opens an App on a store.
func onNode(b *testing.B, st store.Store) *stay.State[state] {
	b.Helper()
	app := stay.New(st, nil)
	b.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return stay.Register(app, stay.Module[state]{Name: "counter", Initial: initial, Persist: stay.Global})
}

// BenchmarkNodesFairness has three nodes with eight callers each change one
// Global counter. The first two are near the database, the third is farther by a
// round trip of 3 ms. share is how many changes the worst node has got, as a
// part of a third of all; x-p99 compares the far node's p99 with that of the
// nearer ones.
func BenchmarkNodesFairness(b *testing.B) {
	const callers = 8
	for _, farther := range []time.Duration{0, 3 * time.Millisecond} {
		b.Run(fmt.Sprintf("farther=%v", farther), func(b *testing.B) {
			database, err := newPostgres(b).NewDatabase("fair")
			if err != nil {
				b.Fatal(err)
			}
			nodes := []*stay.State[state]{newNode(b, database, 0), newNode(b, database, 0), newNode(b, database, farther)}
			for _, node := range nodes {
				if _, err := node.Update(b.Context(), increment); err != nil {
					b.Fatal(err)
				}
			}
			var begun atomic.Int64
			took := make([][]time.Duration, len(nodes))
			var mu sync.Mutex
			var all sync.WaitGroup
			b.ResetTimer()
			for i, node := range nodes {
				for range callers {
					all.Go(func() {
						var mine []time.Duration
						for begun.Add(1) <= int64(b.N) {
							began := time.Now()
							if _, err := node.Update(b.Context(), increment); err != nil {
								b.Error(err)
								return
							}
							mine = append(mine, time.Since(began))
						}
						mu.Lock()
						defer mu.Unlock()
						took[i] = append(took[i], mine...)
					})
				}
			}
			all.Wait()
			b.StopTimer()
			least, p99 := b.N, make([]time.Duration, len(nodes))
			for i := range took {
				least = min(least, len(took[i]))
				if p99[i] = -1; len(took[i]) > 0 {
					slices.Sort(took[i])
					p99[i] = took[i][len(took[i])*99/100]
				}
			}
			got, err := nodes[0].Get(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N+len(nodes)-got.Count), "lost")
			b.ReportMetric(float64(least)/(float64(b.N)/float64(len(nodes))), "share")
			b.ReportMetric(float64(len(took[2]))/(float64(b.N)/float64(len(nodes))), "share-far")
			b.ReportMetric(float64(p99[2])/float64(max(p99[0], p99[1])), "x-p99")
			b.ReportMetric(float64(p99[2].Microseconds())/1000, "far-p99-ms")
		})
	}
}

// BenchmarkNodesVisible takes the time from the answer to a change on one node to
// an answer on another that shows it.
func BenchmarkNodesVisible(b *testing.B) {
	database, err := newPostgres(b).NewDatabase("visible")
	if err != nil {
		b.Fatal(err)
	}
	writer, reader := newNode(b, database, 0), newNode(b, database, 0)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		s, err := writer.Update(b.Context(), increment)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		seen, err := reader.Get(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if seen.Count < s.Count {
			b.Fatal("another node does not see what was answered") // N1
		}
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// BenchmarkNodesWatched takes the time from the beginning of a change on one node
// to a loop over Watch on another that has it, and from its answer. The changes come
// at moments that have nothing to do with when a store looks.
func BenchmarkNodesWatched(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) (writer, reader *stay.State[state]){
		"postgres": func(b *testing.B) (writer, reader *stay.State[state]) {
			database, err := newPostgres(b).NewDatabase("watched")
			if err != nil {
				b.Fatal(err)
			}
			return newNode(b, database, 0), newNode(b, database, 0)
		},
		"sqlite": func(b *testing.B) (writer, reader *stay.State[state]) {
			path := filepath.Join(b.TempDir(), "app.db")
			var nodes [2]*stay.State[state]
			for i := range nodes {
				st, err := sqlitestore.Open(path, sqlitestore.Shared())
				if err != nil {
					b.Fatal(err)
				}
				nodes[i] = onNode(b, st)
			}
			return nodes[0], nodes[1]
		},
	} {
		b.Run(name, func(b *testing.B) {
			writer, reader := open(b)
			watched(b, writer, reader)
		})
	}
}

func watched(b *testing.B, writer, reader *stay.State[state]) {
	ctx, cancel := context.WithCancel(b.Context())
	seen, ended := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for s, err := range reader.Watch(ctx) {
			if err != nil {
				b.Error(err)
				return
			}
			seen <- s.Count
		}
	}()
	defer func() {
		cancel()
		<-ended
	}()
	<-seen
	for range 3 { // until changes are announced
		if _, err := writer.Update(ctx, increment); err != nil {
			b.Fatal(err)
		}
		<-seen
	}
	whole, answered := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		<-time.After(rand.N(60 * time.Millisecond))
		began := time.Now()
		s, err := writer.Update(ctx, increment)
		if err != nil {
			b.Fatal(err)
		}
		answer := time.Now()
		for count := <-seen; count < s.Count; count = <-seen {
		}
		whole, answered = append(whole, time.Since(began)), append(answered, time.Since(answer))
	}
	b.StopTimer()
	slices.Sort(whole)
	slices.Sort(answered)
	for name, took := range map[string][]time.Duration{"": whole, "answered-": answered} {
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, name+"p99-ms")
	}
}
