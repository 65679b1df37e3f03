package stay_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type Document struct {
	Text string `json:"text"`
}

// A document is stored once for many changes while somebody types. Each change
// is acknowledged, and visible to everybody, at once.
func ExampleModule_debounce() {
	st := memstore.New()
	app := stay.New(keptOpen{st}, nil)
	document := stay.Register(app, stay.Module[Document]{
		Name:     "document",
		Persist:  stay.Global,
		Debounce: time.Hour, // a second or two in a program
	})

	ctx := context.Background()
	for _, letter := range "stay" {
		_, err := document.Update(ctx, func(d *Document) error {
			d.Text += string(letter)
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	stored := func() string {
		records, err := st.Load(ctx, []store.Read{{Key: "global/document/"}})
		if err != nil {
			return err.Error()
		}
		return string(records[0].Value)
	}
	d, err := document.Get(ctx)
	fmt.Println(d.Text, err)
	fmt.Printf("%q\n", stored())
	fmt.Println(app.Close(ctx)) // stores the delayed changes
	fmt.Printf("%q\n", stored())
	// Output:
	// stay <nil>
	// ""
	// <nil>
	// "{\"text\":\"stay\"}"
}

// keptOpen is a store that outlives its App.
type keptOpen struct{ store.Store }

func (keptOpen) Close() error { return nil }
