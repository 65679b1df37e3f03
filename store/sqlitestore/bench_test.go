//go:build unix

package sqlitestore_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

var (
	benchRows  = flag.Int("rows", 10_000, "how many records the benchmarks work on")
	benchValue = flag.Int("value", 120, "how many bytes a value of the benchmarks has")
)

// batches are how many groups a call of Commit has.
var batches = []int{1, 16, 64, 512}

// BenchmarkCommit writes single-write groups on random records, as the engine
// does. What counts is cpu-us/record; the elapsed time depends on the disk.
func BenchmarkCommit(b *testing.B) {
	for _, expiring := range []bool{false, true} {
		for _, size := range batches {
			b.Run(fmt.Sprintf("expiring=%v/batch=%d", expiring, size), func(b *testing.B) {
				s, revisions := filled(b, expiring)
				random := rand.New(rand.NewPCG(1, 2))
				meta := make([]byte, 20)
				groups := make([]store.Group, 0, size)
				chosen := make([]int, 0, size)
				durations := make([]time.Duration, 0, b.N)
				ctx := context.Background()
				before := cpu(b)
				b.ReportAllocs()
				b.ResetTimer()
				for n := range b.N {
					// SQLite does not write pages whose bytes stay.
					value := bytes.Repeat([]byte{byte(n)}, *benchValue)
					groups, chosen = groups[:0], chosen[:0]
					for start := random.IntN(len(revisions)); len(groups) < size; {
						// Distinct keys, spread over all the pages.
						i := (start + len(groups)*(len(revisions)/size)) % len(revisions)
						chosen = append(chosen, i)
						groups = append(groups, store.Group{{Key: benchKey(i), Base: revisions[i], Value: value, Meta: meta, Expires: benchExpiry(i, expiring)}})
					}
					start := time.Now()
					for j, r := range s.Commit(ctx, groups) {
						if r.Outcome != store.Applied {
							b.Fatalf("%+v", r)
						}
						revisions[chosen[j]] = r.Revisions[0]
					}
					durations = append(durations, time.Since(start))
				}
				b.StopTimer()
				reportCommits(b, size, durations, cpu(b)-before)
			})
		}
	}
}

// BenchmarkCreate writes the two records of sessions that are new, in random order.
func BenchmarkCreate(b *testing.B) {
	for _, size := range batches {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, revisions := filled(b, false)
			next := len(revisions)
			durations := make([]time.Duration, 0, b.N)
			before := cpu(b)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				groups := make([]store.Group, size)
				for i := range groups {
					groups[i] = store.Group{
						{Key: benchRecord(next), Value: make([]byte, *benchValue/2)},
						{Key: benchKey(next), Value: make([]byte, *benchValue), Meta: make([]byte, 20)},
					}
					next++
				}
				start := time.Now()
				for _, r := range s.Commit(context.Background(), groups) {
					if r.Outcome != store.Applied {
						b.Fatalf("%+v", r)
					}
				}
				durations = append(durations, time.Since(start))
			}
			b.StopTimer()
			reportCommits(b, size, durations, cpu(b)-before)
		})
	}
}

// reportCommits adds what commits of so many records each took.
func reportCommits(b *testing.B, size int, durations []time.Duration, used time.Duration) {
	records := float64(b.N * size)
	b.ReportMetric(float64(used)/1e3/records, "cpu-us/record")
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	slices.Sort(durations)
	b.ReportMetric(float64(durations[len(durations)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(durations[len(durations)*99/100].Microseconds()), "p99-us")
}

func BenchmarkLoad(b *testing.B) {
	s, _ := filled(b, false)
	ctx := context.Background()
	var seed atomic.Uint64
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		random := rand.New(rand.NewPCG(seed.Add(1), 2))
		for pb.Next() {
			records, err := s.Load(ctx, []store.Read{{Key: benchKey(random.IntN(*benchRows))}})
			if err != nil || records[0].Revision == 0 {
				b.Error(records, err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N), "cpu-us/get")
}

func BenchmarkExpired(b *testing.B) {
	s, _ := filled(b, true)
	for b.Loop() {
		records, err := s.Expired(context.Background(), benchTime.Add(90*time.Second), 100)
		if err != nil || len(records) == 0 {
			b.Fatal(len(records), err)
		}
	}
}

var benchTime = time.Unix(1_800_000_000, 0)

func benchKey(i int) string    { return "session/counter/" + benchID(i) }
func benchRecord(i int) string { return "stay/session/" + benchID(i) }
func benchID(i int) string     { return fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15) }

func benchExpiry(i int, expiring bool) time.Time {
	if !expiring {
		return time.Time{}
	}
	return benchTime.Add(time.Minute + time.Duration(i)*time.Second)
}

// filled opens a store with records in it and returns their revisions.
func filled(b *testing.B, expiring bool) (*sqlitestore.Store, []store.Revision) {
	s, err := sqlitestore.Open(filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	revisions := make([]store.Revision, *benchRows)
	for at := 0; at < len(revisions); {
		var groups []store.Group
		first := at
		for ; at < len(revisions) && len(groups) < 1000; at++ {
			groups = append(groups, store.Group{{Key: benchKey(at), Value: make([]byte, *benchValue), Meta: make([]byte, 20), Expires: benchExpiry(at, expiring)}})
		}
		for i, r := range s.Commit(context.Background(), groups) {
			if r.Outcome != store.Applied {
				b.Fatalf("%+v", r)
			}
			revisions[first+i] = r.Revisions[0]
		}
	}
	s.TrustFolder() // as when it has been open for a while
	return s, revisions
}

// cpu returns the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
