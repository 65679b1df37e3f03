package stay_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// stopAt has the next call of an operation that names a key with the prefix
// wait, before or after the work, until the gate is opened.
func stopAt(st *storefault.Store, op storefault.Op, prefix string, after bool) *storefault.Gate {
	gate := storefault.NewGate()
	fault := storefault.Stop(gate)
	if after {
		fault = storefault.StopAfter(gate)
	}
	st.Add(storefault.Rule{Op: op, Times: 1, Fault: fault, Match: func(c storefault.Call) bool {
		for _, key := range c.Keys {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}})
	return gate
}

// start runs fn while the gate is closed, and returns when it stands there;
// wait opens the gate and returns what fn did.
func start(t *testing.T, gate *storefault.Gate, fn func() error) (wait func() error) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- fn() }()
	if _, err := gate.Arrived(soon(t)); err != nil {
		t.Fatal(err)
	}
	return func() error {
		gate.Open()
		return <-result
	}
}

// K2, K8: a login takes along what the guest has when it happens. A guest's
// state that was deleted while the user's was loaded, and made anew, is not
// the one that the login began with, though it has changed as often.
func TestK2LoginMeetsAGuestMadeAnew(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			st := behindCommitter(memstore.New())
			s := stay.Register(newApp(t, st, &stay.Options{Guests: guests}), todosModule())
			b := newBrowser(s.App())
			must(t)(s.Update(b.ctx(), addItem("old")))
			ctx := b.ctx()
			loggedIn := start(t, stopAt(st, storefault.Load, "key/todos/ann", false), func() error {
				_, err := s.Update(ctx, become("ann"))
				return err
			})
			if err := s.Delete(b.ctx()); err != nil {
				t.Fatal(err)
			}
			must(t)(s.Update(b.ctx(), addItem("new")))
			if err := loggedIn(); err != nil {
				t.Fatal(err)
			}
			wantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["new"],"theme":"light"}`)
		})
	}
}

// S5, S7: a login that is under way when its session is revoked changes
// nothing.
func TestS7LoginMeetsRevoke(t *testing.T) {
	for name, verb := range map[string]func(*stay.Session, context.Context) error{
		"switch": func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") },
		"again":  func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") },
		"logout": (*stay.Session).Logout,
		"renew":  (*stay.Session).Renew,
	} {
		t.Run(name, func(t *testing.T) {
			st := behindCommitter(memstore.New())
			app := newApp(t, st, nil)
			p, _ := userModules(app)
			b := newBrowser(app)
			login(t, b, "ann")
			change(t, b.ctx(), p, func(p *profile) error { p.Name = "Ann"; return nil })
			ctx := b.ctx()
			if id := stay.SessionFrom(ctx).ID(); id == "" {
				t.Fatal("no session")
			}
			gate := stopAt(st, storefault.Load, "stay/", false)
			bridge.AppOf(app).Evict(false)
			// It stands where it loads the session, or whose it was.
			done := start(t, gate, func() error { return verb(stay.SessionFrom(ctx), ctx) })
			if err := app.Revoke(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			wantCode(t, done(), stay.ErrEnded)
			wantState(t, b.ctx(), p, `{"name":"guest"}`)
			wantCode(t, stay.SessionFrom(b.ctx()).Renew(b.ctx()), stay.ErrEnded)
		})
	}
	t.Run("resolved", func(t *testing.T) {
		st := behindCommitter(memstore.New())
		app := newApp(t, st, nil)
		userModules(app)
		b := newBrowser(app)
		login(t, b, "ann")
		ctx := b.ctx()
		done := start(t, stopAt(st, storefault.Load, "stay/user/bob", false), func() error {
			return stay.SessionFrom(ctx).Login(ctx, "bob")
		})
		if err := app.Revoke(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, done(), stay.ErrEnded)
		if user := stay.SessionFrom(b.ctx()).User(); user != "" {
			t.Errorf("a session that was revoked is logged in as %q", user)
		}
	})
}

// S5: what a slow answer says of a session's record does not replace what was
// stored since: a session that has ended stays so.
func TestS5SlowAnswerRevivesNothing(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil) // answers can overtake each other
	app := newApp(t, st, nil)
	s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession})
	probe := stay.Register(app, stay.Module[counter]{Name: "probe", Persist: stay.PerSession})
	b := newBrowser(app)
	wantCount(t, b.ctx(), s, 0) // it has a cookie, and nothing is stored
	ctx := b.ctx()
	stored := start(t, stopAt(st, storefault.Commit, "session/c/", true), func() error {
		_, err := s.Update(ctx, increment)
		return err
	})
	bridge.AppOf(app).Evict(true)
	end := b.with(b.token).ctx()
	destroyed := make(chan error, 1)
	go func() { destroyed <- stay.SessionFrom(end).Destroy(end) }() // waits for the state
	try := func() error {
		_, err := probe.Update(b.with(b.token).ctx(), func(*counter) error { return errors.ErrUnsupported })
		return err
	}
	for !errors.Is(try(), stay.ErrEnded) {
		runtime.Gosched()
	}
	if err := stored(); err != nil && !errors.Is(err, stay.ErrEnded) {
		t.Fatal(err)
	}
	if err := try(); !errors.Is(err, stay.ErrEnded) {
		t.Errorf("a session that was destroyed is used: %v", err)
	}
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
}

// S4, S5: a login comes between any two steps of a guest's change, as far as
// looks at the clock tell them apart, and everything is evicted at once. What
// the change acknowledged the user has.
func TestS5LoginWithinAChange(t *testing.T) {
	for mode, guests := range guestModes {
		for _, touched := range []bool{false, true} {
			t.Run(mode, func(t *testing.T) {
				for at := 1; ; at++ {
					var looks, armed atomic.Int32
					intrude := func() {}
					app := newApp(t, behindCommitter(memstore.New()), &stay.Options{Guests: guests, Clock: func() time.Time {
						if armed.Load() == 1 && int(looks.Add(1)) == at && armed.CompareAndSwap(1, 2) {
							intrude()
						}
						return worldClock()
					}})
					_, c := userModules(app)
					b := newBrowser(app)
					wantState(t, b.ctx(), c, `{"items":null}`) // the cookie
					want := map[string]bool{}
					if touched {
						change(t, b.ctx(), c, put("before"))
						want["before"] = true
					}
					ctx := b.ctx()
					done := make(chan struct{})
					intrude = func() {
						go func() {
							defer close(done)
							login(t, b, "ann")
							bridge.AppOf(app).Evict(false)
						}()
						select {
						case <-done:
						case <-time.After(50 * time.Millisecond): // it waits for whom it meets
						}
					}
					armed.Store(1)
					_, err := c.Update(ctx, put("meanwhile"))
					if armed.Load() == 1 {
						return // it does not look at the clock so often
					}
					<-done
					switch {
					case err == nil:
						want["meanwhile"] = true
					case !errors.Is(err, stay.ErrEnded):
						t.Error(err)
					}
					got, err := c.Get(b.ctx())
					if err != nil {
						t.Fatal(err)
					}
					for _, item := range got.Items {
						if !want[item] {
							t.Errorf("at look %d: %q is there", at, item)
						}
						delete(want, item)
					}
					if len(want) > 0 {
						t.Errorf("at look %d: %v was acknowledged and is lost", at, want)
					}
				}
			})
		}
	}
}

// K7, K8: a read shows the state by which it was decided whose the session is,
// and never one that came in its place meanwhile: here the key is deleted, and
// made anew by somebody else, whenever its record is about to be read again.
func TestK7K8ReadIsOfTheStateThatWasChecked(t *testing.T) {
	mem := memstore.New()
	const key = "key/todos/ann"
	looks := -1 // not yet counted
	st := storefault.Wrap(unclosed{mem}, &storefault.Options{Hook: func(c storefault.Call) {
		if c.Op != storefault.Load || !slices.Contains(c.Keys, key) || looks < 0 {
			return
		}
		if looks++; looks < 2 {
			return
		}
		rec := recordOf(t, mem, key)
		for _, w := range []store.Write{
			{Op: store.Delete, Key: key, Base: rec.Revision},
			{Op: store.Put, Key: key, Value: []byte(`{"owner":{"id":"ann"},"items":["of another ann"]}`), Version: 1},
		} {
			if res := mem.Commit(t.Context(), time.Now(), []store.Group{{w}}); res[0].Outcome != store.Applied {
				t.Error(res[0])
			}
		}
	}})
	app := newApp(t, st, nil)
	s := stay.Register(app, todosModule())
	b := newBrowser(app)
	must(t)(s.Update(b.ctx(), become("ann")))
	must(t)(s.Update(b.ctx(), addItem("mine")))
	bridge.AppOf(app).Evict(true)
	looks = 0
	got := must(t)(s.Get(b.ctx()))
	if !slices.Equal(got.Items, []string{"mine"}) {
		t.Errorf("the session reads %q", got.Items)
	}
}
