package stay_test

import (
	"context"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

func benchState(b *testing.B, persist stay.Strategy) *stay.State[testkit.Counter] {
	app := testkit.NewApp(b, memstore.New(), nil)
	return stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: persist})
}

func BenchmarkUpdate(b *testing.B) {
	s := benchState(b, stay.Global)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Update(ctx, testkit.Increment); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateSession(b *testing.B) {
	s := benchState(b, stay.PerSession)
	ctx := testkit.NewBrowser(s.App()).Ctx()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Update(ctx, testkit.Increment); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := benchState(b, stay.Global)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetSession(b *testing.B) {
	s := benchState(b, stay.PerSession)
	ctx := testkit.NewBrowser(s.App()).Ctx()
	if _, err := s.Update(ctx, testkit.Increment); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
