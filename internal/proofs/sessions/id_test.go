package sessions_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// In one request the ID is that of the session as the request has changed it,
// and "" once this or another request has ended it.
//
// Proves S5.
func TestIDFollowsTheRequestsOwnChanges(t *testing.T) {
	for where, open := range testkit.KeyStores {
		t.Run(where, func(t *testing.T) {
			a := newIdentityApp(t, open())
			b := testkit.NewBrowser(a.App)
			ctx := b.Ctx()
			s := stay.SessionFrom(ctx)
			id := s.ID()
			for what, do := range []func() error{
				func() error { return s.Login(ctx, "ann") },
				func() error { return s.Renew(ctx) },
				func() error { _, err := a.keyed.Update(ctx, testkit.Become("ann")); return err },
				func() error { return s.Logout(ctx) },
			} {
				testkit.NoError(t, do())
				if got := s.ID(); got != id {
					t.Errorf("after change %d the ID is %q, and was %q", what, got, id)
				}
			}
			late := b.Ctx()
			testkit.WantCount(t, late, a.own, 0)
			underWay := stay.SessionFrom(late)
			testkit.NoError(t, s.Renew(ctx))
			if got := underWay.ID(); got != "" {
				t.Errorf("of a request that was under way the ID is %q", got)
			}
			testkit.NoError(t, s.Destroy(ctx))
			if got := s.ID(); got != "" {
				t.Errorf("after Destroy the ID is %q", got)
			}
		})
	}
}

// The ID of a session whose cookie cannot reach the browser is "".
//
// Proves W2.
func TestNoIDAfterTheHeader(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	ctx, r := b.Request()
	r.Sent = true
	if id := stay.SessionFrom(ctx).ID(); id != "" || len(r.Issued) > 0 {
		t.Errorf("the ID is %q, the cookies are %q", id, r.Issued)
	}
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	want := stay.SessionFrom(b.Ctx()).ID()
	ctx, r = b.Request()
	r.Sent = true
	if id := stay.SessionFrom(ctx).ID(); id != want {
		t.Errorf("the ID is %q, want %q, which the browser knows", id, want)
	}
}

// Asking for the ID stores nothing, and leaves the cookie as it is if the session
// has one.
//
// Proves B1, S6.
func TestIDStoresNothing(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	if id := stay.SessionFrom(b.Ctx()).ID(); id == "" || b.Token == "" {
		t.Errorf("the ID is %q, the cookie %q", id, b.Token)
	}
	if keys := app.Rows(t); len(keys) > 0 {
		t.Errorf("the ID stored %q", keys)
	}
	app.Clock.Advance(20 * time.Hour)
	ctx, r := b.Request()
	if id := stay.SessionFrom(ctx).ID(); id == "" || len(r.Issued) > 0 {
		t.Errorf("the ID is %q, the cookies are %q", id, r.Issued)
	}
}

// The ID does not wait for ever for a store that hangs, and is "" if it is not
// known whether the cookie is valid.
func TestIDWaitsForTheStoreAsLongAsMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, &stay.Options{MaxWait: 3 * time.Second})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), s)
		id := stay.SessionFrom(b.Ctx()).ID()
		access.AppOf(app).Evict(false)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Load, Key: "stay/session/" + id, Fault: storefault.Stop(gate)})
		began := time.Now()
		if got, took := stay.SessionFrom(b.Ctx()).ID(), time.Since(began); got != "" || took > 3*time.Second {
			t.Errorf("the ID is %q after %v", got, took)
		}
		rule.Remove()
		gate.Open()
		synctest.Wait()
		if got := stay.SessionFrom(b.Ctx()).ID(); got != id {
			t.Errorf("the ID is %q, want %q", got, id)
		}
	})
}
