package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// A Search is the page of a search; its theme survives a reset.
type Search struct {
	Words string `json:"words"`
	Theme string `json:"theme" stay:"preserve"`
}

// Reset keeps fields tagged preserve, ResetAll does not.
func ExampleState_Reset() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	search := stay.Register(app, stay.Module[Search]{
		Name:    "search",
		Initial: Search{Theme: "light"},
		Persist: stay.PerSession,
	})

	ctx := visitor(app)
	s, err := search.Update(ctx, func(s *Search) error {
		s.Words, s.Theme = "blue socks", "dark"
		return nil
	})
	fmt.Printf("%q %s %v\n", s.Words, s.Theme, err)
	s, err = search.Reset(ctx)
	fmt.Printf("%q %s %v\n", s.Words, s.Theme, err)
	s, err = search.ResetAll(ctx)
	fmt.Printf("%q %s %v\n", s.Words, s.Theme, err)
	// Output:
	// "blue socks" dark <nil>
	// "" dark <nil>
	// "" light <nil>
}
