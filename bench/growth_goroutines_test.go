package bench_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay"
)

// BenchmarkGoroutines shows what many callers at the same time cost each
// other. Own: each has a state of its own. Shared: all have the same, which
// readers do not wait for.
func BenchmarkGoroutines(b *testing.B) {
	for _, st := range stores {
		for _, goroutines := range []int{1, 4, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", st.name, goroutines), func(b *testing.B) {
				states := stay.Register(newApp(b, st.open(b), stay.Options{}), keyedModule)
				if err := spread(goroutines, goroutines, func(_, i int) error { return incrementAt(b.Context(), states, number(i)) }); err != nil {
					b.Fatal(err)
				}
				b.Run("Update/own", func(b *testing.B) {
					run(b, goroutines, func(g, _ int) error { return incrementAt(b.Context(), states, number(g)) })
				})
				b.Run("Update/shared", func(b *testing.B) {
					run(b, goroutines, func(int, int) error { return incrementAt(b.Context(), states, number(0)) })
				})
				if st.name != "memory" {
					return // a read does not ask the store
				}
				b.Run("Get/own", func(b *testing.B) {
					run(b, goroutines, func(g, _ int) error {
						_, err := states.At(number(g)).Get(b.Context())
						return err
					})
				})
				b.Run("Get/shared", func(b *testing.B) {
					run(b, goroutines, func(int, int) error {
						_, err := states.At(number(0)).Get(b.Context())
						return err
					})
				})
			})
		}
	}
}
