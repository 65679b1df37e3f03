package keys

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
)

func add(t *testing.T, ctx context.Context, list *stay.State[List], item string) {
	t.Helper()
	change(t, ctx, list, func(l *List) { l.Items = append(l.Items, item) })
}

func become(t *testing.T, ctx context.Context, list *stay.State[List], owner Owner) {
	t.Helper()
	change(t, ctx, list, func(l *List) { l.Owner = owner })
}

func change[S any](t *testing.T, ctx context.Context, state *stay.State[S], fn func(*S)) {
	t.Helper()
	if _, err := state.Update(ctx, func(s *S) error { fn(s); return nil }); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code stay.Code) {
	t.Helper()
	if stay.CodeOf(err) != code {
		t.Errorf("%v, want %v", err, code)
	}
}

// What becomes of a list.
//
// Proves K1, K2, K3, K4.
func TestGuideOfKeys(t *testing.T) {
	app := staytest.App(t, nil)
	list := stay.Register(app, Lists)
	laptop, phone := staytest.Session(t, app), staytest.Session(t, app)
	ann, bob := Owner{ID: "ann", Admin: true}, Owner{ID: "bob"}

	// Login of a user without a list: the guest's list comes along.
	add(t, laptop, list, "milk")
	become(t, laptop, list, ann)
	staytest.Want(t, laptop, list, List{Owner: ann, Items: []string{"milk"}})

	// Login of a user with a list: it is loaded, and the guest's is gone.
	add(t, phone, list, "pen")
	become(t, phone, list, ann)
	staytest.Want(t, phone, list, List{Owner: ann, Items: []string{"milk"}})

	// One list for both devices.
	add(t, laptop, list, "bread")
	staytest.Want(t, phone, list, List{Owner: ann, Items: []string{"milk", "bread"}})

	// Logout: the session is a guest again with an empty list; ann's list stays.
	become(t, phone, list, Owner{})
	staytest.Want(t, phone, list, List{})
	staytest.Want(t, laptop, list, List{Owner: ann, Items: []string{"milk", "bread"}})

	// Switch: bob has no list, and gets nothing of ann's.
	become(t, laptop, list, bob)
	staytest.Want(t, laptop, list, List{Owner: bob})
}

// What the login says of its owner counts, not what was stored.
//
// Proves K0.
func TestGuideOfRoles(t *testing.T) {
	app := staytest.App(t, nil)
	list := stay.Register(app, Lists)
	laptop, phone := staytest.Session(t, app), staytest.Session(t, app)

	become(t, laptop, list, Owner{ID: "ann", Admin: true})
	become(t, phone, list, Owner{ID: "ann"}) // no admin any more
	staytest.Want(t, phone, list, List{Owner: Owner{ID: "ann"}})
	staytest.Want(t, laptop, list, List{Owner: Owner{ID: "ann"}}) // it is one state
}

// The policies, and that of the guide.
//
// Proves K2.
func TestGuideOfAdopt(t *testing.T) {
	for name, c := range map[string]struct {
		adopt func(stored, guest *List) error
		want  []string
		again []string // after a login of a guest who did nothing
	}{
		"none":      {nil, []string{"milk"}, []string{"milk"}},
		"stored":    {stay.KeepStored[List], []string{"milk"}, []string{"milk"}},
		"guest":     {stay.KeepGuest[List], []string{"pen", "milk"}, nil},
		"own merge": {MergedLists.Adopt, []string{"milk", "pen"}, []string{"milk", "pen"}},
	} {
		t.Run(name, func(t *testing.T) {
			app := staytest.App(t, nil)
			module := Lists
			module.Adopt = c.adopt
			list := stay.Register(app, module)
			ann := Owner{ID: "ann"}
			laptop, phone, third := staytest.Session(t, app), staytest.Session(t, app), staytest.Session(t, app)
			add(t, laptop, list, "milk")
			become(t, laptop, list, ann)
			add(t, phone, list, "pen")
			add(t, phone, list, "milk")
			become(t, phone, list, ann)
			staytest.Want(t, phone, list, List{Owner: ann, Items: c.want})
			become(t, third, list, ann)
			staytest.Want(t, third, list, List{Owner: ann, Items: c.again})
		})
	}
}

// What else an action did that takes the key away is dropped, and payloads
// cannot name the owner.
//
// Proves K3, K4, K6.
func TestGuideOfDroppedChanges(t *testing.T) {
	app := staytest.App(t, nil)
	module := Lists
	module.Actions = stay.Actions[List]{"edit": func(c *stay.Call, l *List) error { return c.Bind(l) }}
	list := stay.Register(app, module)
	ctx := staytest.Session(t, app)
	ann := Owner{ID: "ann"}
	become(t, ctx, list, ann)
	change(t, ctx, list, func(l *List) { l.Owner, l.Items = Owner{}, []string{"dropped"} })
	staytest.Want(t, ctx, list, List{})
	staytest.Want(t, t.Context(), list.At("ann"), List{Owner: ann})

	_, err := list.Do(ctx, "edit", json.RawMessage(`{"owner":{"id":"ann"}}`))
	wantCode(t, err, stay.ErrMalformed)
	_, err = list.Do(ctx, "edit", url.Values{"owner.id": {"ann"}})
	wantCode(t, err, stay.ErrMalformed)
	staytest.Want(t, ctx, list, List{})
}

// Reset, Delete, At and Keys.
//
// Proves K8.
func TestGuideOfStatesWithoutARequest(t *testing.T) {
	app := staytest.App(t, nil)
	list := stay.Register(app, Lists)
	laptop, phone := staytest.Session(t, app), staytest.Session(t, app)
	ann := Owner{ID: "ann"}

	become(t, laptop, list, ann)
	become(t, phone, list, ann)
	add(t, laptop, list, "milk")
	if err := RemindAll(t.Context(), list, "water the plants"); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, phone, list, List{Owner: ann, Items: []string{"milk", "water the plants"}})
	if _, err := list.ResetAll(phone); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, laptop, list, List{Owner: ann})

	if err := list.At("ann").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, laptop, list, List{}) // a guest
	_, err := list.At("ann").Get(t.Context())
	wantCode(t, err, stay.ErrNotFound)
	if err := Remind(t.Context(), list, "ann", "come back"); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, laptop, list, List{}) // still a guest
	become(t, laptop, list, ann)
	staytest.Want(t, laptop, list, List{Owner: ann, Items: []string{"come back"}})

	_, err = list.At("bob").Update(t.Context(), func(l *List) error { l.Items = []string{"x"}; return nil })
	wantCode(t, err, stay.ErrInvalid) // nobody's
	_, err = list.Update(laptop, func(l *List) error { l.Owner.ID = strings.Repeat("k", 513); return nil })
	wantCode(t, err, stay.ErrInvalid)
	_, err = list.Update(laptop, func(l *List) error { l.Owner.ID = "\xff"; return nil })
	wantCode(t, err, stay.ErrInvalid)
	change(t, phone, list, func(l *List) { l.Owner.ID = strings.Repeat("k", 512) })
}

// ResolveKey by the user, and by the state without guests.
//
// Proves S2, S5.
func TestGuideOfResolveKey(t *testing.T) {
	app := staytest.App(t, nil)
	board := stay.Register(app, Boards)
	login := func(ctx context.Context, user string) {
		t.Helper()
		if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
			t.Fatal(err)
		}
	}
	ann, bob, eve := staytest.Session(t, app), staytest.Session(t, app), staytest.Session(t, app)
	login(ann, "acme/17")
	login(bob, "acme/18")
	login(eve, "other/17")
	change(t, ann, board, func(b *Board) { b.Notes = append(b.Notes, "lunch at one") })
	staytest.Want(t, bob, board, Board{Notes: []string{"lunch at one"}})
	staytest.Want(t, eve, board, Board{})
	staytest.Want(t, t.Context(), board.At("acme"), Board{Notes: []string{"lunch at one"}})

	room := stay.Register(app, Rooms)
	change(t, ann, room, func(r *Room) { r.Lines = append(r.Lines, "hello") })
	staytest.Want(t, bob, room, Room{Name: "lobby", Lines: []string{"hello"}})
	change(t, ann, room, func(r *Room) { r.Name = "kitchen" })
	staytest.Want(t, ann, room, Room{Name: "kitchen"}) // a switch: nothing comes along
	staytest.Want(t, bob, room, Room{Name: "lobby", Lines: []string{"hello"}})
}

// A guest's state, and what ends it.
//
// Proves S2.
func TestGuideOfGuests(t *testing.T) {
	for mode, guests := range map[string]stay.GuestMode{"memory": stay.GuestMemory, "stored": stay.GuestStored} {
		t.Run(mode, func(t *testing.T) {
			clock := staytest.NewClock()
			app := staytest.App(t, &stay.Options{Clock: clock.Now, Guests: guests})
			list := stay.Register(app, Lists)
			note := stay.Register(app, stay.Module[Board]{Name: "note"}) // ephemeral
			own := stay.Register(app, stay.Module[Board]{Name: "own", Persist: stay.PerSession})
			b := staytest.Session(t, app)
			add(t, b, list, "milk")
			change(t, b, note, func(n *Board) { n.Notes = []string{"here"} })
			change(t, b, own, func(n *Board) { n.Notes = []string{"own"} })
			become(t, b, list, Owner{ID: "ann"})
			become(t, b, list, Owner{})
			staytest.Want(t, b, list, List{})
			staytest.Want(t, b, note, Board{Notes: []string{"here"}}) // the session's, whoever is logged in
			staytest.Want(t, b, own, Board{Notes: []string{"own"}})
			if err := stay.SessionFrom(b).Login(b, "ann"); err != nil {
				t.Fatal(err)
			}
			staytest.Want(t, b, note, Board{Notes: []string{"here"}})
			staytest.Want(t, b, own, Board{Notes: []string{"own"}})
			clock.Advance(25 * time.Hour)
			staytest.Want(t, b, note, Board{})
			staytest.Want(t, b, own, Board{})
		})
	}
}

type accounts struct{}

func (accounts) Check(_ context.Context, name, password string) (Owner, error) {
	if password != "secret" {
		return Owner{}, stay.ErrDenied
	}
	return Owner{ID: name}, nil
}

// The handler of the guide shows what is stored under the new key.
//
// Proves W5.
func TestGuideOfTheHandler(t *testing.T) {
	handler := NewHandler(staytest.App(t, nil), accounts{})
	laptop, address := staytest.Browser(t, handler)
	post := func(client *http.Client, path, form string, status int, want string) {
		t.Helper()
		resp, err := client.Post(address+path, "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || string(body) != want {
			t.Errorf("%s: %d %q %v, want %d %q", path, resp.StatusCode, body, err, status, want)
		}
	}
	post(laptop, "/items", "item=milk", 200, ": milk")
	post(laptop, "/login", "name=ann&password=wrong", 403, "Forbidden\n")
	post(laptop, "/login", "name=ann&password=secret", 200, "ann: milk")
	post(laptop, "/logout", "", 200, ": ")
	post(laptop, "/items", "item=pen", 200, ": pen")
	post(laptop, "/login", "name=ann&password=secret", 200, "ann: milk, pen")
}
