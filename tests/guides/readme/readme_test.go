package readme_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/readme"
)

// The shop of the README merges a guest's cart at the login.
//
// Proves K2.
func TestShopOfTheReadme(t *testing.T) {
	shop := readme.NewShop(staytest.App(t, nil))
	send := func(client *http.Client, address, field, value, want string) {
		t.Helper()
		resp, err := client.PostForm(address, url.Values{field: {value}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("%s: %q, %v, want %q", address, body, err, want)
		}
	}
	laptop, address := staytest.Browser(t, shop)
	send(laptop, address+"/items", "item", "tea", "[tea]")
	send(laptop, address+"/login", "user", "ann", "[tea]")
	phone, address := staytest.Browser(t, shop)
	send(phone, address+"/items", "item", "cup", "[cup]")
	send(phone, address+"/login", "user", "ann", "[tea cup]")
}

// The table of the guide to keys is one for all who join it, and a payload cannot name
// it.
//
// Proves K2, K6.
func TestTableOfTheGuideToKeys(t *testing.T) {
	app := staytest.App(t, nil)
	table := stay.Register(app, readme.Tables)
	ann, ben := staytest.Session(t, app), staytest.Session(t, app)
	if _, err := table.Do(ann, "join", readme.Join{Code: "blue"}); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Update(ann, func(v *readme.Table) error {
		v.Moves = append(v.Moves, "e4")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got, err := table.Do(ben, "join", readme.Join{Code: "blue"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Moves) != 1 {
		t.Errorf("who joins sees %v", got.Moves)
	}
	staytest.Want(t, ben, table, readme.Table{Code: "blue", Moves: []string{"e4"}})
}
