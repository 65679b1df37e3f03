package stay_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// Of more sessions than may begin, a change that is saved later is refused at
// once, as others are: what is acknowledged is stored by the close, however
// many came (A14, E7, S1).
func TestA14E7S1DebounceNewSessions(t *testing.T) {
	const perSecond, all = 10, 500
	inBubbles(t, stay.Options{MaxNewSessions: perSecond}, func(t *testing.T, app *stay.App, _ *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce})
		var ids []string
		var refused *browser
		for range all {
			b := newBrowser(app)
			ctx := b.ctx()
			if _, err := s.Update(ctx, increment); err != nil {
				wantCode(t, err, stay.ErrBusy)
				refused = b
				continue
			}
			mustUpdate(t, b.ctx(), s) // what has begun goes on
			ids = append(ids, stay.SessionFrom(ctx).ID())
		}
		if len(ids) != perSecond {
			t.Errorf("%d sessions began at once, want %d", len(ids), perSecond)
		}
		if refused != nil {
			pass(200 * time.Millisecond)
			ctx := refused.ctx()
			mustUpdate(t, ctx, s)
			mustUpdate(t, ctx, s)
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
