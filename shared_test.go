package stay_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// nodes are Apps on one store, as two processes are.
func nodes(t *testing.T, n int, opts *stay.Options) []*stay.App {
	t.Helper()
	var apps []*stay.App
	for _, s := range memstore.Shared(n) {
		apps = append(apps, newApp(t, s, opts))
	}
	return apps
}

// N1: every read of every scope sees what another node has acknowledged.
func TestN1ReadsSeeOtherNodes(t *testing.T) {
	apps := nodes(t, 2, nil)
	type states struct {
		session, global *stay.State[counter]
		user            *stay.State[profile]
		key             *stay.State[todos]
	}
	var at [2]states
	for i, app := range apps {
		at[i] = states{
			session: stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession}),
			global:  stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global}),
			user:    stay.Register(app, stay.Module[profile]{Name: "u", Persist: stay.PerUser}),
			key:     stay.Register(app, todosModule()),
		}
	}
	b := newBrowser(apps[0])
	for i := range 6 {
		here := i % 2
		b = b.on(apps[here])
		ctx := b.ctx()
		mustUpdate(t, ctx, at[here].session)
		mustUpdate(t, ctx, at[here].global)
		switch i {
		case 2:
			must(t)(at[here].key.Update(ctx, become("ann")))
		case 3:
			login(t, b, "ann")
		}
		ctx = b.ctx()
		change(t, ctx, at[here].user, name(strconv.Itoa(i)))
		change(t, ctx, at[here].key, addItem("x"))
		for j, app := range apps {
			ctx := b.on(app).ctx()
			wantCount(t, ctx, at[j].session, i+1)
			wantCount(t, ctx, at[j].global, i+1)
			wantState(t, ctx, at[j].user, `{"name":"`+strconv.Itoa(i)+`"}`)
			if got, err := at[j].key.Get(ctx); err != nil || len(got.Items) != i+1 {
				t.Errorf("step %d, node %d: %v, %v", i, j, got, err)
			}
		}
	}
	wantState(t, t.Context(), at[0].user.At("ann"), `{"name":"5"}`)
	wantState(t, t.Context(), at[1].user.At("ann"), `{"name":"5"}`)
}

// N1, S5, S7: a logout, the end of a session and a revocation on one node hold
// on every other at once.
func TestN1EndsHoldOnOtherNodes(t *testing.T) {
	for verb, end := range map[string]func(t *testing.T, app *stay.App, b *browser){
		"logout": func(t *testing.T, _ *stay.App, b *browser) { logout(t, b) },
		"renew": func(t *testing.T, _ *stay.App, b *browser) {
			ctx := b.ctx()
			noError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
		"destroy": func(t *testing.T, _ *stay.App, b *browser) {
			ctx := b.ctx()
			noError(t, stay.SessionFrom(ctx).Destroy(ctx))
		},
		"revoke": func(t *testing.T, app *stay.App, _ *browser) { noError(t, app.Revoke(t.Context(), "ann")) },
	} {
		t.Run(verb, func(t *testing.T) {
			apps := nodes(t, 2, nil)
			p0, _ := userModules(apps[0])
			p1, _ := userModules(apps[1])
			b := newBrowser(apps[0])
			login(t, b, "ann")
			change(t, b.ctx(), p0, name("Ann"))
			there := b.on(apps[1])
			wantState(t, there.ctx(), p1, `{"name":"Ann"}`)
			end(t, apps[0], b)
			ctx := there.ctx()
			wantState(t, ctx, p1, `{"name":"guest"}`)
			_, err := p1.Update(ctx, name("thief"))
			wantCode(t, err, stay.ErrEnded)
			wantCode(t, stay.SessionFrom(ctx).Login(ctx, "eve"), stay.ErrEnded)
			wantState(t, t.Context(), p1.At("ann"), `{"name":"Ann"}`)
		})
	}
}

// N1, S7: a revocation is noticed by a node that knows the user's record from
// before and not the session's.
func TestN1RevokeOfAnEvictedSession(t *testing.T) {
	apps := nodes(t, 2, nil)
	p1, _ := userModules(apps[1])
	userModules(apps[0])
	one, two := newBrowser(apps[0]), newBrowser(apps[0])
	login(t, one, "ann")
	login(t, two, "ann")
	wantState(t, one.on(apps[1]).ctx(), p1, `{"name":"guest"}`) // now node 1 has the user's record
	noError(t, apps[0].Revoke(t.Context(), "ann"))
	ctx := two.on(apps[1]).ctx()
	_, err := p1.Update(ctx, name("x"))
	wantCode(t, err, stay.ErrEnded)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// N1, B11: two nodes that change one key at once lose nothing, and each reads
// its own writes.
func TestN1B11NothingLostAcrossNodes(t *testing.T) {
	apps := nodes(t, 3, nil)
	b := newBrowser(apps[0])
	var states []*stay.State[counter]
	for _, app := range apps {
		states = append(states, stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession}))
	}
	mustUpdate(t, b.ctx(), states[0])
	var wg sync.WaitGroup
	var acked atomic.Int64
	for i, app := range apps {
		for range 4 {
			wg.Go(func() {
				seen := 0
				for range 25 {
					c, err := states[i].Update(b.on(app).ctx(), increment)
					if errors.Is(err, stay.ErrConflict) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					acked.Add(1)
					if got, err := states[i].Get(b.on(app).ctx()); err != nil || got.Count < c.Count || got.Count < seen {
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
		wantCount(t, b.on(app).ctx(), states[i], int(acked.Load())+1)
	}
}

// N1: session, user and state are asked for with one call of the store.
func TestN1OneLoadForEachRead(t *testing.T) {
	counting := &loads{Store: memstore.Shared(1)[0]}
	app := newApp(t, counting, nil)
	p, _ := userModules(app)
	k := stay.Register(app, todosModule())
	g := stay.Register(app, stay.Module[counter]{Name: "g", Persist: stay.Global})
	b := newBrowser(app)
	login(t, b, "ann")
	change(t, b.ctx(), p, name("Ann"))
	change(t, b.ctx(), k, become("ann"))
	mustUpdate(t, b.ctx(), g)
	for what, read := range map[string]func(ctx context.Context) error{
		"PerUser": func(ctx context.Context) error { _, err := p.Get(ctx); return err },
		"WithKey": func(ctx context.Context) error { _, err := k.Get(ctx); return err },
		"Global":  func(ctx context.Context) error { _, err := g.Get(ctx); return err },
		"At":      func(ctx context.Context) error { _, err := k.At("ann").Get(ctx); return err },
	} {
		ctx := b.ctx()
		before := counting.n.Load()
		noError(t, read(ctx))
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

func (l *loads) Load(ctx context.Context, now time.Time, reads []store.Read) ([]store.Record, error) {
	l.n.Add(1)
	return l.Store.Load(ctx, now, reads)
}

// S2: on a store that others use too guests are stored, ephemeral states as
// well, so that they are the same on every node.
func TestS2GuestsAreSharedByNodes(t *testing.T) {
	apps := nodes(t, 2, nil)
	var guests [2]*stay.State[todos]
	var drafts [2]*stay.State[counter]
	for i, app := range apps {
		guests[i] = stay.Register(app, todosModule())
		drafts[i] = stay.Register(app, stay.Module[counter]{Name: "draft"})
	}
	b := newBrowser(apps[0])
	change(t, b.ctx(), guests[0], addItem("milk"))
	mustUpdate(t, b.ctx(), drafts[0])
	there := b.on(apps[1])
	wantState(t, there.ctx(), guests[1], `{"owner":{"id":"","role":""},"items":["milk"],"theme":"light"}`)
	wantCount(t, there.ctx(), drafts[1], 1)
	change(t, there.ctx(), guests[1], become("ann"))
	wantState(t, there.on(apps[0]).ctx(), guests[0], `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
}

// K2, N1: the same session logs in on two nodes at once: the guest is adopted
// once.
func TestK2N1AdoptedOnceAcrossNodes(t *testing.T) {
	for round := range 20 {
		apps := nodes(t, 2, nil)
		m := todosModule()
		m.Adopt = func(stored, result *todos) error {
			stored.Items = append(stored.Items, result.Items...)
			return nil
		}
		states := []*stay.State[todos]{stay.Register(apps[0], m), stay.Register(apps[1], m)}
		change(t, t.Context(), states[0].At("ann"), become("ann"))
		b := newBrowser(apps[0])
		change(t, b.ctx(), states[0], addItem("milk"))
		var wg sync.WaitGroup
		var ok atomic.Int64
		for i, app := range apps {
			wg.Go(func() {
				_, err := states[i].Update(b.on(app).ctx(), become("ann"))
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
		wantState(t, t.Context(), states[0].At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["milk"],"theme":"light"}`)
		if t.Failed() {
			t.Fatal(fmt.Sprint("round ", round))
		}
	}
}

// N1, S7: a revocation asks the store, also where memory knows the user as one
// who is logged in nowhere.
func TestN1S7RevokeOfAUserLoggedInElsewhere(t *testing.T) {
	apps := nodes(t, 2, nil)
	p, _ := userModules(apps[0])
	noError(t, apps[1].Revoke(t.Context(), "ann")) // nothing to revoke yet
	b := newBrowser(apps[0])
	login(t, b, "ann")
	noError(t, apps[1].Revoke(t.Context(), "ann"))
	_, err := p.Update(b.ctx(), name("x"))
	wantCode(t, err, stay.ErrEnded)
}

// N1, S5: Destroy ends a session that was renewed on another node, also if it
// is the request's first use of it.
func TestN1S5DestroyOfASessionRenewedElsewhere(t *testing.T) {
	apps := nodes(t, 2, nil)
	p0, _ := userModules(apps[0])
	p1, _ := userModules(apps[1])
	b := newBrowser(apps[0])
	change(t, b.ctx(), p0, name("Guest"))
	wantState(t, b.on(apps[1]).ctx(), p1, `{"name":"Guest"}`)
	login(t, b, "ann")
	ctx := b.on(apps[1]).ctx()
	noError(t, stay.SessionFrom(ctx).Destroy(ctx))
	_, err := p0.Update(b.ctx(), name("x"))
	wantCode(t, err, stay.ErrEnded)
}

// N1, S5: Destroy deletes the states that were stored on another node.
func TestN1S5DestroyDeletesStatesOfOtherNodes(t *testing.T) {
	handles := memstore.Shared(2)
	var first, second [2]*stay.State[counter]
	var apps [2]*stay.App
	for i := range apps {
		apps[i] = newApp(t, handles[i], nil)
		first[i] = stay.Register(apps[i], stay.Module[counter]{Name: "first", Persist: stay.PerSession})
		second[i] = stay.Register(apps[i], stay.Module[counter]{Name: "second", Persist: stay.PerSession})
	}
	b := newBrowser(apps[0])
	mustUpdate(t, b.ctx(), first[0])
	wantCount(t, b.on(apps[1]).ctx(), second[1], 0) // node 1 remembers that there is none
	mustUpdate(t, b.ctx(), second[0])
	ctx := b.on(apps[1]).ctx()
	noError(t, stay.SessionFrom(ctx).Destroy(ctx))
	for _, key := range rows(t, handles[0]) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%s is left", key)
		}
	}
}

// M3, N1: the state of a guest that stayed behind at the login, because it
// cannot be read, is no concern of a node that does not know the session yet.
func TestM3N1UnreadableGuestThatStayedBehind(t *testing.T) {
	handles := memstore.Shared(2)
	apps := []*stay.App{
		newApp(t, handles[0], &stay.Options{OnError: quiet}),
		newApp(t, handles[1], &stay.Options{OnError: quiet}),
	}
	p0, c0 := userModules(apps[0])
	p1, _ := userModules(apps[1])
	b := newBrowser(apps[0])
	ctx := b.ctx()
	change(t, ctx, c0, put("book"))
	res := handles[1].Commit(t.Context(), time.Now(), []store.Group{{
		{Key: "guest/profile/" + stay.SessionFrom(ctx).ID(), Value: []byte("{"), Version: 1},
	}})
	if res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
	login(t, b, "ann")
	change(t, b.ctx(), p0, name("Ann"))
	for range 2 {
		bridge.AppOf(apps[1]).Evict(false)
		wantState(t, b.on(apps[1]).ctx(), p1, `{"name":"Ann"}`)
		change(t, b.on(apps[1]).ctx(), p1, name("Ann"))
	}
}

// S5, S7: a request that is under way when its session is revoked, here or on
// another node, creates nothing: a user whose state is deleted and whose
// sessions are revoked stays deleted.
func TestN1S5S7NothingIsCreatedAfterRevoke(t *testing.T) {
	for what, other := range map[string]int{"here": 0, "elsewhere": 1} {
		for scope, persist := range map[string]stay.Strategy{"PerUser": stay.PerUser, "PerSession": stay.PerSession} {
			t.Run(what+" "+scope, func(t *testing.T) {
				apps := nodes(t, 2, nil)
				s := stay.Register(apps[0], stay.Module[counter]{Name: "s", Persist: persist})
				b := newBrowser(apps[0])
				login(t, b, "ann")
				for _, evicted := range []bool{false, true} {
					runs := 0
					_, err := s.Update(b.ctx(), func(c *counter) error {
						if runs++; runs == 1 {
							noError(t, apps[other].Revoke(t.Context(), "ann"))
							if evicted {
								bridge.AppOf(apps[0]).Evict(false)
							}
						}
						c.Count++
						return nil
					})
					wantCode(t, err, stay.ErrEnded)
					for key, err := range s.Keys(t.Context()) {
						t.Errorf("there is a state of %q (%v)", key, err)
					}
					b = newBrowser(apps[0])
					login(t, b, "ann")
				}
			})
		}
	}
}

// S5, S7: nor does it change an attachment.
func TestN1S5S7NoKeyChangeAfterRevoke(t *testing.T) {
	for what, key := range map[string]string{"login": "", "switch": "ann"} {
		t.Run(what, func(t *testing.T) {
			apps := nodes(t, 2, nil)
			s := stay.Register(apps[0], todosModule())
			b := newBrowser(apps[0])
			login(t, b, "ann")
			must(t)(s.Update(b.ctx(), become(key)))
			runs := 0
			_, err := s.Update(b.ctx(), func(v *todos) error {
				if runs++; runs == 1 {
					noError(t, apps[1].Revoke(t.Context(), "ann"))
				}
				return become("bob")(v)
			})
			wantCode(t, err, stay.ErrEnded)
			_, err = s.At("bob").Get(t.Context())
			wantCode(t, err, stay.ErrNotFound)
		})
	}
}

// A visitor who has no session yet sees what another node has made of a state
// that everybody begins with.
//
// Proves N1, K1.
func TestANewSessionSeesOtherNodes(t *testing.T) {
	apps := nodes(t, 2, nil)
	var rooms [2]*stay.State[todos]
	for i, app := range apps {
		rooms[i] = stay.Register(app, stay.Module[todos]{
			Name: "room", Initial: todos{Owner: owner{ID: "lobby"}},
			Persist: stay.ResolveKey(func(_ *stay.Call, r *todos) string { return r.Owner.ID }),
		})
	}
	for i := range 4 {
		must(t)(rooms[i%2].At("lobby").Update(t.Context(), func(r *todos) error {
			r.Owner.ID = "lobby"
			r.Items = append(r.Items, strconv.Itoa(i))
			return nil
		}))
		for n := range apps {
			r, err := rooms[n].Get(newBrowser(apps[n]).ctx())
			if err != nil || len(r.Items) != i+1 {
				t.Errorf("after %d changes a new session of node %d sees %v, %v", i+1, n, r, err)
			}
		}
	}
}
