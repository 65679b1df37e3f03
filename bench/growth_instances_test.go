package bench_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/bench/internal/cpu"
	"github.com/stay-go/stay/store/memstore"
)

// BenchmarkInstances shows what the number of states in memory costs: reads
// and changes of any of them, at random. B/instance is what each takes of the
// heap, its record in the memory store included, and create-cpu-ns the
// processor time that making one took.
func BenchmarkInstances(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			before, began := heap(), cpu.Used()
			states := stay.Register(newApp(b, memstore.New(), stay.Options{MaxInstances: 2 * n, MaxBytes: 16 << 30}), keyedModule)
			err := spread(runtime.GOMAXPROCS(0), n, func(_, i int) error { return incrementAt(b.Context(), states, number(i)) })
			if err != nil {
				b.Fatal(err)
			}
			created := float64(cpu.Used()-began) / float64(n)
			each := float64(heap()-before) / float64(n)
			b.Run("Get", func(b *testing.B) {
				run(b, 1, func(int, int) error {
					_, err := states.At(number(rand.IntN(n))).Get(b.Context())
					return err
				})
				b.ReportMetric(each, "B/instance")
				b.ReportMetric(created, "create-cpu-ns")
			})
			b.Run("Update", func(b *testing.B) {
				run(b, 1, func(int, int) error { return incrementAt(b.Context(), states, number(rand.IntN(n))) })
			})
		})
	}
}

// number returns a key; all have the same length.
func number(i int) string { return fmt.Sprintf("key-%08d", i) }

// heap returns how many bytes of the heap are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
