package stay_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// A List belongs to its owner; a guest's list has no owner.
type List struct {
	Owner Owner    `json:"owner" stay:"key"`
	Items []string `json:"items"`
}

type Owner struct {
	ID    string `json:"id"`
	Admin bool   `json:"admin"`
}

// setOwner is called by a login, after it has checked the password, and by a
// logout.
func setOwner(o Owner) func(*List) error {
	return func(l *List) error {
		l.Owner = o
		return nil
	}
}

func addToList(item string) func(*List) error {
	return func(l *List) error {
		l.Items = append(l.Items, item)
		return nil
	}
}

func ExampleWithKey() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	list := stay.Register(app, stay.Module[List]{
		Name:    "list",
		Persist: stay.WithKey(func(l *List) string { return l.Owner.ID }),
	})
	ctx := visitor(app)

	l, err := list.Update(ctx, addToList("milk")) // as a guest
	fmt.Printf("%q %v %v\n", l.Owner.ID, l.Items, err)
	l, err = list.Update(ctx, setOwner(Owner{ID: "ann"})) // ann has no list yet: the guest's becomes hers
	fmt.Printf("%q %v %v\n", l.Owner.ID, l.Items, err)
	l, err = list.Update(ctx, setOwner(Owner{})) // logout
	fmt.Printf("%q %v %v\n", l.Owner.ID, l.Items, err)

	other := visitor(app)                                   // another device
	l, err = list.Update(other, setOwner(Owner{ID: "ann"})) // her list is loaded
	fmt.Printf("%q %v %v\n", l.Owner.ID, l.Items, err)
	l, err = list.Update(other, setOwner(Owner{ID: "bob"})) // nothing of ann's list is left
	fmt.Printf("%q %v %v\n", l.Owner.ID, l.Items, err)
	// Output:
	// "" [milk] <nil>
	// "ann" [milk] <nil>
	// "" [] <nil>
	// "ann" [milk] <nil>
	// "bob" [] <nil>
}

type Board struct {
	Notes []string `json:"notes"`
}

// A board that all users of a mail domain share.
func ExampleResolveKey() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	board := stay.Register(app, stay.Module[Board]{
		Name: "board",
		Persist: stay.ResolveKey(func(c *stay.Call, _ *Board) string {
			_, domain, _ := strings.Cut(c.Session().User(), "@")
			return domain // "" for a guest
		}),
	})
	ann, bob, eve := visitor(app), visitor(app), visitor(app)
	for user, ctx := range map[string]context.Context{"ann@example.com": ann, "bob@example.com": bob, "eve@example.org": eve} {
		if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
			fmt.Println(err)
		}
	}
	_, err := board.Update(ann, func(b *Board) error {
		b.Notes = append(b.Notes, "lunch at one")
		return nil
	})
	fmt.Println(err)
	for _, ctx := range []context.Context{bob, eve} {
		b, err := board.Get(ctx)
		fmt.Println(b.Notes, err)
	}
	// Output:
	// <nil>
	// [lunch at one] <nil>
	// [] <nil>
}

// A job visits the stored states of all users, without a session.
func ExampleState_At() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	list := stay.Register(app, stay.Module[List]{
		Name:    "list",
		Persist: stay.WithKey(func(l *List) string { return l.Owner.ID }),
	})
	ctx := context.Background()
	for _, user := range []string{"ann", "bob"} {
		_, err := list.At(user).Update(ctx, func(l *List) error {
			l.Owner.ID = user // a new list needs its owner
			l.Items = append(l.Items, "water the plants")
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(list.At("ann").Delete(ctx))
	for user, err := range list.Keys(ctx) {
		fmt.Println(user, err)
	}
	_, err := list.At("ann").Get(ctx)
	fmt.Println(stay.CodeOf(err))
	// Output:
	// <nil>
	// bob <nil>
	// not_found
}
