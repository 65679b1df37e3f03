package expiry_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// After a copy to another store, where revisions begin anew, a record that is
// set aside does not meet one of the same key and revision that was set aside
// before the copy.
//
// Proves A15, M3.
func TestRecordsSetAsideBeforeACopyStandInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const key = "session/cart/00000000000000000000000000000001"
		clock, first, second := testkit.NewClock(), memstore.New(), memstore.New()
		// The same revision in both, as the first record of the store.
		put := func(s store.Store, meta string) {
			testkit.Commit(t, s, store.Write{Key: key, Value: []byte("{"), Meta: []byte(meta), Version: 1, Expires: clock.Now().Add(time.Minute)})
		}
		setAside := func(s store.Store) {
			app := testkit.NewExpiring(t, s, clock)
			stay.Register(app.App, testkit.Watched("cart", stay.PerSession, app.Events))
			app.Sweep(10 * time.Minute)
			app.Events.Want(t, "error expire corrupt")
			if err := app.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(first, "one")
		setAside(first)
		put(second, "two")
		for _, key := range testkit.AllRows(t, first) { // as a copy has it
			rec := testkit.RecordOf(t, first, key)
			testkit.Commit(t, second, store.Write{Key: rec.Key, Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires})
		}
		setAside(second)
		rows := testkit.AllRows(t, second)
		if len(rows) != 2 || slices.ContainsFunc(rows, func(row string) bool { return !strings.HasPrefix(row, "stay/expired/") }) {
			t.Errorf("the store has %q, want two records set aside", rows)
		}
	})
}
