package expiry_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// offers are a module without OnExpire whose state expires after ten minutes.
func offers(app *stay.App) *stay.State[testkit.Counter] {
	return stay.Register(app, stay.Module[testkit.Counter]{Name: "offer", Persist: stay.Global, Expiry: 10 * time.Minute})
}

// A state that has expired begins anew in one write, which names the revision of
// the expired record; reading writes nothing, also if a hook must hear of the
// expiry. So it is on a store with other owners.
//
// Proves A15, A16, C4.
func TestStateBeginsAnewOverAnExpiredRecord(t *testing.T) {
	for name, s := range map[string]store.Store{"alone": memstore.New(), "shared": memstore.Shared(1)[0]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := testkit.JournalOf(s)
				app := testkit.NewExpiring(t, j, testkit.NewClock())
				offer := offers(app.App)
				m := testkit.Watched("hooked", stay.Global, app.Events)
				m.Expiry, m.OnDestroyed = 10*time.Minute, nil
				hooked := stay.Register(app.App, m)
				testkit.MustUpdate(t, t.Context(), offer)
				testkit.MustUpdate(t, t.Context(), hooked)
				expired := testkit.RecordAt(t, s, time.Time{}, "global/offer/")
				app.Clock.Advance(time.Hour)
				j.Take()
				for range 2 {
					testkit.WantCount(t, t.Context(), offer, 0)
					testkit.WantCount(t, t.Context(), hooked, 0)
				}
				testkit.WantGroups(t, "reading", j.Take())
				testkit.MustUpdate(t, t.Context(), offer)
				testkit.WantGroups(t, "a change over an expired record", j.Take(), []string{"global/offer/"})
				if rec := testkit.RecordAt(t, s, time.Time{}, "global/offer/"); rec.Revision <= expired.Revision {
					t.Errorf("revision %d replaces %d", rec.Revision, expired.Revision)
				}
				testkit.WantCount(t, t.Context(), offer, 1)

				testkit.MustUpdate(t, t.Context(), hooked)
				testkit.WantCount(t, t.Context(), hooked, 1)
				app.Sweep(2 * time.Minute)
				app.Events.Want(t, "expired hooked 1")
				testkit.WantCount(t, t.Context(), hooked, 1)
			})
		})
	}
}

// A change that is acknowledged over an expired record, and not stored yet, is
// not lost when the sweep or an operator removes that record.
//
// Proves A14, A15.
func TestDebouncedChangeOutlivesTheExpiredRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		offer := stay.Register(app.App, stay.Module[testkit.Counter]{
			Name: "offer", Persist: stay.Global, Expiry: 10 * time.Minute, Debounce: testkit.Debounce, OnError: testkit.Loud(t),
		})
		testkit.MustUpdate(t, t.Context(), offer)
		testkit.Sleep(testkit.Debounce)
		app.Clock.Advance(time.Hour)
		testkit.MustUpdate(t, t.Context(), offer)
		expired := testkit.RecordAt(t, s, time.Time{}, "global/offer/")
		testkit.Commit(t, s, store.Write{Op: store.Delete, Key: "global/offer/", Base: expired.Revision})
		testkit.Sleep(testkit.Debounce)
		if c, found := testkit.StoredCounter(t, s, "offer"); !found || c.Count != 1 {
			t.Errorf("stored: %+v, %v", c, found)
		}
		testkit.MustUpdate(t, t.Context(), offer)
		testkit.WantCount(t, t.Context(), offer, 2)
	})
}

// A process that takes a state for absent does not overwrite what another one
// has made and what has expired since: it is refused, and looks.
//
// Proves A15, C2, N1.
func TestCreationFindsTheExpiredRecordOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, clock := memstore.Shared(3), testkit.NewClock()
		st := storefault.Wrap(all[0], nil)
		app := testkit.NewExpiring(t, st, clock)
		m := testkit.Watched("offer", stay.Global, app.Events)
		m.Expiry, m.OnDestroyed = 10*time.Minute, nil
		offer := stay.Register(app.App, m)
		// Between the read of the change and its write another process creates the
		// record, and its time is over before the write arrives.
		first := true
		if _, err := offer.Update(t.Context(), func(c *testkit.Counter) error {
			if first {
				first = false
				testkit.Commit(t, all[1], store.Write{
					Key: "global/offer/", Version: 1, Value: []byte(`{"count":7}`), Expires: clock.Now().Add(-time.Second),
				})
			}
			return testkit.Increment(c)
		}); err != nil {
			t.Fatal(err)
		}
		testkit.WantCount(t, t.Context(), offer, 1)
		rows := testkit.AllRows(t, all[2])
		if !slices.ContainsFunc(rows, func(key string) bool { return strings.HasPrefix(key, "stay/expired/") }) {
			t.Errorf("the expired record was not set aside: %q", rows)
		}
		app.Sweep(2 * time.Minute)
		app.Events.Want(t, "expired offer 7")
	})
}

// A sending store counts how often it sends the value of a record.
type sending struct {
	testkit.Unclosed
	key  string
	sent int
}

func (s *sending) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Unclosed.Load(ctx, reads)
	for _, rec := range recs {
		if rec.Key == s.key && len(rec.Value) > 0 {
			s.sent++
		}
	}
	return recs, err
}

// On a store with other owners each read compares what memory has with the
// expired record, which is sent once.
//
// Proves N1, C1.
func TestExpiredRecordIsSentOnce(t *testing.T) {
	s, clock := &sending{Unclosed: testkit.Unclosed{Store: memstore.Shared(1)[0]}, key: "global/offer/"}, testkit.NewClock()
	app := testkit.NewExpiring(t, s, clock)
	offer := offers(app.App)
	testkit.MustUpdate(t, t.Context(), offer)
	clock.Advance(time.Hour)
	s.sent = 0
	for range 5 {
		testkit.WantCount(t, t.Context(), offer, 0)
	}
	if s.sent != 1 {
		t.Errorf("the record was sent %d times, want once", s.sent)
	}
}

// A login whose user's state expires while Adopt runs starts again: it takes
// nothing of that state along, and OnExpire gets it.
//
// Proves A15, K2, S4.
func TestStateThatExpiresDuringALoginIsNotTakenAlong(t *testing.T) {
	for name, s := range map[string]store.Store{"alone": memstore.New(), "shared": memstore.Shared(1)[0]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := testkit.NewExpiring(t, s, testkit.NewClock())
				m := testkit.Watched("basket", stay.PerUser, app.Events)
				m.Expiry, m.OnDestroyed = 10*time.Minute, nil
				adopted := 0
				m.Adopt = func(stored, guest *testkit.Counter) error {
					adopted++
					app.Clock.Advance(2 * time.Minute)
					stored.Count += guest.Count
					return nil
				}
				basket := stay.Register(app.App, m)
				for range 5 {
					testkit.MustUpdate(t, t.Context(), basket.At("ann"))
				}
				app.Clock.Advance(9 * time.Minute)
				b := testkit.NewBrowser(app.App)
				testkit.MustUpdate(t, b.Ctx(), basket)
				testkit.Login(t, b, "ann")
				testkit.WantCount(t, b.Ctx(), basket, 1)
				if adopted != 1 {
					t.Errorf("Adopt ran %d times, want once", adopted)
				}
				app.Sweep(2 * time.Minute)
				app.Events.Want(t, "expired basket 5")
			})
		})
	}
}
