package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/store/pgstore"
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
	if errors.Is(err, pgserver.ErrMissing) && os.Getenv("STAY_TEST_REQUIRE") == "" {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
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
