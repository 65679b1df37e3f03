package sessions_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Whatever sessions do, in any order: what concerns a session alone is stored in
// groups at one home, and a group over several homes is that of a session with
// users or keys: where these meet, or where a session with a user creates a
// state. Claims and expired records that are set aside are included.
//
// Proves A17, C2.
func TestGroupsStayAtHome(t *testing.T) {
	var mu sync.Mutex
	var groups [][]string // the homes of each group
	st := storefault.Wrap(memstore.New(), &storefault.Options{Hook: func(c storefault.Call) {
		mu.Lock()
		defer mu.Unlock()
		for _, g := range c.Groups {
			homes := make([]string, len(g))
			for i, w := range g {
				homes[i] = store.Home(w.Key)
			}
			slices.Sort(homes)
			groups = append(groups, slices.Compact(homes))
		}
	}})
	clock := testkit.NewClock()
	app := testkit.NewApp(t, st, &stay.Options{
		Clock: clock.Now, IdleTimeout: time.Hour, Lifetime: 6 * time.Hour, Guests: stay.GuestStored, MaxNewSessions: 100_000, OnError: testkit.Loud(t),
	})
	hook := func(*stay.Call, *testkit.Counter) {}
	counter := func(name string, persist stay.Strategy) *stay.State[testkit.Counter] {
		return stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: persist, Expiry: 20 * time.Minute, OnExpire: hook})
	}
	mine, all, hers := counter("mine", stay.PerSession), counter("all", stay.Global), counter("hers", stay.PerUser)
	plain := stay.Register(app, stay.Module[testkit.Counter]{Name: "plain", Persist: stay.PerSession})
	todos := stay.Register(app, testkit.TodosModule())
	_, cart := testkit.UserModules(app)

	change := func(s *stay.State[testkit.Counter]) func(*testkit.Browser) error {
		return func(b *testkit.Browser) error { _, err := s.Update(b.Ctx(), testkit.Increment); return err }
	}
	login := func(user string) func(*testkit.Browser) error {
		return func(b *testkit.Browser) error {
			ctx := b.Ctx()
			return stay.SessionFrom(ctx).Login(ctx, user)
		}
	}
	become := func(id string) func(*testkit.Browser) error {
		return func(b *testkit.Browser) error { _, err := todos.Update(b.Ctx(), testkit.Become(id)); return err }
	}
	ops := []struct {
		name  string
		meets bool // a session and users or keys, also without a user
		do    func(*testkit.Browser) error
	}{
		{"a session's state with a hook", false, change(mine)},
		{"a session's state", false, change(plain)},
		{"everybody's state", false, change(all)},
		{"a reset", false, func(b *testkit.Browser) error { _, err := plain.ResetAll(b.Ctx()); return err }},
		{"a deletion", false, func(b *testkit.Browser) error { return mine.Delete(b.Ctx()) }},
		{"a renewal", false, func(b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Renew(ctx) }},
		{"the end", false, func(b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Destroy(ctx) }},
		{"a revocation", false, func(b *testkit.Browser) error { return app.Revoke(b.Ctx(), "bob") }},
		{"a sweep", false, func(*testkit.Browser) error {
			clock.Advance(15 * time.Minute)
			testkit.Sweep(app)
			return nil
		}},
		{"time", false, func(*testkit.Browser) error { clock.Advance(10 * time.Minute); return nil }},
		{"a user's state", true, change(hers)},
		{"a user's cart", true, func(b *testkit.Browser) error { _, err := cart.Update(b.Ctx(), testkit.Put("x")); return err }},
		{"a login", true, login("ann")},
		{"another login", true, login("bob")},
		{"a logout", true, func(b *testkit.Browser) error { ctx := b.Ctx(); return stay.SessionFrom(ctx).Logout(ctx) }},
		{"a key", true, become("ann")},
		{"no key", true, become("")},
		{"a key's state", true, func(b *testkit.Browser) error { _, err := todos.Update(b.Ctx(), testkit.AddItem("x")); return err }},
	}
	browsers := []*testkit.Browser{testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app)}
	r := rand.New(rand.NewPCG(testseed.New(t), 4))
	crossed, done := 0, map[string]int{}
	for range 2000 {
		op, b := ops[r.IntN(len(ops))], browsers[r.IntN(len(browsers))]
		user := stay.SessionFrom(b.Ctx()).User()
		if op.do(b) == nil {
			done[op.name]++
		}
		mu.Lock()
		for _, homes := range groups {
			sessions := 0
			for _, home := range homes {
				if strings.HasPrefix(home, "session/") {
					sessions++
				} else if len(homes) > 1 && !strings.HasPrefix(home, "user/") && !strings.HasPrefix(home, "key/") {
					t.Errorf("%s: a group has the homes %q", op.name, homes)
				}
			}
			if len(homes) > 1 {
				crossed++
				creates := user != "" && strings.HasPrefix(op.name, "a session's state") &&
					len(homes) == 2 && homes[1] == "user/"+user
				if !op.meets && !creates || sessions != 1 {
					t.Errorf("%s: a group has the homes %q", op.name, homes)
				}
			}
		}
		groups = nil
		mu.Unlock()
	}
	for _, op := range ops {
		if done[op.name] < 10 {
			t.Errorf("%s was done %d times only", op.name, done[op.name])
		}
	}
	if crossed == 0 {
		t.Error("no group had several homes")
	}
}
