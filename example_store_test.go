package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type Visits struct {
	Count int `json:"count"`
}

// A shelf is a store of the simplest kind: three methods, each for one key.
type shelf map[string][]byte

func (s shelf) Load(_ context.Context, key string) ([]byte, error) { return s[key], nil }

func (s shelf) Save(_ context.Context, key string, value []byte) error {
	s[key] = value
	return nil
}

func (s shelf) Delete(_ context.Context, key string) error {
	delete(s, key)
	return nil
}

// A module may have its own store beside the App's. The next App finds the
// stored states.
func ExampleNew() {
	ctx, own := context.Background(), shelf{}
	for range 2 { // the program runs twice
		app := stay.New(memstore.New(), nil)
		visits := stay.Register(app, stay.Module[Visits]{
			Name:    "visits",
			Persist: stay.Global,
			Store:   store.FromSimple(own),
		})
		v, err := visits.Update(ctx, func(v *Visits) error {
			v.Count++
			return nil
		})
		fmt.Println(v.Count, err, app.Close(ctx))
	}
	// Output:
	// 1 <nil> <nil>
	// 2 <nil> <nil>
}
