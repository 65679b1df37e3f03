package once_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
)

// Changes of a state without names, of one that keeps as many as it can, and
// changes that have a name: where state is only in memory, and in memstore, which
// keeps the bytes of a record as they are.
func BenchmarkOnce(b *testing.B) {
	for _, on := range []string{"memory", "memstore"} {
		for _, mode := range []string{"unnamed", "kept", "named"} {
			b.Run(on+"/"+mode, func(b *testing.B) {
				app := testkit.NewApp(b, memstore.New(), nil)
				m := stay.Module[testkit.Counter]{Name: "counter", Persist: stay.PerSession}
				if on == "memory" {
					m.Persist = nil
				}
				counter := stay.Register(app, m)
				ctx := testkit.NewBrowser(app).Ctx()
				n := 0
				named := func() context.Context {
					n++
					return stay.Once(ctx, "4b9f8a4e-5c0d-4f0e-9d57-"+strconv.Itoa(n))
				}
				update := func(ctx context.Context) {
					if _, err := counter.Update(ctx, testkit.Increment); err != nil {
						b.Fatal(err)
					}
				}
				if update(ctx); mode != "unnamed" {
					for range 1000 {
						update(named())
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					if mode == "named" {
						update(named())
					} else {
						update(ctx)
					}
				}
			})
		}
	}
}
