package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Counter struct {
	Count int `json:"count"`
}

// Each browser has its own counter, and all share a total.
func ExampleRegister() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	own := stay.Register(app, stay.Module[Counter]{Name: "own", Persist: stay.PerSession})
	total := stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global})

	increment := func(c *Counter) error {
		c.Count++
		return nil
	}
	ann, bob := visitor(app), visitor(app)
	for _, ctx := range []context.Context{ann, ann, bob} {
		mine, err := own.Update(ctx, increment)
		if err != nil {
			fmt.Println(err)
			return
		}
		all, err := total.Update(ctx, increment)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(mine.Count, all.Count)
	}
	// Output:
	// 1 1
	// 2 2
	// 1 3
}
