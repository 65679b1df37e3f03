package keys_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A login adopts the guest's state at that moment. A guest's state that was
// deleted and created again while the user's was loaded is not the one that the
// login began with, although it has changed as often.
//
// Proves K2, K8.
func TestLoginMeetsAGuestMadeAnew(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			st := testkit.BehindCommitter(memstore.New())
			s := stay.Register(testkit.NewApp(t, st, &stay.Options{Guests: guests}), testkit.TodosModule())
			b := testkit.NewBrowser(s.App())
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("old")))
			ctx := b.Ctx()
			loggedIn := testkit.Start(t, testkit.StopAt(st, storefault.Load, "key/todos/ann", false), func() error {
				_, err := s.Update(ctx, testkit.Become("ann"))
				return err
			})
			if err := s.Delete(b.Ctx()); err != nil {
				t.Fatal(err)
			}
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("new")))
			if err := loggedIn(); err != nil {
				t.Fatal(err)
			}
			testkit.WantState(t, t.Context(), s.At("ann"), `{"owner":{"id":"ann","role":"r-ann"},"items":["new"],"theme":"light"}`)
		})
	}
}

// What is under way when its session is revoked changes nothing in it: a login
// begins another one.
//
// Proves S5, S7.
func TestLoginMeetsRevoke(t *testing.T) {
	for name, verb := range map[string]func(*stay.Session, context.Context) error{
		"switch": func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "bob") },
		"again":  func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") },
		"logout": (*stay.Session).Logout,
		"renew":  (*stay.Session).Renew,
	} {
		t.Run(name, func(t *testing.T) {
			st := testkit.BehindCommitter(memstore.New())
			app := testkit.NewApp(t, st, nil)
			p, _ := testkit.UserModules(app)
			b := testkit.NewBrowser(app)
			testkit.Login(t, b, "ann")
			testkit.Change(t, b.Ctx(), p, func(p *testkit.Profile) error { p.Name = "Ann"; return nil })
			old, ctx := *b, b.Ctx()
			id := stay.SessionFrom(ctx).ID()
			if id == "" {
				t.Fatal("no session")
			}
			gate := testkit.StopAt(st, storefault.Load, "stay/", false)
			access.AppOf(app).Evict(false)
			// It is stopped where it loads the session or the user.
			done := testkit.Start(t, gate, func() error { return verb(stay.SessionFrom(ctx), ctx) })
			if err := app.Revoke(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			err := done()
			if user := map[string]string{"switch": "bob", "again": "ann"}[name]; user != "" {
				testkit.NoError(t, err)
				if s := stay.SessionFrom(b.Ctx()); s.User() != user || s.ID() == id {
					t.Errorf("the session is %v, of %q", s, s.User())
				}
			} else {
				testkit.WantCode(t, err, stay.ErrEnded)
			}
			testkit.WantState(t, old.Ctx(), p, `{"name":"guest"}`)
			testkit.WantCode(t, stay.SessionFrom(old.Ctx()).Renew(old.Ctx()), stay.ErrEnded)
		})
	}
	t.Run("resolved", func(t *testing.T) {
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, nil)
		testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		testkit.Login(t, b, "ann")
		ctx := b.Ctx()
		done := testkit.Start(t, testkit.StopAt(st, storefault.Load, "stay/user/bob", false), func() error {
			return stay.SessionFrom(ctx).Login(ctx, "bob")
		})
		if err := app.Revoke(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		testkit.WantCode(t, done(), stay.ErrEnded)
		if user := stay.SessionFrom(b.Ctx()).User(); user != "" {
			t.Errorf("a session that was revoked is logged in as %q", user)
		}
	})
}

// A slow answer about a session's record does not replace a later record: an
// ended session stays ended.
//
// Proves S5.
func TestSlowAnswerRevivesNothing(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil) // answers can overtake each other
	app := testkit.NewApp(t, st, nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	probe := stay.Register(app, stay.Module[testkit.Counter]{Name: "probe", Persist: stay.PerSession})
	b := testkit.NewBrowser(app)
	testkit.WantCount(t, b.Ctx(), s, 0) // it has a cookie, and nothing is stored
	ctx := b.Ctx()
	stored := testkit.Start(t, testkit.StopAt(st, storefault.Commit, "session/c/", true), func() error {
		_, err := s.Update(ctx, testkit.Increment)
		return err
	})
	access.AppOf(app).Evict(true)
	end := b.With(b.Token).Ctx()
	destroyed := make(chan error, 1)
	go func() { destroyed <- stay.SessionFrom(end).Destroy(end) }() // waits for the state
	try := func() error {
		_, err := probe.Update(b.With(b.Token).Ctx(), func(*testkit.Counter) error { return errors.ErrUnsupported })
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

// A login comes between any two steps of a guest's change, as far as reads of
// the clock separate them, and everything is evicted at once. The user has the
// acknowledged change.
//
// Proves S4, S5.
func TestLoginWithinAGuestsChange(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		for _, touched := range []bool{false, true} {
			t.Run(mode, func(t *testing.T) {
				for at := 1; ; at++ {
					var looks, armed atomic.Int32
					intrude := func() {}
					app := testkit.NewApp(t, testkit.BehindCommitter(memstore.New()), &stay.Options{Guests: guests, Clock: func() time.Time {
						if armed.Load() == 1 && int(looks.Add(1)) == at && armed.CompareAndSwap(1, 2) {
							intrude()
						}
						return worldClock()
					}})
					_, c := testkit.UserModules(app)
					b := testkit.NewBrowser(app)
					testkit.WantState(t, b.Ctx(), c, `{"items":null}`) // the cookie
					want := map[string]bool{}
					if touched {
						testkit.Change(t, b.Ctx(), c, testkit.Put("before"))
						want["before"] = true
					}
					ctx := b.Ctx()
					done := make(chan struct{})
					intrude = func() {
						go func() {
							defer close(done)
							testkit.Login(t, b, "ann")
							access.AppOf(app).Evict(false)
						}()
						select {
						case <-done:
						case <-time.After(50 * time.Millisecond): // it waits for the change that it meets
						}
					}
					armed.Store(1)
					_, err := c.Update(ctx, testkit.Put("meanwhile"))
					if armed.Load() == 1 {
						return // it does not read the clock so often
					}
					<-done
					switch {
					case err == nil:
						want["meanwhile"] = true
					case !errors.Is(err, stay.ErrEnded):
						t.Error(err)
					}
					got, err := c.Get(b.Ctx())
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

// A read shows the state that decided the owner of the session, and never one
// that replaced it meanwhile: here somebody else deletes and recreates the key
// whenever its record is about to be read again.
//
// Proves K7, K8.
func TestReadIsOfTheStateThatWasChecked(t *testing.T) {
	mem := memstore.New()
	const key = "key/todos/ann"
	looks := -1 // not yet counted
	st := storefault.Wrap(testkit.Unclosed{Store: mem}, &storefault.Options{Hook: func(c storefault.Call) {
		if c.Op != storefault.Load || !slices.Contains(c.Keys, key) || looks < 0 {
			return
		}
		if looks++; looks < 2 {
			return
		}
		rec := testkit.RecordOf(t, mem, key)
		for _, w := range []store.Write{
			{Op: store.Delete, Key: key, Base: rec.Revision},
			{Op: store.Put, Key: key, Value: []byte(`{"owner":{"id":"ann"},"items":["of another ann"]}`), Version: 1},
		} {
			if res := mem.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
				t.Error(res[0])
			}
		}
	}})
	app := testkit.NewApp(t, st, nil)
	s := stay.Register(app, testkit.TodosModule())
	b := testkit.NewBrowser(app)
	testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
	testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("mine")))
	access.AppOf(app).Evict(true)
	looks = 0
	got := testkit.Must(t)(s.Get(b.Ctx()))
	if !slices.Equal(got.Items, []string{"mine"}) {
		t.Errorf("the session reads %q", got.Items)
	}
}
