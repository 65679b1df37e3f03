package once_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// Changes of a state without names, of one that keeps as many as it can, and
// changes that have a name: where state is only in memory, in memstore, which
// keeps the bytes of a record as they are, and on a disk.
func BenchmarkOnce(b *testing.B) {
	for _, on := range []string{"memory", "memstore", "sqlite"} {
		for _, mode := range []string{"unnamed", "kept", "named"} {
			b.Run(on+"/"+mode, func(b *testing.B) {
				var s store.Store = memstore.New()
				if on == "sqlite" {
					disk, err := sqlitestore.Open(filepath.Join(b.TempDir(), "bench.db"))
					if err != nil {
						b.Fatal(err)
					}
					s = disk
				}
				app := testkit.NewApp(b, s, nil)
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
