package inspect_test

import (
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/store/memstore"
)

// BenchmarkUpdate compares changes of an App with and without an inspector.
func BenchmarkUpdate(b *testing.B) {
	for name, with := range map[string]bool{"without": false, "with": true} {
		b.Run(name, func(b *testing.B) {
			app := stay.New(memstore.New(), nil)
			defer app.Close(b.Context())
			s := stay.Register(app, stay.Module[Hits]{Name: "hits", Persist: stay.Global})
			if with {
				inspect.Handler(app, everybody, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Update(b.Context(), func(h *Hits) error { h.N++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
