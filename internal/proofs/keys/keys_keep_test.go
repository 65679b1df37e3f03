package keys_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// With KeepCookieOnKeyChange the generation of the cookie does not show the
// changes of a session. These tests show that nothing relies on it.

// Two modules of one session that get their keys at the same time both have
// them.
//
// Proves S4.
func TestTwoModulesGetKeysAtOnce(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			st := testkit.BehindCommitter(memstore.New())
			app := testkit.NewApp(t, st, &stay.Options{Guests: guests, KeepCookieOnKeyChange: true})
			s := stay.Register(app, testkit.TodosModule())
			m := testkit.TodosModule()
			m.Name = "other"
			o := stay.Register(app, m)
			b := testkit.NewBrowser(app)
			testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("one")))
			testkit.Must(t)(o.Update(b.Ctx(), testkit.AddItem("two")))
			ctx := b.Ctx()
			done := testkit.Start(t, testkit.StopAt(st, storefault.Load, "key/todos/ann", false), func() error {
				_, err := s.Update(ctx, testkit.Become("ann"))
				return err
			})
			testkit.Must(t)(o.Update(b.Ctx(), testkit.Become("bob")))
			if err := done(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["one"],"theme":"light"}`)
				testkit.WantState(t, b.Ctx(), o, `{"owner":{"id":"bob","role":"r-bob"},"items":["two"],"theme":"light"}`)
				access.AppOf(app).Evict(false)
			}
		})
	}
}

// If no caller got the answer that a login was stored, the guest whose state
// was adopted is out of reach anyway: it comes back neither with a logout nor
// with the next login.
//
// Proves K2, K3, S4.
func TestUnknownLoginConsumesTheGuest(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := testkit.BehindCommitter(memstore.New())
				app := testkit.NewApp(t, st, &stay.Options{
					Guests: guests, KeepCookieOnKeyChange: true, CommitTimeout: time.Second, OnError: testkit.Quiet,
				})
				s := stay.Register(app, testkit.TodosModule())
				_, c := testkit.UserModules(app)
				b := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
				testkit.Change(t, b.Ctx(), c, testkit.Put("guest"))
				unknown := func(fn func(ctx context.Context) error) {
					t.Helper()
					rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.HangAfter(), Match: testkit.StoresNoList})
					testkit.WantCode(t, fn(b.Ctx()), stay.ErrUnknown)
					rule.Remove()
				}
				unknown(func(ctx context.Context) error {
					_, err := s.Update(ctx, testkit.Become("ann"))
					return err
				})
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["guest"],"theme":"light"}`)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
				testkit.WantState(t, b.Ctx(), s, testkit.GuestState)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("bob")))
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`)

				unknown(func(ctx context.Context) error { return stay.SessionFrom(ctx).Login(ctx, "ann") })
				testkit.WantState(t, b.Ctx(), c, `{"items":["guest"]}`)
				testkit.Logout(t, b)
				testkit.WantState(t, b.Ctx(), c, `{"items":null}`)
				testkit.Login(t, b, "bob")
				testkit.WantState(t, b.Ctx(), c, `{"items":null}`)
			})
		})
	}
}

// A login that was given up and never stored has taken nothing from the guest.
//
// Proves S4.
func TestLostLoginKeepsTheGuest(t *testing.T) {
	for mode, guests := range testkit.GuestModes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := testkit.BehindCommitter(memstore.New())
				app := testkit.NewApp(t, st, &stay.Options{Guests: guests, CommitTimeout: time.Second, OnError: testkit.Quiet})
				s := stay.Register(app, testkit.TodosModule())
				_, c := testkit.UserModules(app)
				b := testkit.NewBrowser(app)
				testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
				testkit.Change(t, b.Ctx(), c, testkit.Put("guest"))
				rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Drop(nil), Match: testkit.StoresNoList})
				_, err := s.Update(b.Ctx(), testkit.Become("ann"))
				testkit.WantCode(t, err, stay.ErrUnknown)
				ctx := b.Ctx()
				testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrUnknown)
				rule.Remove()
				testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
				testkit.WantState(t, b.Ctx(), c, `{"items":["guest"]}`)
			})
		})
	}
}
