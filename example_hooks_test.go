package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Game struct {
	Round int `json:"round"`
}

// OnCreated sees a state before anybody else does, OnDestroyed when it leaves
// memory; a function passed to After runs when the change is stored.
func ExampleModule_hooks() {
	app := stay.New(memstore.New(), nil)
	game := stay.Register(app, stay.Module[Game]{
		Name:    "game",
		Persist: stay.Global,
		Actions: stay.Actions[Game]{
			"next": func(c *stay.Call, g *Game) error {
				g.Round++
				round := g.Round
				c.After(func(context.Context) { fmt.Println("round", round, "is stored") })
				return nil
			},
		},
		OnCreated: func(c *stay.Call, g *Game) error {
			fmt.Println("in memory, stored before:", c.Restored())
			g.Round = max(g.Round, 1)
			return nil
		},
		OnDestroyed: func(_ *stay.Call, g *Game) { fmt.Println("leaves memory in round", g.Round) },
	})

	ctx := context.Background()
	_, err := game.Do(ctx, "next", nil)
	fmt.Println(err)
	fmt.Println(app.Close(ctx))
	// Output:
	// in memory, stored before: false
	// round 2 is stored
	// <nil>
	// leaves memory in round 2
	// <nil>
}
