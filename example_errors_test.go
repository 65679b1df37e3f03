package stay_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

type Account struct {
	Balance int `json:"balance"`
}

// Every error has a code. Clients may see Message and Fields, and a change that
// fails has changed nothing.
func ExampleCodeOf() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	account := stay.Register(app, stay.Module[Account]{
		Name:    "account",
		Initial: Account{Balance: 10},
		Persist: stay.Global,
	})
	withdraw := func(amount int) func(*Account) error {
		return func(a *Account) error {
			a.Balance -= amount
			if a.Balance < 0 {
				return stay.Invalid("amount", "is more than there is")
			}
			return nil
		}
	}

	ctx := context.Background()
	_, err := account.Update(ctx, withdraw(20))
	fmt.Println(stay.CodeOf(err), stay.FieldErrors(err)["amount"])
	fmt.Println(errors.Is(err, stay.ErrInvalid))
	a, err := account.Get(ctx)
	fmt.Println(a.Balance, err)
	_, err = account.Do(ctx, "deposit", nil)
	fmt.Println(stay.CodeOf(err))
	// Output:
	// invalid is more than there is
	// true
	// 10 <nil>
	// not_found
}

// OnError gets failures outside of functions, with the cause; the error that a
// function returns goes only to its caller.
func ExampleError() {
	app := stay.New(memstore.New(), &stay.Options{
		OnError: func(_ *stay.Call, e *stay.Error) { fmt.Println("told:", e.Module, e.Phase, e.Code, e.Err) },
	})
	defer app.Close(context.Background())
	account := stay.Register(app, stay.Module[Account]{
		Name:      "account",
		Persist:   stay.Global,
		OnCreated: func(*stay.Call, *Account) error { return errors.New("no rates today") },
	})

	_, err := account.Get(context.Background())
	var e *stay.Error
	fmt.Println(errors.As(err, &e), e.Phase)
	// Output:
	// told: account onCreated internal no rates today
	// true onCreated
}
