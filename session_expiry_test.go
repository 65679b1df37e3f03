package stay_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// S5: an old cookie stays refused for as long as it would be good, also where
// IdleTimeout has been lowered since it was issued: the record of the session
// outlives it.
func TestS5OldCookieWithAShorterIdleTimeout(t *testing.T) {
	for verb, renew := range map[string]func(t *testing.T, b *browser, k *stay.State[todos]){
		"login": func(t *testing.T, b *browser, _ *stay.State[todos]) { login(t, b, "ann") },
		"key":   func(t *testing.T, b *browser, k *stay.State[todos]) { must(t)(k.Update(b.ctx(), become("ann"))) },
		"renew": func(t *testing.T, b *browser, _ *stay.State[todos]) {
			ctx := b.ctx()
			noError(t, stay.SessionFrom(ctx).Renew(ctx))
		},
	} {
		for stored, before := range map[string]bool{"stored before": true, "stored by it": false} {
			t.Run(verb+" "+stored, func(t *testing.T) {
				clock, main, other := newClock(), unclosed{memstore.New()}, unclosed{memstore.New()}
				open := func(idle time.Duration) (*stay.App, *stay.State[counter], *stay.State[todos]) {
					app := stay.New(main, &stay.Options{Clock: clock.Now, IdleTimeout: idle})
					c := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession, Store: other})
					return app, c, stay.Register(app, todosModule())
				}
				app, c, _ := open(24 * time.Hour)
				b := newBrowser(app)
				wantCount(t, b.ctx(), c, 0)
				noError(t, app.Close(t.Context()))
				old := b.token

				app, c, k := open(time.Hour)
				t.Cleanup(func() { noError(t, app.Close(context.Background())) })
				b = b.on(app)
				if before {
					mustUpdate(t, b.ctx(), c)
				}
				renew(t, b, k)
				mustUpdate(t, b.ctx(), c)
				clock.Advance(2 * time.Hour)
				wantCount(t, b.with(old).ctx(), c, 0)
			})
		}
	}
}

// S5, S6: a request that outlives its session, as one that streams may, cannot
// bring it back, and does not try for ever to store it.
func TestS5S6RequestOutlivesItsSession(t *testing.T) {
	for what, d := range map[string]time.Duration{"idle": 25 * time.Hour, "lifetime": 31 * 24 * time.Hour} {
		for where, other := range map[string]store.Store{"here": nil, "elsewhere": memstore.New()} {
			t.Run(what+" "+where, func(t *testing.T) {
				clock := newClock()
				app := newApp(t, memstore.New(), &stay.Options{Clock: clock.Now})
				c := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession, Store: other})
				ctx := newBrowser(app).ctx()
				mustUpdate(t, ctx, c)
				clock.Advance(d)
				wantCount(t, ctx, c, 0)
				_, err := c.Update(ctx, increment)
				wantCode(t, err, stay.ErrEnded)
				s := stay.SessionFrom(ctx)
				wantCode(t, s.Renew(ctx), stay.ErrEnded)
				wantCode(t, s.Login(ctx, "ann"), stay.ErrEnded)
				wantCount(t, newBrowser(app).ctx(), c, 0)
			})
		}
	}
}

// S5, S7: what App.Sessions yielded ends with the session, whatever its cookie.
func TestS5S7ListedSessionExpires(t *testing.T) {
	clock := newClock()
	app := newApp(t, memstore.New(), &stay.Options{Clock: clock.Now, KeepCookieOnKeyChange: true})
	p, _ := userModules(app)
	login(t, newBrowser(app), "ann")
	for s, err := range app.Sessions(t.Context(), "ann") {
		noError(t, err)
		clock.Advance(25 * time.Hour)
		ctx := stay.WithSession(t.Context(), s)
		_, err := p.Update(ctx, name("x"))
		wantCode(t, err, stay.ErrEnded)
		wantCode(t, s.Renew(ctx), stay.ErrEnded)
	}
}

// S6: where Options.Lifetime has been raised, the states of a session last as
// long as the session, if they are changed before their old end.
func TestS6LifetimeRaised(t *testing.T) {
	clock, main := newClock(), unclosed{memstore.New()}
	open := func(lifetime time.Duration) (*stay.App, *stay.State[counter]) {
		app := stay.New(main, &stay.Options{Clock: clock.Now, Lifetime: lifetime})
		return app, stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession})
	}
	app, c := open(24 * time.Hour)
	b := newBrowser(app)
	mustUpdate(t, b.ctx(), c)
	noError(t, app.Close(t.Context()))
	app, c = open(30 * 24 * time.Hour)
	t.Cleanup(func() { noError(t, app.Close(context.Background())) })
	b = b.on(app)
	for range 3 {
		clock.Advance(10 * time.Hour)
		mustUpdate(t, b.ctx(), c)
	}
	wantCount(t, b.ctx(), c, 4)
}
