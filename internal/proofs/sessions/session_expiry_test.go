package sessions_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// An old cookie stays refused for as long as it would be good, also where
// IdleTimeout has been lowered since it was issued: the record of the session
// outlives it.
//
// Proves S5.
func TestOldCookieStaysRefusedUnderAShorterIdleTimeout(t *testing.T) {
	for verb, renew := range map[string]func(t *testing.T, b *testkit.Browser, k *stay.State[testkit.Todos]){
		"login": func(t *testing.T, b *testkit.Browser, _ *stay.State[testkit.Todos]) { testkit.Login(t, b, "ann") },
		"key": func(t *testing.T, b *testkit.Browser, k *stay.State[testkit.Todos]) {
			testkit.Must(t)(k.Update(b.Ctx(), testkit.Become("ann")))
		},
		"renew": func(t *testing.T, b *testkit.Browser, _ *stay.State[testkit.Todos]) {
			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
	} {
		for stored, before := range map[string]bool{"stored before": true, "stored by it": false} {
			t.Run(verb+" "+stored, func(t *testing.T) {
				clock, main, other := testkit.NewClock(), testkit.Unclosed{Store: memstore.New()}, testkit.Unclosed{Store: memstore.New()}
				open := func(idle time.Duration) (*stay.App, *stay.State[testkit.Counter], *stay.State[testkit.Todos]) {
					app := stay.New(main, &stay.Options{Clock: clock.Now, IdleTimeout: idle})
					c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession, Store: other})
					return app, c, stay.Register(app, testkit.TodosModule())
				}
				app, c, _ := open(24 * time.Hour)
				b := testkit.NewBrowser(app)
				testkit.WantCount(t, b.Ctx(), c, 0)
				testkit.NoError(t, app.Close(t.Context()))
				old := b.Token

				app, c, k := open(time.Hour)
				t.Cleanup(func() { testkit.NoError(t, app.Close(context.Background())) })
				b = b.On(app)
				if before {
					testkit.MustUpdate(t, b.Ctx(), c)
				}
				renew(t, b, k)
				testkit.MustUpdate(t, b.Ctx(), c)
				clock.Advance(2 * time.Hour)
				testkit.WantCount(t, b.With(old).Ctx(), c, 0)
			})
		}
	}
}

// A request that outlives its session, as one that streams may, cannot bring it
// back, and does not try for ever to store it.
//
// Proves S5, S6.
func TestRequestThatOutlivesItsSession(t *testing.T) {
	for what, d := range map[string]time.Duration{"idle": 25 * time.Hour, "lifetime": 31 * 24 * time.Hour} {
		for where, other := range map[string]store.Store{"here": nil, "elsewhere": memstore.New()} {
			t.Run(what+" "+where, func(t *testing.T) {
				clock := testkit.NewClock()
				app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clock.Now})
				c := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession, Store: other})
				ctx := testkit.NewBrowser(app).Ctx()
				testkit.MustUpdate(t, ctx, c)
				clock.Advance(d)
				testkit.WantCount(t, ctx, c, 0)
				_, err := c.Update(ctx, testkit.Increment)
				testkit.WantCode(t, err, stay.ErrEnded)
				s := stay.SessionFrom(ctx)
				testkit.WantCode(t, s.Renew(ctx), stay.ErrEnded)
				testkit.WantCode(t, s.Login(ctx, "ann"), stay.ErrEnded)
				testkit.WantCount(t, testkit.NewBrowser(app).Ctx(), c, 0)
			})
		}
	}
}

// A session that App.Sessions yielded ends with the session, whatever its
// cookie is.
//
// Proves S5, S7.
func TestListedSessionExpires(t *testing.T) {
	clock := testkit.NewClock()
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clock.Now, KeepCookieOnKeyChange: true})
	p, _ := testkit.UserModules(app)
	testkit.Login(t, testkit.NewBrowser(app), "ann")
	for s, err := range app.Sessions(t.Context(), "ann") {
		testkit.NoError(t, err)
		clock.Advance(25 * time.Hour)
		ctx := stay.WithSession(t.Context(), s)
		_, err := p.Update(ctx, testkit.Name("x"))
		testkit.WantCode(t, err, stay.ErrEnded)
		testkit.WantCode(t, s.Renew(ctx), stay.ErrEnded)
	}
}

// Where Options.Lifetime has been raised, the states of a session last as long
// as the session, if they are changed before their old end.
//
// Proves S6.
func TestStatesLastAsLongAsARaisedLifetime(t *testing.T) {
	clock, main := testkit.NewClock(), testkit.Unclosed{Store: memstore.New()}
	open := func(lifetime time.Duration) (*stay.App, *stay.State[testkit.Counter]) {
		app := stay.New(main, &stay.Options{Clock: clock.Now, Lifetime: lifetime})
		return app, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	}
	app, c := open(24 * time.Hour)
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), c)
	testkit.NoError(t, app.Close(t.Context()))
	app, c = open(30 * 24 * time.Hour)
	t.Cleanup(func() { testkit.NoError(t, app.Close(context.Background())) })
	b = b.On(app)
	for range 3 {
		clock.Advance(10 * time.Hour)
		testkit.MustUpdate(t, b.Ctx(), c)
	}
	testkit.WantCount(t, b.Ctx(), c, 4)
}
