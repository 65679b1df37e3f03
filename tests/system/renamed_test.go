package system_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// shopOf is a program with a cart for each user, and its clicks.
func shopOf(t *testing.T, s store.Store, carts stay.Module[Cart], clicks stay.Module[Counter]) *site {
	t.Helper()
	x := &site{t: t, mux: http.NewServeMux(), app: newApp(t, s, &stay.Options{Guests: stay.GuestStored})}
	carts.Persist, clicks.Persist = stay.PerUser, stay.PerSession
	carts.Adopt = func(stored, guest *Cart) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	cart := stay.Register(x.app, carts)
	x.counter = stay.Register(x.app, clicks)
	x.mux.Handle("GET /cart", web.View(cart, func(w http.ResponseWriter, _ *http.Request, c *Cart) error {
		_, err := fmt.Fprint(w, strings.Join(c.Items, ","))
		return err
	}))
	x.mux.Handle("POST /add/{item}", web.Update(cart, func(_ http.ResponseWriter, r *http.Request, c *Cart) error {
		c.Items = append(c.Items, r.PathValue("item"))
		return nil
	}))
	x.mux.Handle("POST /login/{user}", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.PathValue("user"))
	}))
	x.mux.Handle("GET /clicks", web.View(x.counter, show))
	x.mux.Handle("POST /click", web.Update(x.counter, click))
	x.mux.Handle("POST /destroy", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Destroy(r.Context())
	}))
	x.listen(web.Sessions(x.app, nil)(x.mux))
	return x
}

// A database goes from a program to the one that has renamed its modules:
// visitors keep what they have, whether they were logged in or not.
//
// Proves A1, A3, K2, S5.
func TestRenamedModulesOnSQLite(t *testing.T) {
	for mode, options := range map[string][]sqlitestore.Option{"sole owner": nil, "shared": {sqlitestore.Shared()}} {
		t.Run(mode, func(t *testing.T) {
			path := tempDB(t)
			before := shopOf(t, openSQLite(t, path, options...), stay.Module[Cart]{Name: "cart"}, stay.Module[Counter]{Name: "clicks"})
			user, guest, leaving := before.browser(), before.browser(), before.browser()
			for _, b := range []*browser{user, guest, leaving} {
				b.do("POST", "/add/fig")
				b.do("POST", "/click")
			}
			user.do("POST", "/login/ann")
			closeApp(t, before.app)

			s := openSQLite(t, path, options...)
			defer s.Close()
			after := shopOf(t, kept{s}, stay.Module[Cart]{Name: "basket", Formerly: []string{"cart"}}, stay.Module[Counter]{Name: "visits", Formerly: []string{"clicks"}})
			for _, b := range []*browser{user, guest, leaving} {
				b.url, b.client = after.url, after.server.Client()
			}
			if got := user.do("GET", "/cart").body; got != "fig" {
				t.Errorf("the user has %q", got)
			}
			user.do("POST", "/add/tea")
			guest.do("POST", "/login/ann")
			if got := guest.do("GET", "/cart").body; got != "fig,tea,fig" {
				t.Errorf("after the guest's login the user has %q", got)
			}
			if got := user.do("POST", "/click").body; got != "2" {
				t.Errorf("the second click shows %q", got)
			}
			leaving.do("POST", "/destroy")
			var left []string
			for _, key := range rowsOf(t, s, time.Now(), "user/", "guest/", "session/") {
				left = append(left, key[:strings.LastIndex(key, "/")])
			}
			slices.Sort(left)
			// The guest has not clicked since.
			if want := []string{"session/clicks", "session/visits", "user/basket"}; !slices.Equal(left, want) {
				t.Errorf("the database has %q, want %q", left, want)
			}
		})
	}
}

// Several processes on one database that move a state at once lose no change.
//
// Proves B11, A5.
func TestProcessesThatMoveAStateAtOnceOnSQLite(t *testing.T) {
	path := tempDB(t)
	const nodes, each = 3, 5
	before := newApp(t, openSQLite(t, path, sqlitestore.Shared()), nil)
	total := stay.Register(before, stay.Module[Counter]{Name: "total", Persist: stay.Global})
	if _, err := total.Update(t.Context(), add1); err != nil {
		t.Fatal(err)
	}
	closeApp(t, before)
	var wg sync.WaitGroup
	var last *stay.State[Counter]
	for range nodes {
		app := newApp(t, openSQLite(t, path, sqlitestore.Shared()), nil)
		sum := stay.Register(app, stay.Module[Counter]{Name: "sum", Formerly: []string{"total"}, Persist: stay.Global})
		last = sum
		for range each {
			wg.Go(func() {
				if _, err := sum.Update(context.Background(), add1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if got := count(t, last); got != 1+nodes*each {
		t.Errorf("counted are %d changes, want %d", got, 1+nodes*each)
	}
}
