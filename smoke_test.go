package stay_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store/memstore"
)

type counter struct {
	Count int    `json:"count"`
	Label string `json:"label" stay:"preserve"`
}

func TestSmoke(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	g := stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global})
	p := stay.Register(app, stay.Module[counter]{Name: "p", Persist: stay.PerSession})
	e := stay.Register(app, stay.Module[counter]{Name: "e"})
	b := bridge.AppOf(app)
	ring := b.Keyring(nil)
	ctx := b.Begin(context.Background(), ring, "", nil)
	for _, s := range []*stay.State[counter]{g, p, e} {
		var wg sync.WaitGroup
		for range 64 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 100 {
					if _, err := s.Update(ctx, func(c *counter) error { c.Count++; return nil }); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
		c, err := s.Get(ctx)
		if err != nil || c.Count != 6400 {
			t.Error(s.Name(), c, err)
		}
	}
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Error(err)
	}
	if err := app.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	g := stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		g.Update(ctx, func(c *counter) error { c.Count++; return nil })
	}
}

func BenchmarkGet(b *testing.B) {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	g := stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global})
	ctx := context.Background()
	g.Update(ctx, func(c *counter) error { c.Count++; return nil })
	b.ReportAllocs()
	for b.Loop() {
		g.Get(ctx)
	}
}
