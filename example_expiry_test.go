package stay_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Offer struct {
	Price int `json:"price"`
}

// An offer holds for an hour after its last change. Then nobody sees it any
// more, and it begins with the initial state.
func ExampleModule_expiry() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	app := stay.New(memstore.New(), &stay.Options{Clock: func() time.Time { return now }})
	defer app.Close(context.Background())
	offer := stay.Register(app, stay.Module[Offer]{
		Name:    "offer",
		Initial: Offer{Price: 100},
		Persist: stay.Global,
		Expiry:  time.Hour,
	})

	ctx := context.Background()
	_, err := offer.Update(ctx, func(o *Offer) error {
		o.Price = 80
		return nil
	})
	fmt.Println(err)
	for range 3 {
		o, err := offer.Get(ctx) // does not put the end off
		fmt.Println(now.Format("15:04"), o.Price, err)
		now = now.Add(30 * time.Minute)
	}
	// Output:
	// <nil>
	// 12:00 80 <nil>
	// 12:30 80 <nil>
	// 13:00 100 <nil>
}
