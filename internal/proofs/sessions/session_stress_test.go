package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// onStoresOfSessions runs the test on an immediate store, behind the
// committer, and there on a store that takes its time, which lets more meet
// in one call.
func onStoresOfSessions(t *testing.T, test func(t *testing.T, st store.Store, app *stay.App)) {
	slow := testkit.BehindCommitter(memstore.New())
	slow.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(300*time.Microsecond, 0)})
	for name, st := range map[string]store.Store{
		"immediate": memstore.New(),
		"committer": testkit.BehindCommitter(memstore.New()),
		"slow":      slow,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, st, testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet}))
		})
	}
}

// perSessionStates registers modules whose states belong to a session.
func perSessionStates(app *stay.App, n int) []*stay.State[testkit.Counter] {
	var states []*stay.State[testkit.Counter]
	for i := range n {
		states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: fmt.Sprint("s", i), Persist: stay.PerSession}))
	}
	return states
}

// A session that is renewed again and again while parallel requests create and
// delete states of it stays the same session: each old cookie is refused, each
// new one works.
//
// Proves S5.
func TestRenewalsAmongRequestsKeepTheSession(t *testing.T) {
	const sessions, renewals = 4, 30
	onStoresOfSessions(t, func(t *testing.T, _ store.Store, app *stay.App) {
		states := perSessionStates(app, 4)
		var all sync.WaitGroup
		for range sessions {
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), states[0])
			id := stay.SessionFrom(b.Ctx()).ID()
			var token atomic.Pointer[string]
			token.Store(&b.Token)
			var stop atomic.Bool
			for _, s := range states[1:] {
				all.Go(func() {
					for !stop.Load() {
						// They meet renewals, so they may be refused.
						ctx := b.With(*token.Load()).Ctx()
						_, _ = s.Update(ctx, testkit.Increment)
						_ = s.Delete(ctx)
					}
				})
			}
			all.Go(func() {
				defer stop.Store(true)
				for range renewals {
					old := *token.Load()
					now := b.With(old)
					if err := stay.SessionFrom(now.Ctx()).Renew(t.Context()); err != nil {
						t.Errorf("Renew: %v", err)
						return
					}
					issued := now.Token
					token.Store(&issued)
					if _, err := states[0].Update(b.With(old).Ctx(), testkit.Increment); !errors.Is(err, stay.ErrEnded) {
						t.Errorf("a change through the old cookie: %v, want ErrEnded", err)
					}
					ctx := now.Ctx()
					testkit.WantCount(t, ctx, states[0], 1)
					if stay.SessionFrom(ctx).ID() != id {
						t.Error("the new cookie names another session")
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// Once Destroy has returned nothing is accepted through the cookie, and when
// the requests that were under way are over no state of the session is stored.
//
// Proves S5.
func TestNothingIsAcceptedAfterDestroy(t *testing.T) {
	const sessions, turns = 40, 20
	onStoresOfSessions(t, func(t *testing.T, st store.Store, app *stay.App) {
		random := rand.New(rand.NewPCG(testseed.New(t), 0))
		states := perSessionStates(app, 4)
		ephemeral := stay.Register(app, stay.Module[testkit.Counter]{Name: "ephemeral"})
		for range sessions {
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), states[0])
			id, token := stay.SessionFrom(b.Ctx()).ID(), b.Token
			changed := make(chan struct{}, 3*turns)
			var work sync.WaitGroup
			for _, s := range states[1:] {
				work.Go(func() {
					for range turns {
						ctx := b.With(token).Ctx()
						if _, err := s.Update(ctx, testkit.Increment); errors.Is(err, stay.ErrEnded) {
							return
						}
						changed <- struct{}{}
						// They meet the end, so they may be refused.
						_, _ = ephemeral.Update(ctx, testkit.Increment)
						_ = s.Delete(ctx)
					}
				})
			}
			for range 1 + random.IntN(turns) {
				<-changed
			}
			if err := stay.SessionFrom(b.With(token).Ctx()).Destroy(context.Background()); err != nil {
				t.Errorf("Destroy: %v", err)
			}
			for _, s := range []*stay.State[testkit.Counter]{states[0], ephemeral} {
				if _, err := s.Update(b.With(token).Ctx(), testkit.Increment); !errors.Is(err, stay.ErrEnded) {
					t.Errorf("a change of %s after Destroy: %v, want ErrEnded", s.Name(), err)
				}
			}
			work.Wait()
			for _, key := range testkit.Rows(t, st) {
				if strings.HasPrefix(key, "session/") && strings.HasSuffix(key, id) {
					t.Errorf("%s is stored for a session that has ended", key)
				}
			}
		}
	})
}
