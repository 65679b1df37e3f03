package stay_test

import (
	"context"
	"strconv"
	"sync"
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

// BenchmarkUpdateWatched is an Update of a state that many watch, each in its own
// goroutine. They share the processor with it.
func BenchmarkUpdateWatched(b *testing.B) {
	for _, watchers := range []int{1, 8, 100, 5000} {
		b.Run(strconv.Itoa(watchers), func(b *testing.B) {
			s := benchState(b, stay.Global)
			ctx, cancel := context.WithCancel(context.Background())
			var all, begun sync.WaitGroup
			begun.Add(watchers)
			for range watchers {
				all.Go(func() {
					first := sync.OnceFunc(begun.Done)
					for _, err := range s.Watch(ctx) {
						if err != nil {
							b.Error(err)
						}
						first()
					}
				})
			}
			begun.Wait()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Update(ctx, testkit.Increment); err != nil {
					b.Fatal(err)
				}
			}
			cancel()
			all.Wait()
		})
	}
}
