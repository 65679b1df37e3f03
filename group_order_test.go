package stay_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// An orderedStore fails the test if a group writes something after the record
// of a session.
type orderedStore struct {
	store.Store
	t     *testing.T
	mixed int // groups with a session's record and something else
}

func (s *orderedStore) Commit(ctx context.Context, groups []store.Group) []store.Result {
	for _, g := range groups {
		session, writes := false, 0
		for _, w := range g {
			if w.Op == store.Check {
				continue
			}
			writes++
			if session {
				s.t.Errorf("%s is written behind the record of a session", w.Key)
			}
			session = strings.HasPrefix(w.Key, "stay/session/")
		}
		if session && writes > 1 {
			s.mixed++
		}
	}
	return s.Store.Commit(ctx, groups)
}

// The record of a session is written last in its group, so that a store whose
// groups a crash can cut short has no session that names a missing record.
//
// Proves S4.
func TestSessionRecordsAreWrittenLast(t *testing.T) {
	type cart struct {
		Owner string `stay:"key"`
		Items int
	}
	s := &orderedStore{Store: memstore.New(), t: t}
	app := stay.New(s, &stay.Options{Guests: stay.GuestStored, KeepCookieOnKeyChange: true})
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	own := stay.Register(app, stay.Module[cart]{Name: "own", Persist: stay.WithKey(func(c *cart) string { return c.Owner })})
	users := stay.Register(app, stay.Module[struct{ Items int }]{Name: "users", Persist: stay.PerUser})
	ctx := staytest.Session(t, app)
	session := stay.SessionFrom(ctx)
	_, first := own.Update(ctx, func(c *cart) error { c.Items++; return nil })
	_, guest := users.Update(ctx, func(c *struct{ Items int }) error { c.Items++; return nil })
	_, named := own.Update(ctx, func(c *cart) error { c.Owner = "ann"; return nil })
	in := session.Login(ctx, "ann")
	_, left := own.Update(ctx, func(c *cart) error { c.Owner = ""; return nil })
	out := session.Logout(ctx)
	for what, err := range map[string]error{"first": first, "guest": guest, "named": named, "login": in, "left": left, "logout": out} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.mixed < 4 {
		t.Errorf("%d groups wrote the record of a session and something else, want 4", s.mixed)
	}
}
