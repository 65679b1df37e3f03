package sharded_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
)

// open returns one store of two databases, whose names are for good.
func open(ctx context.Context, first, second store.Store) (store.Store, error) {
	router, err := sharded.OpenRouter(ctx, map[string]store.Store{"first": first, "second": second})
	if err != nil {
		return nil, err
	}
	return sharded.New(router)
}

// Visits is how often somebody has come.
type Visits struct{ N int }

// Each state is in one of two databases. The App closes both.
func Example() {
	ctx := context.Background()
	s, err := open(ctx, memstore.New(), memstore.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	app := stay.New(s, nil)
	defer app.Close(ctx)
	visits := stay.Register(app, stay.Module[Visits]{Name: "visits", Persist: stay.Global})
	v, err := visits.Update(ctx, func(v *Visits) error { v.N++; return nil })
	fmt.Println(v.N, err)
	// Output: 1 <nil>
}
