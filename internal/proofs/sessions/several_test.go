package sessions_test

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
)

// A Destroy that cannot tell which of several sessions is the visitor's says so,
// as Login and Logout do: each of the sessions goes on.
//
// Proves W1.
func TestDestroyWithSeveralValidCookiesIsRefused(t *testing.T) {
	a := testkit.NewSessionApp(t)
	mine, planted := testkit.NewBrowser(a.App), testkit.NewBrowser(a.App)
	testkit.MustUpdate(t, mine.Ctx(), a.Clicks)
	testkit.MustUpdate(t, planted.Ctx(), a.Clicks)
	ctx, answer := mine.With(planted.Token + ";" + mine.Token).Request()
	s := stay.SessionFrom(ctx)
	for range 2 {
		testkit.WantCode(t, s.Destroy(ctx), stay.ErrEnded)
	}
	testkit.WantCode(t, s.Logout(ctx), stay.ErrEnded)
	if len(answer.Issued) > 0 {
		t.Errorf("%d cookies are set", len(answer.Issued))
	}
	testkit.WantCount(t, mine.Ctx(), a.Clicks, 1)
	testkit.WantCount(t, planted.Ctx(), a.Clicks, 1)
}

// Of several cookies of one session the latest counts, in whatever order they come:
// a browser can hold two after a change of the cookie's attributes.
//
// Proves W1.
func TestOfSeveralCookiesOfOneSessionTheLatestCounts(t *testing.T) {
	for _, tc := range []struct {
		name string
		next func(a *testkit.SessionApp, ctx context.Context) error
	}{
		{"renewed", func(_ *testkit.SessionApp, ctx context.Context) error { return stay.SessionFrom(ctx).Renew(ctx) }},
		{"logged in", func(_ *testkit.SessionApp, ctx context.Context) error {
			return stay.SessionFrom(ctx).Login(ctx, "ann")
		}},
		{"used later", func(a *testkit.SessionApp, ctx context.Context) error {
			_, err := a.Clicks.Get(ctx)
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := testkit.NewSessionApp(t)
			b := testkit.NewBrowser(a.App)
			testkit.MustUpdate(t, b.Ctx(), a.Clicks)
			old := b.Token
			a.Clock.Advance(12 * time.Hour)
			testkit.NoError(t, tc.next(a, b.Ctx()))
			latest := b.Token
			if latest == old {
				t.Fatal("the cookie is the same")
			}
			a.Clock.Advance(2 * time.Hour) // no cookie is due
			for _, both := range []string{old + ";" + latest, latest + ";" + old, old + ";x;" + latest + ";" + old} {
				ctx, answer := b.With(both).Request()
				testkit.MustUpdate(t, ctx, a.Clicks)
				if len(answer.Issued) > 0 {
					t.Error("a cookie is set")
				}
			}
			testkit.WantCount(t, b.Ctx(), a.Clicks, 4)
			ctx := b.With(old + ";" + latest).Ctx()
			testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
			testkit.WantCount(t, b.Ctx(), a.Clicks, 0)
		})
	}
}
