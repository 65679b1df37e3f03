package once_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// An account has a key that its own actions change.
type account struct {
	User  string   `json:"user" stay:"key"`
	Items []string `json:"items"`
}

func accounts(app *stay.App) *stay.State[account] {
	return stay.Register(app, stay.Module[account]{
		Name: "account", Persist: stay.WithKey(func(a *account) string { return a.User }),
		Adopt: func(stored, guest *account) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
}

// become is an action that changes the key, and does something more.
func become(user string) func(*account) error {
	return func(a *account) error {
		a.User = user
		a.Items = append(a.Items, "became "+user)
		return nil
	}
}

func add(item string) func(*account) error {
	return func(a *account) error {
		a.Items = append(a.Items, item)
		return nil
	}
}

// What a guest has done is not done again after a login, whether the user had a
// state already or not, and whichever way the guest's state goes there.
//
// Proves L32.
func TestALoginTakesTheNamesAlong(t *testing.T) {
	for name, guests := range map[string]stay.GuestMode{"guests in memory": stay.GuestMemory, "guests stored": stay.GuestStored} {
		for _, had := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
					app := testkit.NewApp(t, st, &stay.Options{Guests: guests})
					_, cart := testkit.UserModules(app)
					want := 1
					if had {
						testkit.Change(t, t.Context(), cart.At("ann"), func(c *testkit.Cart) error {
							c.Items = []string{"milk"}
							return nil
						})
						want++
					}
					b := testkit.NewBrowser(app)
					buy := func() {
						t.Helper()
						testkit.Change(t, stay.Once(b.Ctx(), "a"), cart, func(c *testkit.Cart) error {
							c.Items = append(c.Items, "tea")
							return nil
						})
					}
					buy()
					ctx := b.Ctx()
					testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann"))
					buy()
					c, err := cart.Get(b.Ctx())
					testkit.NoError(t, err)
					testkit.WantEqual(t, "items", len(c.Items), want)
				})
			})
		}
	}
}

// What a guest has done is not done again after a login either if the user's state
// stays as it was: because it wins, or because both come to the same.
//
// Proves L32.
func TestALoginThatLeavesTheStateTakesTheNamesAlong(t *testing.T) {
	for name, adopt := range map[string]func(stored, guest *testkit.Cart) error{
		"the user's wins": nil,
		"both are the same": func(stored, guest *testkit.Cart) error {
			stored.Items = guest.Items
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
				app := testkit.NewApp(t, st, nil)
				s := stay.Register(app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Adopt: adopt})
				tea := func(c *testkit.Cart) error {
					c.Items = append(c.Items, "tea")
					return nil
				}
				testkit.Change(t, t.Context(), s.At("ann"), tea)
				b := testkit.NewBrowser(app)
				runs := 0
				buy := func() {
					t.Helper()
					testkit.Change(t, stay.Once(b.Ctx(), "a"), s, func(c *testkit.Cart) error {
						runs++
						return tea(c)
					})
				}
				buy()
				ctx := b.Ctx()
				testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann"))
				buy()
				testkit.WantEqual(t, "runs", runs, 1)
				testkit.WantState(t, b.Ctx(), s, `{"items":["tea"]}`)
			})
		})
	}
}

// What a guest has done is not done again after a login either if the guest's
// state is too large to come along, whichever way it would go: what the change has
// called may not be called again. A user whose own state is too large to be
// written gets no names, and is let in.
//
// Proves L32.
func TestALoginThatLeavesAFullGuestBehindTakesTheNamesAlong(t *testing.T) {
	const full = 600
	for name, most := range map[string]int{"the user's can be written": 1000, "the user's cannot be written": full - 100} {
		t.Run(name, func(t *testing.T) {
			testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
				before := testkit.NewApp(t, testkit.Unclosed{Store: st}, nil) // whose states may be larger
				_, cart := testkit.UserModules(before)
				testkit.Change(t, t.Context(), cart.At("ann"), testkit.Put(strings.Repeat("u", full)))
				testkit.Change(t, t.Context(), accounts(before).At("ann"), func(a *account) error {
					a.User = "ann"
					return add(strings.Repeat("u", full))(a)
				})
				testkit.NoError(t, before.Close(t.Context()))

				app := testkit.NewApp(t, st, &stay.Options{MaxState: most, OnError: testkit.Quiet})
				_, cart = testkit.UserModules(app)
				s := accounts(app)
				b := testkit.NewBrowser(app)
				runs := 0
				buy := func() (err1, err2 error) {
					_, err1 = cart.Update(stay.Once(b.Ctx(), "a"), func(c *testkit.Cart) error {
						runs++
						return testkit.Put(strings.Repeat("g", most/2))(c)
					})
					_, err2 = s.Update(stay.Once(b.Ctx(), "a"), func(a *account) error {
						runs++
						return add(strings.Repeat("g", most/2))(a)
					})
					return err1, err2
				}
				err1, err2 := buy()
				testkit.NoError(t, errors.Join(err1, err2))
				testkit.Login(t, b, "ann")
				testkit.Change(t, b.Ctx(), s, func(a *account) error {
					a.User = "ann"
					return nil
				})
				if err1, err2 = buy(); most > full {
					testkit.NoError(t, errors.Join(err1, err2))
					testkit.WantEqual(t, "runs", runs, 2)
				} else {
					testkit.WantCode(t, err1, stay.ErrTooLarge)
					testkit.WantCode(t, err2, stay.ErrTooLarge)
				}
				testkit.WantState(t, b.Ctx(), cart, `{"items":["`+strings.Repeat("u", full)+`"]}`)
				testkit.WantState(t, b.Ctx(), s, `{"user":"ann","items":["`+strings.Repeat("u", full)+`"]}`)
			})
		})
	}
}

// A login by an action with an id succeeds as one without does, also if the user's
// own state is too large to be written: then the action's name is left out.
//
// Proves L32.
func TestALoginWithAnIDToAFullStateIsLetIn(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint(once), func(t *testing.T) {
			testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
				before := testkit.NewApp(t, testkit.Unclosed{Store: st}, nil) // whose states may be larger
				testkit.Change(t, t.Context(), accounts(before).At("ann"), func(a *account) error {
					a.User = "ann"
					return add(strings.Repeat("u", 600))(a)
				})
				testkit.NoError(t, before.Close(t.Context()))

				app := testkit.NewApp(t, st, &stay.Options{MaxState: 500, OnError: testkit.Quiet})
				s := accounts(app)
				b := testkit.NewBrowser(app)
				testkit.Change(t, b.Ctx(), s, add("tea"))
				ctx := b.Ctx()
				if once {
					ctx = stay.Once(ctx, "login")
				}
				_, err := s.Update(ctx, become("ann"))
				testkit.NoError(t, err)
				testkit.WantState(t, b.Ctx(), s, `{"user":"ann","items":["`+strings.Repeat("u", 600)+`"]}`)
			})
		})
	}
}

// A change that changes the key is remembered where it has led to, with what the
// guest had done before: a login, a switch and a logout.
//
// Proves L32.
func TestAChangeOfTheKeyIsRememberedAtTheOther(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := accounts(app)
		testkit.Change(t, t.Context(), s.At("bob"), func(a *account) error {
			a.User = "bob"
			return add("of bob")(a)
		})
		b := testkit.NewBrowser(app)
		do := func(id string, fn func(*account) error) {
			t.Helper()
			testkit.Change(t, stay.Once(b.Ctx(), id), s, fn)
		}
		do("1", add("tea"))
		do("2", become("ann"))
		for range 2 {
			do("1", add("tea"))
			do("2", become("ann"))
		}
		testkit.WantState(t, b.Ctx(), s, `{"user":"ann","items":["tea","became ann"]}`)
		do("3", become("bob"))
		do("3", become("bob"))
		testkit.WantState(t, b.Ctx(), s, `{"user":"bob","items":["of bob"]}`)
		do("4", add("more"))
		do("5", become(""))
		do("6", add("a guest's"))
		do("5", become(""))
		do("6", add("a guest's"))
		testkit.WantState(t, b.Ctx(), s, `{"user":"","items":["a guest's"]}`)
		do("7", become("bob"))
		do("6", add("a guest's"))
		do("7", become("bob"))
		do("4", add("more"))
		testkit.WantState(t, b.Ctx(), s, `{"user":"bob","items":["of bob","more","a guest's","became bob"]}`)
	})
}

// A login by an action whose answer was lost is known, whatever the login has left
// of the state.
//
// Proves L30, L32.
func TestALoginWhoseAnswerIsLostIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet, KeepCookieOnKeyChange: true})
		s := accounts(app)
		testkit.Change(t, t.Context(), s.At("ann"), func(a *account) error {
			a.User = "ann"
			return nil
		})
		b := testkit.NewBrowser(app)
		testkit.Change(t, stay.Once(b.Ctx(), "0"), s, add("tea"))
		st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.HangAfter(), Match: testkit.StoresNoList})
		ctx, cancel := context.WithTimeout(b.Ctx(), time.Second)
		defer cancel()
		_, err := s.Update(stay.Once(ctx, "1"), become("ann"))
		testkit.WantCode(t, err, stay.ErrUnknown)
		testkit.Change(t, stay.Once(b.Ctx(), "1"), s, become("ann"))
		testkit.Change(t, stay.Once(b.Ctx(), "0"), s, add("tea"))
		testkit.WantState(t, b.Ctx(), s, `{"user":"ann","items":["tea","became ann"]}`)
	})
}

// What is saved later is remembered from the moment it is acknowledged, and its
// name is saved with it, also if the state is the same as before in the end.
//
// Proves L27, L32.
func TestNamesAreSavedWithDelayedChanges(t *testing.T) {
	testkit.InBubbles(t, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := testkit.Debounced(app)
		set := func(id string, n int) {
			t.Helper()
			testkit.Change(t, stay.Once(t.Context(), id), s, func(c *testkit.Counter) error {
				c.Count = n
				return nil
			})
		}
		set("1", 1)
		set("1", 5)
		testkit.Sleep(2 * testkit.Debounce)
		set("2", 2) // and back, before it is saved
		set("3", 1)
		set("2", 5)
		testkit.Sleep(2 * testkit.Debounce)
		testkit.WantCount(t, t.Context(), s, 1)

		// As if the process had ended here.
		next := testkit.NewApp(t, testkit.Unclosed{Store: mem}, nil)
		s = testkit.Debounced(next)
		set("1", 5)
		set("2", 5)
		set("3", 5)
		testkit.WantCount(t, t.Context(), s, 1)
		set("4", 5)
		testkit.WantCount(t, t.Context(), s, 5)
	})
}
