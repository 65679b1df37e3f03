package logins_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
)

// A guestRule is a strategy and the owner of a request's state under it.
type guestRule struct {
	persist stay.Strategy
	key     func(user, owner string) string
	byState bool // the key is computed from the state
	byUser  bool // and it looks at the user
}

// ofOwner returns the user of a name, which has a different prefix in each
// play.
func ofOwner(c *stay.Call) (play, user string) {
	name := c.Session().User()
	if name == "" {
		return "", ""
	}
	return name[:len(name)-1], name[len(name)-1:]
}

// mapped is a strategy whose key follows from the user by a table; a user that
// is not in it has no key.
func mapped(keys map[string]string) guestRule {
	return guestRule{
		persist: stay.ResolveKey(func(c *stay.Call, _ *testkit.Cart) string {
			play, user := ofOwner(c)
			if keys[user] == "" {
				return ""
			}
			return play + keys[user]
		}),
		key: func(user, _ string) string { return keys[user] }, byUser: true,
	}
}

func guestRules() map[string]guestRule {
	rules := map[string]guestRule{
		"PerUser": {persist: stay.PerUser, key: func(user, _ string) string { return user }, byUser: true},
		"WithKey": {
			persist: stay.WithKey(func(s *testkit.Todos) string { return s.Owner.ID }),
			key:     func(_, owner string) string { return owner }, byState: true,
		},
		"ResolveKey of state": {
			persist: stay.ResolveKey(func(_ *stay.Call, s *testkit.Todos) string { return s.Owner.ID }),
			key:     func(_, owner string) string { return owner }, byState: true, byUser: true,
		},
		"ResolveKey of state and user": {
			persist: stay.ResolveKey(func(c *stay.Call, s *testkit.Todos) string {
				if _, user := ofOwner(c); user != "" && s.Owner.ID != "" {
					return s.Owner.ID + user
				}
				return ""
			}),
			key: func(user, owner string) string {
				if user == "" || owner == "" {
					return ""
				}
				return owner + user
			},
			byState: true, byUser: true,
		},
	}
	for _, a := range []string{"", "k1", "k2"} {
		for _, b := range []string{"", "k1", "k2"} {
			rules[fmt.Sprintf("ResolveKey a=%q b=%q", a, b)] = mapped(map[string]string{"a": a, "b": b})
		}
	}
	return rules
}

// A guestPlay is a session beside a model of it.
type guestPlay struct {
	rule   guestRule
	name   string // makes keys and users those of this play
	user   string
	key    string
	guest  testkit.Todos
	stored map[string]testkit.Todos
}

func (p *guestPlay) here() testkit.Todos {
	if p.key == "" {
		return p.guest
	}
	return p.stored[p.key]
}

// change is a step that changes the state.
func (p *guestPlay) change(fn func(*testkit.Todos)) {
	v := p.here()
	v.Items = slices.Clone(v.Items)
	fn(&v)
	next := p.key
	if p.rule.byState {
		next = p.rule.key(p.user, v.Owner.ID)
	}
	switch {
	case next == p.key:
	case next == "":
		v.Items = nil
	case p.key == "": // a login, with the module's Adopt
		v.Items = append(slices.Clone(p.stored[next].Items), v.Items...)
		p.guest = testkit.Todos{}
	default:
		v.Items = p.stored[next].Items
	}
	if p.key = next; next == "" {
		p.guest = v
	} else {
		p.stored[next] = v
	}
}

// becomes is a step that changes the session's user.
func (p *guestPlay) becomes(user string) {
	if user == p.user {
		return
	}
	ofNobody := p.user == "" && p.key == ""
	p.user = user
	switch {
	case p.rule.byState && !p.rule.byUser: // the key stays
	case p.rule.byState:
		p.key = ""
	default:
		p.key = p.rule.key(user, "")
	}
	switch {
	case !ofNobody:
		p.guest = testkit.Todos{}
	case p.key != "":
		v := p.stored[p.key]
		v.Items = append(slices.Clone(v.Items), p.guest.Items...)
		p.stored[p.key], p.guest = v, testkit.Todos{}
	}
}

// A session's user changes in every order between none and two users, with no
// key and with two: work of one user without a key is never seen by the other
// user or by a guest, and never reaches a key. The work of a guest without a
// user is adopted.
//
// Proves K2, K3, K4, S5.
func TestGuestsOfUsersNeverMix(t *testing.T) { playGuests(t, 4) }

// The same with longer plays.
func TestSoakGuestsOfUsersNeverMix(t *testing.T) {
	if os.Getenv("STAY_SOAK") == "" {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	playGuests(t, 6)
}

func playGuests(t *testing.T, depth int) {
	for name, rule := range guestRules() {
		for mode, guests := range testkit.GuestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				app := testkit.NewApp(t, testkit.KeyStores["memstore"](), &stay.Options{Guests: guests, MaxNewSessions: 1 << 20})
				s := registerGuests(app, rule)
				play := 0
				var try func(steps []string)
				try = func(steps []string) {
					if t.Failed() {
						return
					}
					if len(steps) == depth {
						play++
						p := &guestPlay{rule: rule, name: fmt.Sprintf("%d/", play), stored: map[string]testkit.Todos{}}
						if slices.Contains(steps, "write") {
							p.run(t, app, s, steps)
						}
						return
					}
					ops := []string{"write", "", "a", "b"}
					if rule.byState {
						ops = append(ops, "owner", "owner k1", "owner k2")
					}
					for _, op := range ops {
						if n := len(steps); n == 0 || steps[n-1] != op {
							try(append(steps[:n:n], op))
						}
					}
				}
				try(nil)
			})
		}
	}
}

// A guestModule is the state that a play works on.
type guestModule struct {
	update func(ctx context.Context, fn func(*testkit.Todos)) error
	items  func(ctx context.Context, key string) ([]string, error)
}

// registerGuests registers a module of the rule. A rule whose key does not
// follow from the state has a state without key fields.
func registerGuests(app *stay.App, rule guestRule) guestModule {
	if rule.byState {
		s := stay.Register(app, stay.Module[testkit.Todos]{Name: "todos", Persist: rule.persist, Adopt: func(stored, guest *testkit.Todos) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		}})
		return stateOfGuests(s, func(v *testkit.Todos, fn func(*testkit.Todos)) []string {
			fn(v)
			return v.Items
		})
	}
	s := stay.Register(app, stay.Module[testkit.Cart]{Name: "todos", Persist: rule.persist, Adopt: func(stored, guest *testkit.Cart) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}})
	return stateOfGuests(s, func(v *testkit.Cart, fn func(*testkit.Todos)) []string {
		all := testkit.Todos{Items: v.Items}
		fn(&all)
		v.Items = all.Items
		return v.Items
	})
}

func stateOfGuests[S any](s *stay.State[S], apply func(v *S, fn func(*testkit.Todos)) []string) guestModule {
	return guestModule{
		update: func(ctx context.Context, fn func(*testkit.Todos)) error {
			_, err := s.Update(ctx, func(v *S) error {
				apply(v, fn)
				return nil
			})
			return err
		},
		items: func(ctx context.Context, key string) ([]string, error) {
			at := s
			if key != "" {
				at = s.At(key)
			}
			v, err := at.Get(ctx)
			if err != nil {
				return nil, err
			}
			return apply(v, func(*testkit.Todos) {}), nil
		},
	}
}

// run makes the steps and compares the visible state after each.
func (p *guestPlay) run(t *testing.T, app *stay.App, s guestModule, steps []string) {
	b := testkit.NewBrowser(app)
	for i, step := range steps {
		var err error
		ctx := b.Ctx()
		switch step {
		case "write":
			item := fmt.Sprintf("%d by %q", i, p.user)
			add := func(v *testkit.Todos) { v.Items = append(v.Items, item) }
			p.change(add)
			err = s.update(ctx, add)
		case "":
			p.becomes("")
			err = stay.SessionFrom(ctx).Logout(ctx)
		case "a", "b":
			p.becomes(step)
			err = stay.SessionFrom(ctx).Login(ctx, p.name+step)
		default: // a change of the owner
			id := step[len("owner"):]
			p.change(func(v *testkit.Todos) { v.Owner.ID = id })
			if id != "" {
				id = p.name + id
			}
			err = s.update(ctx, func(v *testkit.Todos) { v.Owner.ID = id })
		}
		if err != nil {
			t.Fatalf("%q: %q: %v", steps, step, err)
		}
		got, err := s.items(b.Ctx(), "")
		if want := p.here(); err != nil || !slices.Equal(got, want.Items) {
			t.Fatalf("%q: after %q as %q: %q, %v; want %q", steps, steps[:i+1], p.user, got, err, want.Items)
		}
	}
	for key, want := range p.stored {
		got, err := s.items(context.Background(), p.name+key)
		if p.rule.byState || len(want.Items) > 0 {
			if err != nil || !slices.Equal(got, want.Items) {
				t.Fatalf("%q: under %q: %v, %v; want %q", steps, key, got, err, want.Items)
			}
		}
	}
}
