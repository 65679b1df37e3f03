package logins_test

import (
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A login right after the request has destroyed its session, or in a browser
// whose session was ended from elsewhere, begins a new session. One that fails
// leaves the browser the cookie that it has.
//
// Proves S5.
func TestLoginBeginsAnewInPlaceOfASessionThatIsOver(t *testing.T) {
	for name, keep := range map[string]bool{"": false, "with KeepCookieOnKeyChange": true} {
		t.Run(name, func(t *testing.T) {
			st := storefault.Wrap(memstore.New(), nil)
			app := testkit.NewApp(t, st, &stay.Options{KeepCookieOnKeyChange: keep})
			p, _ := testkit.UserModules(app)
			own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
			b := testkit.NewBrowser(app)
			testkit.Login(t, b, "ann")
			testkit.MustUpdate(t, b.Ctx(), own)
			id := stay.SessionFrom(b.Ctx()).ID()

			ctx := b.Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
			testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, "ann"))
			testkit.MustUpdate(t, ctx, own)
			testkit.WantCount(t, b.Ctx(), own, 1)
			second := stay.SessionFrom(b.Ctx())
			if second.User() != "ann" || second.ID() == id {
				t.Errorf("%v of %q follows session %s", second, second.User(), id)
			}

			testkit.NoError(t, app.Revoke(t.Context(), "ann"))
			ended := *b
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/user/ann", Fault: storefault.Fail(nil)})
			ctx, answer := b.Request()
			s := stay.SessionFrom(ctx)
			testkit.WantCode(t, s.Login(ctx, "ann"), stay.ErrUnavailable)
			if len(answer.Issued) > 0 || s.ID() != "" {
				t.Errorf("a login that failed has set %q, for the session %q", answer.Issued, s.ID())
			}
			testkit.WantState(t, ctx, p, `{"name":"guest"}`)
			_, err := p.Update(ctx, testkit.Name("x"))
			testkit.WantCode(t, err, stay.ErrEnded)
			rule.Remove()
			testkit.NoError(t, s.Login(ctx, "ann")) // by the same request
			testkit.WantCount(t, b.Ctx(), own, 0)
			testkit.LoginAnew(t, &ended, "bob", second.ID())

			// Nothing can take the cookie to a browser whose header was sent.
			testkit.NoError(t, app.Revoke(t.Context(), "bob"))
			ctx, answer = ended.Request()
			answer.Sent = true
			testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "bob"), stay.ErrInternal)
		})
	}
}

// A request that has used its session before somebody else ended it keeps to it.
//
// Proves S5.
func TestLoginKeepsToASessionThatItsRequestHasUsed(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	p, _ := testkit.UserModules(app)
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, "ann")
	ctx := b.Ctx()
	testkit.Change(t, ctx, p, testkit.Name("Ann"))
	testkit.NoError(t, app.Revoke(t.Context(), "ann"))
	testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrEnded)
	testkit.Login(t, b, "ann")
}
