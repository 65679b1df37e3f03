package stay_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// With KeepCookieOnKeyChange the generation of the cookie does not tell what
// became of a session meanwhile. These tests show that nothing relies on it.

// S4: two modules of one session that get their keys at the same time both
// have them.
func TestS4TwoModulesGetKeysAtOnce(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			st := behindCommitter(memstore.New())
			app := newApp(t, st, &stay.Options{Guests: guests, KeepCookieOnKeyChange: true})
			s := stay.Register(app, todosModule())
			m := todosModule()
			m.Name = "other"
			o := stay.Register(app, m)
			b := newBrowser(app)
			must(t)(s.Update(b.ctx(), addItem("one")))
			must(t)(o.Update(b.ctx(), addItem("two")))
			ctx := b.ctx()
			done := start(t, stopAt(st, storefault.Load, "key/todos/ann", false), func() error {
				_, err := s.Update(ctx, become("ann"))
				return err
			})
			must(t)(o.Update(b.ctx(), become("bob")))
			if err := done(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["one"],"theme":"light"}`)
				wantState(t, b.ctx(), o, `{"owner":{"id":"bob","role":"r-bob"},"items":["two"],"theme":"light"}`)
				bridge.AppOf(app).Evict(false)
			}
		})
	}
}

// S4, K2, K3: where nobody has learnt that a login was stored, the guest whose
// state went along is out of reach all the same: it comes back neither with a
// logout nor with the next login.
func TestS4UnknownLoginConsumesTheGuest(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := behindCommitter(memstore.New())
				app := newApp(t, st, &stay.Options{
					Guests: guests, KeepCookieOnKeyChange: true, CommitTimeout: time.Second, OnError: quiet,
				})
				s := stay.Register(app, todosModule())
				_, c := userModules(app)
				b := newBrowser(app)
				must(t)(s.Update(b.ctx(), addItem("guest")))
				change(t, b.ctx(), c, put("guest"))
				unknown := func(fn func(ctx context.Context) error) {
					t.Helper()
					rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.HangAfter(), Match: storesNoList})
					wantCode(t, fn(b.ctx()), stay.ErrUnknown)
					rule.Remove()
				}
				unknown(func(ctx context.Context) error {
					_, err := s.Update(ctx, become("ann"))
					return err
				})
				wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["guest"],"theme":"light"}`)
				must(t)(s.Update(b.ctx(), become("")))
				wantState(t, b.ctx(), s, guestState)
				must(t)(s.Update(b.ctx(), become("bob")))
				wantState(t, b.ctx(), s, `{"owner":{"id":"bob","role":"r-bob"},"items":null,"theme":"light"}`)

				unknown(func(ctx context.Context) error { return stay.SessionFrom(ctx).Login(ctx, "ann") })
				wantState(t, b.ctx(), c, `{"items":["guest"]}`)
				logout(t, b)
				wantState(t, b.ctx(), c, `{"items":null}`)
				login(t, b, "bob")
				wantState(t, b.ctx(), c, `{"items":null}`)
			})
		})
	}
}

// S4: a login that was given up and never stored has taken nothing from the
// guest.
func TestS4LostLoginKeepsTheGuest(t *testing.T) {
	for mode, guests := range guestModes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := behindCommitter(memstore.New())
				app := newApp(t, st, &stay.Options{Guests: guests, CommitTimeout: time.Second, OnError: quiet})
				s := stay.Register(app, todosModule())
				_, c := userModules(app)
				b := newBrowser(app)
				must(t)(s.Update(b.ctx(), addItem("guest")))
				change(t, b.ctx(), c, put("guest"))
				rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Drop(nil), Match: storesNoList})
				_, err := s.Update(b.ctx(), become("ann"))
				wantCode(t, err, stay.ErrUnknown)
				ctx := b.ctx()
				wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrUnknown)
				rule.Remove()
				wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
				wantState(t, b.ctx(), c, `{"items":["guest"]}`)
			})
		})
	}
}
