package debounce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A save that creates a state waits for a renewal of its session to be over: it
// is not reported as failed because memory has the session's former record for
// a moment longer than the store.
//
// Proves A14, S1.
func TestSaveWaitsForARenewal(t *testing.T) {
	opts := stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }}
	testkit.InBubble(t, true, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		testkit.MustUpdate(t, b.Ctx(), s)
		id := stay.SessionFrom(b.Ctx()).ID()
		testkit.Sleep(testkit.Debounce - 100*time.Microsecond)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/session/" + id, Fault: storefault.Delay(0, 500*time.Microsecond)})
		renewed := make(chan error)
		go func() { renewed <- stay.SessionFrom(b.Ctx()).Renew(context.Background()) }()
		synctest.Wait() // the store has the new record
		rule.Remove()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		testkit.Sleep(50 * time.Millisecond)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
	})
}

// So it does in the place of a tombstone, which another owner of the store has
// left: that the renewal came first does not mean that the state was removed.
//
// Proves A14, S1.
func TestSaveOverATombstoneWaitsForARenewal(t *testing.T) {
	opts := stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }}
	testkit.InBubble(t, true, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: testkit.Debounce})
		own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		id := stay.SessionFrom(b.Ctx()).ID()
		tombstone := meta.Meta{Birth: 1, Deleted: true, By: meta.Writer{Seq: 1}}
		if res := mem.Commit(t.Context(), []store.Group{{{
			Key: "session/s/" + id, Version: 1, Meta: tombstone.Append(nil), Expires: time.Now(),
		}}}); res[0].Outcome != store.Applied {
			t.Fatal(res[0].Err)
		}
		testkit.MustUpdate(t, b.Ctx(), s)
		testkit.Sleep(testkit.Debounce - 100*time.Microsecond)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/session/" + id, Fault: storefault.Delay(0, 500*time.Microsecond)})
		renewed := make(chan error)
		go func() { renewed <- stay.SessionFrom(b.Ctx()).Renew(context.Background()) }()
		synctest.Wait() // the store has the new record
		rule.Remove()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		testkit.Sleep(50 * time.Millisecond)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
	})
}
