package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// Every read of every scope sees what another node has acknowledged.
//
// Proves N1.
func TestReadsSeeOtherNodes(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	type states struct {
		session, global *stay.State[testkit.Counter]
		user            *stay.State[testkit.Profile]
		key             *stay.State[testkit.Todos]
	}
	var at [2]states
	for i, app := range apps {
		at[i] = states{
			session: stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession}),
			global:  stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global}),
			user:    stay.Register(app, stay.Module[testkit.Profile]{Name: "u", Persist: stay.PerUser}),
			key:     stay.Register(app, testkit.TodosModule()),
		}
	}
	b := testkit.NewBrowser(apps[0])
	for i := range 6 {
		here := i % 2
		b = b.On(apps[here])
		ctx := b.Ctx()
		testkit.MustUpdate(t, ctx, at[here].session)
		testkit.MustUpdate(t, ctx, at[here].global)
		switch i {
		case 2:
			testkit.Must(t)(at[here].key.Update(ctx, testkit.Become("ann")))
		case 3:
			testkit.Login(t, b, "ann")
		}
		ctx = b.Ctx()
		testkit.Change(t, ctx, at[here].user, testkit.Name(strconv.Itoa(i)))
		testkit.Change(t, ctx, at[here].key, testkit.AddItem("x"))
		for j, app := range apps {
			ctx := b.On(app).Ctx()
			testkit.WantCount(t, ctx, at[j].session, i+1)
			testkit.WantCount(t, ctx, at[j].global, i+1)
			testkit.WantState(t, ctx, at[j].user, `{"name":"`+strconv.Itoa(i)+`"}`)
			if got, err := at[j].key.Get(ctx); err != nil || len(got.Items) != i+1 {
				t.Errorf("step %d, node %d: %v, %v", i, j, got, err)
			}
		}
	}
	testkit.WantState(t, t.Context(), at[0].user.At("ann"), `{"name":"5"}`)
	testkit.WantState(t, t.Context(), at[1].user.At("ann"), `{"name":"5"}`)
}

// A logout, the end of a session and a revocation on one node hold on every
// other at once.
//
// Proves S5, S7, N1.
func TestEndsHoldOnOtherNodes(t *testing.T) {
	for verb, end := range map[string]func(t *testing.T, app *stay.App, b *testkit.Browser){
		"logout": func(t *testing.T, _ *stay.App, b *testkit.Browser) { testkit.Logout(t, b) },
		"renew": func(t *testing.T, _ *stay.App, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
		"destroy": func(t *testing.T, _ *stay.App, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
		},
		"revoke": func(t *testing.T, app *stay.App, _ *testkit.Browser) {
			testkit.NoError(t, app.Revoke(t.Context(), "ann"))
		},
	} {
		t.Run(verb, func(t *testing.T) {
			apps := testkit.Nodes(t, 2, nil)
			p0, _ := testkit.UserModules(apps[0])
			p1, _ := testkit.UserModules(apps[1])
			b := testkit.NewBrowser(apps[0])
			testkit.Login(t, b, "ann")
			testkit.Change(t, b.Ctx(), p0, testkit.Name("Ann"))
			there, id := b.On(apps[1]), stay.SessionFrom(b.Ctx()).ID()
			testkit.WantState(t, there.Ctx(), p1, `{"name":"Ann"}`)
			end(t, apps[0], b)
			ctx := there.Ctx()
			testkit.WantState(t, ctx, p1, `{"name":"guest"}`)
			_, err := p1.Update(ctx, testkit.Name("thief"))
			testkit.WantCode(t, err, stay.ErrEnded)
			testkit.LoginAnew(t, there, "eve", id)
			testkit.WantState(t, t.Context(), p1.At("ann"), `{"name":"Ann"}`)
		})
	}
}

// A revocation is noticed by a node that knows the user's record from before
// and not the session's.
//
// Proves S7, N1.
func TestRevokeOfAnEvictedSession(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	p1, _ := testkit.UserModules(apps[1])
	testkit.UserModules(apps[0])
	one, two := testkit.NewBrowser(apps[0]), testkit.NewBrowser(apps[0])
	testkit.Login(t, one, "ann")
	testkit.Login(t, two, "ann")
	testkit.WantState(t, one.On(apps[1]).Ctx(), p1, `{"name":"guest"}`) // now node 1 has the user's record
	testkit.NoError(t, apps[0].Revoke(t.Context(), "ann"))
	ctx := two.On(apps[1]).Ctx()
	_, err := p1.Update(ctx, testkit.Name("x"))
	testkit.WantCode(t, err, stay.ErrEnded)
}

// Two nodes that change one key at once lose nothing, and each reads its own
// writes.
//
// Proves A5, B11, N1.
func TestNothingIsLostAcrossNodes(t *testing.T) {
	apps := testkit.Nodes(t, 3, nil)
	b := testkit.NewBrowser(apps[0])
	var states []*stay.State[testkit.Counter]
	for _, app := range apps {
		states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession}))
	}
	testkit.MustUpdate(t, b.Ctx(), states[0])
	var wg sync.WaitGroup
	var acked atomic.Int64
	for i, app := range apps {
		for range 4 {
			wg.Go(func() {
				seen := 0
				for range 25 {
					c, err := states[i].Update(b.On(app).Ctx(), testkit.Increment)
					if errors.Is(err, stay.ErrConflict) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					acked.Add(1)
					if got, err := states[i].Get(b.On(app).Ctx()); err != nil || got.Count < c.Count || got.Count < seen {
						t.Errorf("reads %v after %d was acknowledged: %v", got, c.Count, err)
					} else {
						seen = got.Count
					}
				}
			})
		}
	}
	wg.Wait()
	for i, app := range apps {
		testkit.WantCount(t, b.On(app).Ctx(), states[i], int(acked.Load())+1)
	}
}

// Session, user and state are asked for with one call of the store.
//
// Proves N1.
func TestOneLoadForEachRead(t *testing.T) {
	counting := &loads{Store: memstore.Shared(1)[0]}
	app := testkit.NewApp(t, counting, nil)
	p, _ := testkit.UserModules(app)
	k := stay.Register(app, testkit.TodosModule())
	g := stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
	testkit.Change(t, b.Ctx(), k, testkit.Become("ann"))
	testkit.MustUpdate(t, b.Ctx(), g)
	for what, read := range map[string]func(ctx context.Context) error{
		"PerUser": func(ctx context.Context) error { _, err := p.Get(ctx); return err },
		"WithKey": func(ctx context.Context) error { _, err := k.Get(ctx); return err },
		"Global":  func(ctx context.Context) error { _, err := g.Get(ctx); return err },
		"At":      func(ctx context.Context) error { _, err := k.At("ann").Get(ctx); return err },
	} {
		ctx := b.Ctx()
		before := counting.n.Load()
		testkit.NoError(t, read(ctx))
		if n := counting.n.Load() - before; n != 1 {
			t.Errorf("%s: %d calls of Load for one read", what, n)
		}
	}
}

// loads counts the calls of Load.
type loads struct {
	store.Store
	n atomic.Int64
}

func (l *loads) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	l.n.Add(1)
	return l.Store.Load(ctx, reads)
}

// On a store that others use too guests are stored, ephemeral states as well,
// so that they are the same on every node.
//
// Proves S2, N1.
func TestGuestsAreSharedByNodes(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	var guests [2]*stay.State[testkit.Todos]
	var drafts [2]*stay.State[testkit.Counter]
	for i, app := range apps {
		guests[i] = stay.Register(app, testkit.TodosModule())
		drafts[i] = stay.Register(app, stay.Module[testkit.Counter]{Name: "draft"})
	}
	b := testkit.NewBrowser(apps[0])
	testkit.Change(t, b.Ctx(), guests[0], testkit.AddItem("milk"))
	testkit.MustUpdate(t, b.Ctx(), drafts[0])
	there := b.On(apps[1])
	testkit.WantState(t, there.Ctx(), guests[1], `{"owner":{"id":"","role":""},"items":["milk"],"theme":"light"}`)
	testkit.WantCount(t, there.Ctx(), drafts[1], 1)
	testkit.Change(t, there.Ctx(), guests[1], testkit.Become("ann"))
	testkit.WantState(t, there.On(apps[0]).Ctx(), guests[0], `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
}

// The same session logs in on two nodes at once: the guest is adopted once.
//
// Proves K2, S4, N1.
func TestGuestIsAdoptedOnceAcrossNodes(t *testing.T) {
	for round := range 20 {
		apps := testkit.Nodes(t, 2, nil)
		m := testkit.TodosModule()
		m.Adopt = func(stored, result *testkit.Todos) error {
			stored.Items = append(stored.Items, result.Items...)
			return nil
		}
		states := []*stay.State[testkit.Todos]{stay.Register(apps[0], m), stay.Register(apps[1], m)}
		testkit.Change(t, t.Context(), states[0].At("ann"), testkit.Become("ann"))
		b := testkit.NewBrowser(apps[0])
		testkit.Change(t, b.Ctx(), states[0], testkit.AddItem("milk"))
		var wg sync.WaitGroup
		var ok atomic.Int64
		for i, app := range apps {
			wg.Go(func() {
				_, err := states[i].Update(b.On(app).Ctx(), testkit.Become("ann"))
				switch {
				case err == nil:
					ok.Add(1)
				case !errors.Is(err, stay.ErrEnded):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ok.Load() == 0 {
			t.Error("nobody is logged in")
		}
		testkit.WantState(t, t.Context(), states[0].At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		if t.Failed() {
			t.Fatal(fmt.Sprint("round ", round))
		}
	}
}

// A revocation asks the store, also where memory knows the user as one who is
// logged in nowhere.
//
// Proves S7, N1.
func TestRevokeOfAUserLoggedInElsewhere(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	p, _ := testkit.UserModules(apps[0])
	testkit.NoError(t, apps[1].Revoke(t.Context(), "ann")) // nothing to revoke yet
	b := testkit.NewBrowser(apps[0])
	testkit.Login(t, b, "ann")
	testkit.NoError(t, apps[1].Revoke(t.Context(), "ann"))
	_, err := p.Update(b.Ctx(), testkit.Name("x"))
	testkit.WantCode(t, err, stay.ErrEnded)
}

// Destroy ends a session that was renewed on another node, also if it is the
// request's first use of it.
//
// Proves S5, N1.
func TestDestroyOfASessionRenewedElsewhere(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	p0, _ := testkit.UserModules(apps[0])
	p1, _ := testkit.UserModules(apps[1])
	b := testkit.NewBrowser(apps[0])
	testkit.Change(t, b.Ctx(), p0, testkit.Name("Guest"))
	testkit.WantState(t, b.On(apps[1]).Ctx(), p1, `{"name":"Guest"}`)
	testkit.Login(t, b, "ann")
	ctx := b.On(apps[1]).Ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	_, err := p0.Update(b.Ctx(), testkit.Name("x"))
	testkit.WantCode(t, err, stay.ErrEnded)
}

// Destroy deletes the states that were stored on another node.
//
// Proves S5, N1.
func TestDestroyDeletesStatesOfOtherNodes(t *testing.T) {
	handles := memstore.Shared(2)
	var first, second [2]*stay.State[testkit.Counter]
	var apps [2]*stay.App
	for i := range apps {
		apps[i] = testkit.NewApp(t, handles[i], nil)
		first[i] = stay.Register(apps[i], stay.Module[testkit.Counter]{Name: "first", Persist: stay.PerSession})
		second[i] = stay.Register(apps[i], stay.Module[testkit.Counter]{Name: "second", Persist: stay.PerSession})
	}
	b := testkit.NewBrowser(apps[0])
	testkit.MustUpdate(t, b.Ctx(), first[0])
	testkit.WantCount(t, b.On(apps[1]).Ctx(), second[1], 0) // node 1 remembers that there is none
	testkit.MustUpdate(t, b.Ctx(), second[0])
	ctx := b.On(apps[1]).Ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	for _, key := range testkit.Rows(t, handles[0]) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%s is left", key)
		}
	}
}

// The unreadable state of a guest that a login has not adopted does not affect
// a node that does not know the session yet.
//
// Proves M3, N1.
func TestUnreadableGuestThatStayedBehind(t *testing.T) {
	handles := memstore.Shared(2)
	apps := []*stay.App{
		testkit.NewApp(t, handles[0], &stay.Options{OnError: testkit.Quiet}),
		testkit.NewApp(t, handles[1], &stay.Options{OnError: testkit.Quiet}),
	}
	p0, c0 := testkit.UserModules(apps[0])
	p1, _ := testkit.UserModules(apps[1])
	b := testkit.NewBrowser(apps[0])
	ctx := b.Ctx()
	testkit.Change(t, ctx, c0, testkit.Put("book"))
	res := handles[1].Commit(t.Context(), []store.Group{{
		{Key: "guest/profile/" + stay.SessionFrom(ctx).ID(), Value: []byte("{"), Version: 1},
	}})
	if res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
	testkit.Login(t, b, "ann")
	testkit.Change(t, b.Ctx(), p0, testkit.Name("Ann"))
	for range 2 {
		access.AppOf(apps[1]).Evict(false)
		testkit.WantState(t, b.On(apps[1]).Ctx(), p1, `{"name":"Ann"}`)
		testkit.Change(t, b.On(apps[1]).Ctx(), p1, testkit.Name("Ann"))
	}
}

// A request that is under way when its session is revoked, here or on another
// node, creates nothing: a user whose state is deleted and whose sessions are
// revoked stays deleted.
//
// Proves S5, S7, N1.
func TestNothingIsCreatedAfterRevoke(t *testing.T) {
	for what, other := range map[string]int{"here": 0, "elsewhere": 1} {
		for scope, persist := range map[string]stay.Strategy{"PerUser": stay.PerUser, "PerSession": stay.PerSession} {
			t.Run(what+" "+scope, func(t *testing.T) {
				apps := testkit.Nodes(t, 2, nil)
				s := stay.Register(apps[0], stay.Module[testkit.Counter]{Name: "s", Persist: persist})
				b := testkit.NewBrowser(apps[0])
				testkit.Login(t, b, "ann")
				for _, evicted := range []bool{false, true} {
					runs := 0
					_, err := s.Update(b.Ctx(), func(c *testkit.Counter) error {
						if runs++; runs == 1 {
							testkit.NoError(t, apps[other].Revoke(t.Context(), "ann"))
							if evicted {
								access.AppOf(apps[0]).Evict(false)
							}
						}
						c.Count++
						return nil
					})
					testkit.WantCode(t, err, stay.ErrEnded)
					for key, err := range s.Keys(t.Context()) {
						t.Errorf("there is a state of %q (%v)", key, err)
					}
					b = testkit.NewBrowser(apps[0])
					testkit.Login(t, b, "ann")
				}
			})
		}
	}
}

// Nor does it change an attachment.
//
// Proves S5, S7, N1.
func TestNoKeyChangeAfterRevoke(t *testing.T) {
	for what, key := range map[string]string{"login": "", "switch": "ann"} {
		t.Run(what, func(t *testing.T) {
			apps := testkit.Nodes(t, 2, nil)
			s := stay.Register(apps[0], testkit.TodosModule())
			b := testkit.NewBrowser(apps[0])
			testkit.Login(t, b, "ann")
			testkit.Must(t)(s.Update(b.Ctx(), testkit.Become(key)))
			runs := 0
			_, err := s.Update(b.Ctx(), func(v *testkit.Todos) error {
				if runs++; runs == 1 {
					testkit.NoError(t, apps[1].Revoke(t.Context(), "ann"))
				}
				return testkit.Become("bob")(v)
			})
			testkit.WantCode(t, err, stay.ErrEnded)
			_, err = s.At("bob").Get(t.Context())
			testkit.WantCode(t, err, stay.ErrNotFound)
		})
	}
}

// A visitor who has no session yet sees what another node has made of a state
// that everybody begins with.
//
// Proves K1, N1.
func TestANewSessionSeesOtherNodes(t *testing.T) {
	apps := testkit.Nodes(t, 2, nil)
	var rooms [2]*stay.State[testkit.Todos]
	for i, app := range apps {
		rooms[i] = stay.Register(app, stay.Module[testkit.Todos]{
			Name: "room", Initial: testkit.Todos{Owner: testkit.Owner{ID: "lobby"}},
			Persist: stay.ResolveKey(func(_ *stay.Call, r *testkit.Todos) string { return r.Owner.ID }),
		})
	}
	for i := range 4 {
		testkit.Must(t)(rooms[i%2].At("lobby").Update(t.Context(), func(r *testkit.Todos) error {
			r.Owner.ID = "lobby"
			r.Items = append(r.Items, strconv.Itoa(i))
			return nil
		}))
		for n := range apps {
			r, err := rooms[n].Get(testkit.NewBrowser(apps[n]).Ctx())
			if err != nil || len(r.Items) != i+1 {
				t.Errorf("after %d changes a new session of node %d sees %v, %v", i+1, n, r, err)
			}
		}
	}
}
