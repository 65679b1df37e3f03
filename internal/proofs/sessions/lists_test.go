package sessions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// idsOf returns the IDs of a list of sessions.
func idsOf(t *testing.T, list func(func(*stay.Session, error) bool)) (ids []string) {
	t.Helper()
	for s, err := range list {
		testkit.NoError(t, err)
		ids = append(ids, s.ID())
	}
	return ids
}

// usersOf returns a list of users.
func usersOf(t *testing.T, list func(func(string, error) bool)) (users []string) {
	t.Helper()
	for user, err := range list {
		testkit.NoError(t, err)
		users = append(users, user)
	}
	return users
}

// All sessions are listed, guests' too, in order and from any of them on; those
// that are over are not.
//
// Proves S7.
func TestAllSessionsAreListed(t *testing.T) {
	for name, st := range map[string]store.Store{"own": memstore.New(), "shared": storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.SoleOwner = false
		return f
	}})} {
		t.Run(name, func(t *testing.T) {
			clock := testkit.NewClock()
			app := testkit.NewApp(t, st, &stay.Options{Clock: clock.Now})
			c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
			if got := idsOf(t, app.AllSessions(t.Context(), "")); len(got) > 0 {
				t.Errorf("sessions %v of nobody", got)
			}
			begin := func(user string, opts ...stay.LoginOption) *testkit.Browser {
				b := testkit.NewBrowser(app)
				testkit.MustUpdate(t, b.Ctx(), c)
				if user != "" {
					ctx := b.Ctx()
					testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, user, opts...))
				}
				return b
			}
			begin("old", stay.For(time.Minute))
			clock.Advance(2 * time.Minute)
			var want []string
			for i := range 250 { // several pages
				want = append(want, stay.SessionFrom(begin(fmt.Sprintf("u%d", i%7)).Ctx()).ID())
				want = append(want, stay.SessionFrom(begin("").Ctx()).ID())
			}
			slices.Sort(want)
			begin("revoked")
			testkit.NoError(t, app.Revoke(t.Context(), "revoked"))
			ctx := begin("gone").Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
			testkit.Logout(t, begin("left"))
			guests := idsOf(t, app.AllSessions(t.Context(), ""))
			guests = slices.DeleteFunc(guests, func(id string) bool { return slices.Contains(want, id) })
			if len(guests) != 1 { // the one that was logged out
				t.Errorf("%d sessions more than expected", len(guests))
			}
			want = append(want, guests...)
			slices.Sort(want)
			if got := idsOf(t, app.AllSessions(t.Context(), "")); !slices.Equal(got, want) {
				t.Errorf("%d sessions, want %d", len(got), len(want))
			}
			var got []string
			for { // as pages of seven are shown
				after := ""
				if len(got) > 0 {
					after = got[len(got)-1]
				}
				n := 0
				for s, err := range app.AllSessions(t.Context(), after) {
					testkit.NoError(t, err)
					got = append(got, s.ID())
					if n++; n == 7 {
						break
					}
				}
				if n < 7 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("page by page %d sessions, want %d", len(got), len(want))
			}
			if got, want := usersOf(t, app.Users(t.Context(), "")), []string{"gone", "u0", "u1", "u2", "u3", "u4", "u5", "u6"}; !slices.Equal(got, want) {
				t.Errorf("users %v, want %v", got, want)
			}
			if got := usersOf(t, app.Users(t.Context(), "u4")); !slices.Equal(got, []string{"u5", "u6"}) {
				t.Errorf("users after u4: %v", got)
			}
			// What is listed can be ended.
			for s, err := range app.AllSessions(t.Context(), want[0]) {
				testkit.NoError(t, err)
				testkit.NoError(t, s.Destroy(t.Context()))
			}
			if got := idsOf(t, app.AllSessions(t.Context(), "")); !slices.Equal(got, want[:1]) {
				t.Errorf("%d sessions are left", len(got))
			}
		})
	}
}

// A record that cannot be read does not hide those behind it; a store that fails
// ends the list.
//
// Proves S7.
func TestListsWithWhatCannotBeRead(t *testing.T) {
	mem := memstore.New()
	st := storefault.Wrap(mem, nil)
	app := testkit.NewApp(t, st, nil)
	testkit.UserModules(app)
	for _, user := range []string{"ann", "bob", "carl"} {
		testkit.Login(t, testkit.NewBrowser(app), user)
	}
	ids := idsOf(t, app.AllSessions(t.Context(), ""))
	for _, key := range []string{"stay/session/" + ids[1], "stay/user/bob"} {
		rec := testkit.RecordOf(t, mem, key)
		res := mem.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: key, Base: rec.Revision, Version: 1, Value: []byte("{"), Expires: rec.Expires}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
	}
	failed, good := 0, 0
	for s, err := range app.AllSessions(t.Context(), "") {
		if err != nil {
			testkit.WantCode(t, err, stay.ErrCorrupt)
			if s.ID() == ids[1] && (s.User() != "" || s.Device() != "" || !s.Created().IsZero()) || s.ID() != ids[1] && s.User() != "bob" {
				t.Errorf("a record that cannot be read is %v of %q", s, s.User())
			}
			failed++
		} else {
			good++
		}
	}
	if failed == 0 || failed > 2 || good+failed != 3 {
		t.Errorf("%d sessions and %d that cannot be read", good, failed)
	}
	var users []string
	for user, err := range app.Users(t.Context(), "") {
		if err != nil {
			testkit.WantCode(t, err, stay.ErrCorrupt)
			user += "?"
		}
		users = append(users, user)
	}
	if want := []string{"ann", "bob?", "carl"}; !slices.Equal(users, want) {
		t.Errorf("users %v, want %v", users, want)
	}
	st.Add(storefault.Rule{Op: storefault.Load, Key: "stay/session/" + ids[0], Fault: storefault.Fail(nil)})
	n := 0
	for s, err := range app.AllSessions(t.Context(), "") {
		if n++; s != nil {
			t.Error("a session was read from a store that fails")
		}
		testkit.WantCode(t, err, stay.ErrUnavailable)
	}
	if n != 1 {
		t.Errorf("%d errors", n)
	}
}

// A store that cannot list says so, as for State.Keys.
//
// Proves C5.
func TestListsOfAStoreThatCannotList(t *testing.T) {
	app := testkit.NewApp(t, store.FromSimple(testkit.NewSimple()), nil)
	c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerUser})
	want := func(err error, module string) {
		t.Helper()
		testkit.WantCode(t, err, stay.ErrInvalid)
		var e *stay.Error
		if !errors.As(err, &e) || e.Module != module || e.Message != "the store cannot list its keys" || !strings.Contains(err.Error(), "Features.List") {
			t.Errorf("the error is %v", err)
		}
	}
	n := 0
	for _, err := range app.AllSessions(t.Context(), "") {
		want(err, "")
		n++
	}
	for _, err := range app.Users(t.Context(), "") {
		want(err, "")
		n++
	}
	for _, err := range c.Keys(t.Context()) {
		want(err, "c")
		n++
	}
	if n != 3 {
		t.Errorf("%d errors of three lists", n)
	}
}

// KeysFrom yields the keys with a prefix, after one of them.
func TestKeysWithAPrefix(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	p, _ := testkit.UserModules(app)
	stay.Register(app, stay.Module[testkit.Profile]{Name: "other", Persist: stay.PerUser})
	var team []string
	for i := range 600 {
		key := fmt.Sprintf("team/%03d", i)
		team = append(team, key)
		testkit.Change(t, t.Context(), p.At(key), testkit.Name("x"))
	}
	for _, key := range []string{"a", "tea", "zoe"} {
		testkit.Change(t, t.Context(), p.At(key), testkit.Name("x"))
	}
	for _, tc := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "", slices.Concat([]string{"a", "tea"}, team, []string{"zoe"})},
		{"team/", "", team},
		{"team/", "team/297", team[298:]},
		{"team/", "a", team},
		{"team/", "zoe", nil},
		{"", "team/599", []string{"zoe"}},
		{"nobody", "", nil},
	} {
		var got []string
		for key, err := range p.KeysFrom(t.Context(), tc.prefix, tc.after) {
			testkit.NoError(t, err)
			got = append(got, key)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%d keys with %q after %q, want %d", len(got), tc.prefix, tc.after, len(tc.want))
		}
	}
}

// A described browser says what it is.
type described struct {
	*testkit.Response
	device string
}

func (d described) Device() string { return d.device }

// What a browser says it is is kept with its session, from its first state and
// each login on, and follows when the session slides, is renewed or confirmed.
//
// Proves S7.
func TestTheDeviceOfASession(t *testing.T) {
	mem, clock := testkit.Unclosed{Store: memstore.New()}, testkit.NewClock()
	app := testkit.NewApp(t, mem, &stay.Options{Clock: clock.Now})
	testkit.UserModules(app)
	c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	late := stay.Register(app, stay.Module[testkit.Counter]{Name: "late", Persist: stay.PerSession, Debounce: time.Millisecond})
	b := testkit.NewBrowser(app)
	as := func(b *testkit.Browser, device string) context.Context {
		return b.App.Begin(t.Context(), b.Ring, b.Token, described{&testkit.Response{Browser: b}, device})
	}
	want := func(device string) {
		t.Helper()
		if got := stay.SessionFrom(b.Ctx()).Device(); got != device {
			t.Errorf("the device is %q, want %q", got, device)
		}
	}
	want("")
	testkit.MustUpdate(t, as(b, "Firefox"), c)
	want("Firefox")
	testkit.MustUpdate(t, as(b, "Opera"), c)
	want("Firefox")
	clock.Advance(3 * time.Hour)
	testkit.MustUpdate(t, as(b, "Firefox 2"), c)
	want("Firefox 2")
	ctx := as(b, "Firefox 3")
	testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann"))
	want("Firefox 3")
	for s, err := range app.Sessions(t.Context(), "ann") {
		if testkit.NoError(t, err); s.Device() != "Firefox 3" {
			t.Errorf("the list says %q", s.Device())
		}
	}
	ctx = b.Ctx() // of a caller that knows no device
	testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
	want("Firefox 3")
	ctx = as(b, "Firefox 4")
	testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
	want("Firefox 4")
	ctx = as(b, "Firefox 5")
	testkit.NoError(t, stay.SessionFrom(ctx).Confirm(ctx))
	want("Firefox 5")

	other := testkit.NewBrowser(app)
	testkit.MustUpdate(t, as(other, "Safari"), late)
	testkit.NoError(t, app.Close(t.Context()))
	app = testkit.NewApp(t, mem, &stay.Options{Clock: clock.Now})
	b = b.On(app)
	want("Firefox 5")
	b = other.On(app)
	want("Safari")
}

// A record of an older program is read, and an older program reads what this one
// stores of a guest: but for the device it is what it was.
//
// Proves S1.
func TestRecordsOfOlderPrograms(t *testing.T) {
	mem, clock := memstore.New(), testkit.NewClock()
	app := testkit.NewApp(t, mem, &stay.Options{Clock: clock.Now})
	p, _ := testkit.UserModules(app)
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
	key := "stay/session/" + stay.SessionFrom(b.Ctx()).ID()
	stored := func(key string) store.Record {
		recs, err := mem.Load(t.Context(), []store.Read{{Key: key}})
		testkit.NoError(t, err)
		return recs[0]
	}
	rec := stored(key)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(rec.Value, &fields); err != nil || rec.Version != 1 {
		t.Fatalf("version %d: %v", rec.Version, err)
	}
	delete(fields, "loggedIn")
	fields["later"] = json.RawMessage(`{"x":1}`)
	value, err := json.Marshal(fields)
	testkit.NoError(t, err)
	res := mem.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: key, Base: rec.Revision, Version: 1, Value: value, Expires: rec.Expires}}})
	if res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
	next := testkit.NewApp(t, testkit.Unclosed{Store: mem}, &stay.Options{Clock: clock.Now})
	p, _ = testkit.UserModules(next)
	b = b.On(next)
	testkit.WantState(t, b.Ctx(), p, `{"name":"Ann"}`)
	s := stay.SessionFrom(b.Ctx())
	if s.User() != "ann" || !s.LoggedIn().IsZero() || !s.Confirmed().IsZero() || s.Device() != "" || !s.Expires().Equal(clock.Now().Add(24*time.Hour)) {
		t.Errorf("%q, logged in at %v, ends at %v", s.User(), s.LoggedIn(), s.Expires())
	}
	testkit.NoError(t, s.Confirm(t.Context()))

	guest := testkit.NewBrowser(next)
	c := stay.Register(next, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	testkit.MustUpdate(t, guest.Ctx(), c)
	value = stored("stay/session/" + stay.SessionFrom(guest.Ctx()).ID()).Value
	for _, name := range []string{"loggedIn", "until", "closes", "device", "confirmed"} {
		if len(value) == 0 || strings.Contains(string(value), name) {
			t.Errorf("%s is in %s", name, value)
		}
	}
}
