package stay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// Settings now have a theme; those of version 1 had a color.
type Settings struct {
	Theme string `json:"theme"`
}

type OldSettings struct {
	Color string `json:"color"`
}

// A step converts the record of an older program to the present version when it
// is loaded.
func ExampleModule_migrate() {
	ctx := context.Background()
	st := keptOpen{memstore.New()}

	before := stay.New(st, nil)
	old := stay.Register(before, stay.Module[OldSettings]{Name: "settings", Persist: stay.Global})
	_, err := old.Update(ctx, func(s *OldSettings) error {
		s.Color = "dark"
		return nil
	})
	fmt.Println(err, before.Close(ctx))

	after := stay.New(st, nil)
	settings := stay.Register(after, stay.Module[Settings]{
		Name:    "settings",
		Persist: stay.Global,
		Version: 2,
		Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){
			1: func(v1 json.RawMessage) (json.RawMessage, error) {
				return bytes.Replace(v1, []byte(`"color"`), []byte(`"theme"`), 1), nil
			},
		},
	})
	s, err := settings.Get(ctx)
	fmt.Println(s.Theme, err, after.Close(ctx))
	// Output:
	// <nil> <nil>
	// dark <nil> <nil>
}

type Wishlist struct {
	Items []string `json:"items"`
}

// WishlistModule was called "wishes".
var WishlistModule = stay.Module[Wishlist]{
	Name:     "wishlist",
	Formerly: []string{"wishes"}, // the oldest name first
	Persist:  stay.PerUser,
}

// A module that gets another name says what it was called, and finds its states.
func ExampleModule_formerly() {
	ctx := context.Background()
	st := keptOpen{memstore.New()}

	before := stay.New(st, nil)
	wishes := stay.Register(before, stay.Module[Wishlist]{Name: "wishes", Persist: stay.PerUser})
	_, err := wishes.At("ann").Update(ctx, func(w *Wishlist) error {
		w.Items = append(w.Items, "tea")
		return nil
	})
	fmt.Println(err, before.Close(ctx))

	after := stay.New(st, nil)
	lists := stay.Register(after, WishlistModule)
	w, err := lists.At("ann").Get(ctx)
	fmt.Println(w.Items, err, after.Close(ctx))
	// Output:
	// <nil> <nil>
	// [tea] <nil> <nil>
}
