package staytest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type Cart struct {
	Items    []Item `json:"items"`
	Code     string `json:"code"`
	Currency string `json:"currency"`
}

type Item struct {
	Title string `json:"title"`
	Count int    `json:"count"`
}

// CartModule is at version 3: in version 1 "items" were titles, and until
// version 2 "code" was called "coupon". Currency needed no new version.
var CartModule = stay.Module[Cart]{
	Name:    "cart",
	Persist: stay.Global,
	Initial: Cart{Currency: "EUR"},
	Version: 3,
	Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){
		1: titlesToItems,
		2: couponToCode,
	},
}

// titlesToItems turns version 1 into version 2.
func titlesToItems(old json.RawMessage) (json.RawMessage, error) {
	var titles struct {
		Items []string `json:"items"`
	}
	if err := json.Unmarshal(old, &titles); err != nil {
		return nil, err
	}
	items := []map[string]any{}
	for _, title := range titles.Items {
		items = append(items, map[string]any{"title": title, "count": 1})
	}
	return edit(old, func(members map[string]any) { members["items"] = items })
}

// couponToCode turns version 2 into version 3.
func couponToCode(old json.RawMessage) (json.RawMessage, error) {
	return edit(old, func(members map[string]any) {
		if coupon, ok := members["coupon"]; ok {
			members["code"] = coupon
			delete(members, "coupon")
		}
	})
}

// edit changes some members and keeps the others. Numbers keep their digits.
func edit(old json.RawMessage, change func(members map[string]any)) (json.RawMessage, error) {
	d := json.NewDecoder(strings.NewReader(string(old)))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		return nil, err
	}
	change(members)
	return json.Marshal(members)
}

// Proves M4.
func TestCartReadsWhatItStored(t *testing.T) {
	cart := stay.Register(staytest.App(t, nil), CartModule)
	staytest.Golden(t, cart, os.DirFS("testdata/cart"))
}

// The first call of Golden prints the state to store, and so does each one
// after Version was raised.
func ExampleGolden_first() {
	t := newPrinter()
	defer t.end()
	cart := stay.Register(staytest.App(t, nil), CartModule)

	staytest.Golden(t, cart, fstest.MapFS{})
	// Output:
	// no stored state has the current version of cart: store this one, with better values if you like, as v3/full.json:
	// {
	//   "items": [
	//     {
	//       "title": "x",
	//       "count": 1
	//     }
	//   ],
	//   "code": "x",
	//   "currency": "EUR"
	// }
}

// A field that was renamed without a step is a loss.
func ExampleGolden_loss() {
	t := newPrinter()
	defer t.end()
	cart := stay.Register(staytest.App(t, nil), CartModule)

	staytest.Golden(t, cart, fstest.MapFS{
		"v3/full.json": {Data: []byte(`{"items": [], "coupon": "SPRING"}`)},
	})
	// Output:
	// v3/full.json: some of its values are lost:
	//   coupon: got nothing, want "SPRING"
	// Fix the struct or the step. If this change is intended, store in v3/full.want.json what is read now:
	// {
	//   "items": [],
	//   "code": "",
	//   "currency": "EUR"
	// }
}

// inspect shows what a store keeps under a key.
func inspect(ctx context.Context, s store.Store, key string) (store.Record, error) {
	recs, err := s.Load(ctx, []store.Read{{Key: key}})
	if err != nil {
		return store.Record{}, err
	}
	return recs[0], nil
}

// repair puts another value in place of a record's, unless somebody else has
// changed it since it was read. The program may be running.
func repair(ctx context.Context, s store.Store, rec store.Record, version int, value []byte) error {
	res := s.Commit(ctx, []store.Group{{{
		Op: store.Put, Key: rec.Key, Base: rec.Revision,
		Value: value, Version: version, Meta: rec.Meta, Expires: rec.Expires,
	}}})[0]
	switch res.Outcome {
	case store.Applied:
		return nil
	case store.Conflict:
		return errors.New("the record was changed meanwhile: look again")
	default:
		return fmt.Errorf("%v: %w", res.Outcome, res.Err)
	}
}

// A record that cannot be read stays, whatever is tried with it, until it is
// repaired in the store.
func Example_repair() {
	ctx := context.Background()
	s := memstore.New()
	s.Commit(ctx, []store.Group{{{Key: "global/cart/", Version: 3, Value: []byte(`{"code":7}`)}}})
	app := stay.New(s, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { fmt.Println("OnError:", e.Err) }})
	defer app.Close(ctx)
	cart := stay.Register(app, CartModule)

	_, err := cart.Reset(ctx)
	fmt.Println(stay.CodeOf(err))
	rec, err := inspect(ctx, s, "global/cart/")
	fmt.Println(string(rec.Value), err)

	fmt.Println(repair(ctx, s, rec, 3, []byte(`{"code":"7"}`)))
	c, err := cart.Get(ctx)
	fmt.Println(c.Code, err)
	// Output:
	// OnError: code: a number where a string is needed
	// corrupt
	// {"code":7} <nil>
	// <nil>
	// 7 <nil>
}
