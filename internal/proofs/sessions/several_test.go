package sessions_test

import (
	"testing"

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
