package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
)

// do runs an action, which must succeed.
func do(t *testing.T, ctx context.Context, todos *stay.State[Todos], action string, payload any) *Todos {
	t.Helper()
	got, err := todos.Do(ctx, action, payload)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	return got
}

// wantList checks whose list it is and what is on it, but for the IDs, which
// are random.
func wantList(t *testing.T, ctx context.Context, todos *stay.State[Todos], user string, titles ...string) {
	t.Helper()
	got, err := todos.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, item := range got.Items {
		have = append(have, item.Title)
	}
	if got.User != user || !slices.Equal(have, titles) {
		t.Errorf("list of %q: %q, want that of %q: %q", got.User, have, user, titles)
	}
}

// A new user gets the guest's list, and a user with a list gets it below their
// own. It happens once, however often the login is sent.
//
// Proves K2.
func TestGuestsListComesAlongOnce(t *testing.T) {
	app := staytest.App(t, nil)
	todos := stay.Register(app, Module)
	laptop, phone := staytest.Session(t, app), staytest.Session(t, app)

	do(t, laptop, todos, "add", NewItem{"buy milk"})
	do(t, laptop, todos, "login", Login{"ann"})
	wantList(t, laptop, todos, "ann", "buy milk")

	do(t, phone, todos, "add", NewItem{"call Ben"})
	if got := do(t, phone, todos, "login", Login{" ann "}); len(got.Items) != 2 {
		t.Errorf("the login returned %+v", got)
	}
	do(t, phone, todos, "login", Login{"ann"})
	wantList(t, phone, todos, "ann", "buy milk", "call Ben")
	wantList(t, laptop, todos, "ann", "buy milk", "call Ben")
}

// A logout shows an empty list, a switch the list of the other user, and no
// items reach the list of another user.
//
// Proves K3, K4.
func TestLogoutAndSwitchMixNothing(t *testing.T) {
	app := staytest.App(t, nil)
	todos := stay.Register(app, Module)
	ctx := staytest.Session(t, app)

	do(t, ctx, todos, "login", Login{"ann"})
	do(t, ctx, todos, "add", NewItem{"buy milk"})
	do(t, ctx, todos, "logout", nil)
	staytest.Want(t, ctx, todos, Todos{})
	do(t, ctx, todos, "login", Login{"ben"})
	wantList(t, ctx, todos, "ben")
	do(t, ctx, todos, "add", NewItem{"call Ann"})
	do(t, ctx, todos, "login", Login{"ann"})
	wantList(t, ctx, todos, "ann", "buy milk")
	do(t, ctx, todos, "login", Login{"ben"})
	wantList(t, ctx, todos, "ben", "call Ann")

	if ann, err := todos.At("ann").Get(t.Context()); err != nil || len(ann.Items) != 1 {
		t.Errorf("stored for ann: %+v, %v", ann, err)
	}
}

// What two devices do at once is all kept.
//
// Proves B11.
func TestDevicesAtOnceLoseNothing(t *testing.T) {
	app := staytest.App(t, nil)
	todos := stay.Register(app, Module)
	devices := []context.Context{staytest.Session(t, app), staytest.Session(t, app)}
	var wg sync.WaitGroup
	for _, device := range devices {
		do(t, device, todos, "login", Login{"ann"})
		wg.Go(func() {
			for range 20 {
				if _, err := todos.Do(device, "add", NewItem{"one more"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantList(t, devices[0], todos, "ann", slices.Repeat([]string{"one more"}, 40)...)
}

// What is refused names its field and changes nothing.
func TestRefused(t *testing.T) {
	app := staytest.App(t, nil)
	todos := stay.Register(app, Module)
	ctx := staytest.Session(t, app)
	for _, test := range []struct {
		action, field string
		payload       any
	}{
		{"add", "title", NewItem{}},
		{"add", "title", NewItem{" \t"}},
		{"add", "title", NewItem{strings.Repeat("ü", maxTitle+1)}},
		{"login", "user", Login{"  "}},
		{"login", "user", Login{strings.Repeat("ü", maxUser+1)}},
	} {
		_, err := todos.Do(ctx, test.action, test.payload)
		if stay.CodeOf(err) != stay.ErrInvalid || stay.FieldErrors(err)[test.field] == "" {
			t.Errorf("%s %q: %v", test.action, test.payload, err)
		}
	}
	staytest.Want(t, ctx, todos, Todos{})

	for range maxItems {
		do(t, ctx, todos, "add", NewItem{strings.Repeat("ü", maxTitle)})
	}
	if _, err := todos.Do(ctx, "add", NewItem{"one more"}); stay.CodeOf(err) != stay.ErrInvalid {
		t.Errorf("more than %d items: %v", maxItems, err)
	}

	// A guest's list that has no room below the user's does not stop the login.
	do(t, ctx, todos, "login", Login{"ann"})
	phone := staytest.Session(t, app)
	do(t, phone, todos, "add", NewItem{"one more"})
	if got := do(t, phone, todos, "login", Login{"ann"}); len(got.Items) != maxItems {
		t.Errorf("%d items after a login, want %d", len(got.Items), maxItems)
	}
}
