package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Add struct {
	By int `json:"by"`
}

func (a Add) Validate() error {
	if a.By < 1 {
		return stay.Invalid("by", "must be at least 1")
	}
	return nil
}

var Module = stay.Module[Counter]{
	Name:    "counter",
	Persist: stay.PerSession,
	Actions: stay.Actions[Counter]{
		"add": stay.WithPayload(func(c *stay.Call, s *Counter, in Add) error {
			s.Count += in.By
			return nil
		}),
	},
}

// Clients run actions by name.
func ExampleState_Do() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	module := Module
	module.Persist = stay.Global // so that no session is needed
	counter := stay.Register(app, module)

	ctx := context.Background()
	s, err := counter.Do(ctx, "add", Add{By: 2})
	fmt.Println(s.Count, err)
	_, err = counter.Do(ctx, "add", Add{By: 0})
	fmt.Println(stay.CodeOf(err), stay.FieldErrors(err)["by"])
	// Output:
	// 2 <nil>
	// invalid must be at least 1
}
