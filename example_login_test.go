package stay_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Profile struct {
	Name string `json:"name"`
}

type Basket struct {
	Items []string `json:"items"`
}

// One login moves all PerUser modules.
func ExampleSession_Login() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	profile := stay.Register(app, stay.Module[Profile]{Name: "profile", Initial: Profile{Name: "guest"}, Persist: stay.PerUser})
	basket := stay.Register(app, stay.Module[Basket]{Name: "basket", Persist: stay.PerUser})
	show := func(ctx context.Context) {
		p, err := profile.Get(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		b, err := basket.Get(ctx)
		fmt.Printf("%q: %s %v %v\n", stay.SessionFrom(ctx).User(), p.Name, b.Items, err)
	}

	ctx := visitor(app)
	_, err := basket.Update(ctx, func(b *Basket) error {
		b.Items = append(b.Items, "tea")
		return nil
	})
	fmt.Println(err)
	show(ctx)
	fmt.Println(stay.SessionFrom(ctx).Login(ctx, "ann")) // check the password before
	_, err = profile.Update(ctx, func(p *Profile) error {
		p.Name = "Ann"
		return nil
	})
	fmt.Println(err)
	show(ctx)
	fmt.Println(stay.SessionFrom(ctx).Logout(ctx))
	show(ctx)
	// Output:
	// <nil>
	// "": guest [tea] <nil>
	// <nil>
	// <nil>
	// "ann": Ann [tea] <nil>
	// <nil>
	// "": guest [] <nil>
}

// A user is logged out everywhere.
func ExampleApp_Revoke() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	laptop, phone := visitor(app), visitor(app)
	for _, ctx := range []context.Context{laptop, phone} {
		if err := stay.SessionFrom(ctx).Login(ctx, "ann"); err != nil {
			fmt.Println(err)
		}
	}
	count := func() (n int) {
		for _, err := range app.Sessions(context.Background(), "ann") {
			if err != nil {
				fmt.Println(err)
			}
			n++
		}
		return n
	}
	fmt.Println(count(), stay.SessionFrom(laptop).User())
	fmt.Println(app.Revoke(context.Background(), "ann"))
	fmt.Printf("%d %q\n", count(), stay.SessionFrom(laptop).User())
	// Output:
	// 2 ann
	// <nil>
	// 0 ""
}
