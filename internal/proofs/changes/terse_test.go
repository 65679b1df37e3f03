package changes_test

import (
	"context"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// terse is a broken store: it applies everything, and its answers lack a
// revision.
type terse struct{ *memstore.Store }

func (s terse) Commit(ctx context.Context, groups []store.Group) []store.Result {
	res := s.Store.Commit(ctx, groups)
	for i := range res {
		if len(res[i].Revisions) > 0 {
			res[i].Revisions = res[i].Revisions[:len(res[i].Revisions)-1]
		}
	}
	return res
}

// An incomplete answer is not an acknowledgement: the write is sent again,
// recognised as applied, and neither lost nor doubled.
//
// Proves E5, C2.
func TestIncompleteAnswerIsNoAcknowledgement(t *testing.T) {
	app := testkit.NewApp(t, terse{memstore.New()}, nil)
	clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
	total := stay.Register(app, stay.Module[testkit.Counter]{Name: "total", Persist: stay.Global})
	b := testkit.NewBrowser(app)
	for i := range 3 {
		for _, s := range []*stay.State[testkit.Counter]{clicks, total} {
			ctx := b.Ctx()
			testkit.MustUpdate(t, ctx, s)
			testkit.WantCount(t, ctx, s, i+1)
		}
	}
}
