package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Score struct {
	Points int `json:"points"`
}

// Add is what an action gets from its caller.
type Add struct {
	By int `json:"by"`
}

// Validate refuses what the action could not use.
func (a Add) Validate() error {
	if a.By < 1 {
		return stay.Invalid("by", "must be at least 1")
	}
	return nil
}

// Actions are what clients may do, by name.
func ExampleState_Do() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	score := stay.Register(app, stay.Module[Score]{
		Name:    "score",
		Persist: stay.Global, // so that no session is needed
		Actions: stay.Actions[Score]{
			"add": stay.WithPayload(func(_ *stay.Call, s *Score, in Add) error {
				s.Points += in.By
				return nil
			}),
		},
	})

	ctx := context.Background()
	s, err := score.Do(ctx, "add", Add{By: 2})
	fmt.Println(s.Points, err)
	_, err = score.Do(ctx, "add", Add{By: 0})
	fmt.Println(stay.CodeOf(err), stay.FieldErrors(err)["by"])
	// Output:
	// 2 <nil>
	// invalid must be at least 1
}
