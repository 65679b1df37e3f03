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
