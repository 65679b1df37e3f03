package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// Adopt merges a guest's state into the state that the key has already.
func ExampleModule_adopt() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	list := stay.Register(app, stay.Module[List]{
		Name:    "list",
		Persist: stay.WithKey(func(l *List) string { return l.Owner.ID }),
		Adopt: func(stored, guest *List) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
	for _, item := range []string{"milk", "bread"} {
		ctx := visitor(app) // another device each time
		if _, err := list.Update(ctx, addToList(item)); err != nil {
			fmt.Println(err)
		}
		l, err := list.Update(ctx, setOwner(Owner{ID: "ann"}))
		fmt.Println(l.Items, err)
	}
	// Output:
	// [milk] <nil>
	// [milk bread] <nil>
}
