package debounce_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// If more sessions begin than allowed, a change that is saved later is refused
// at once, like other changes: the close stores all acknowledged changes,
// however many came.
//
// Proves A14, E7, S1.
func TestSessionsTooManyAreRefusedAtOnce(t *testing.T) {
	const perSecond, all = 10, 500
	testkit.InBubbles(t, stay.Options{MaxNewSessions: perSecond}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
		var ids []string
		var refused *testkit.Browser
		for range all {
			b := testkit.NewBrowser(app)
			ctx := b.Ctx()
			if _, err := s.Update(ctx, testkit.Increment); err != nil {
				testkit.WantCode(t, err, stay.ErrBusy)
				refused = b
				continue
			}
			testkit.MustUpdate(t, b.Ctx(), s) // stored sessions go on
			ids = append(ids, stay.SessionFrom(ctx).ID())
		}
		if len(ids) != perSecond {
			t.Errorf("%d sessions began at once, want %d", len(ids), perSecond)
		}
		if refused != nil {
			testkit.Sleep(200 * time.Millisecond)
			ctx := refused.Ctx()
			testkit.MustUpdate(t, ctx, s)
			testkit.MustUpdate(t, ctx, s)
			ids = append(ids, stay.SessionFrom(ctx).ID())
		}
		if err := app.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, id := range ids {
			wantStoredJSON(t, mem, "session/s/"+id, `{"count":2,"label":""}`)
		}
	})
}
