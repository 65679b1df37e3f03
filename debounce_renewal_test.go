package stay_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A save that creates a state waits for a renewal of its session to be over: it
// is not reported as failed because memory has the session's former record for
// a moment longer than the store (A14, S1).
func TestA14S1DebounceMeetsRenewal(t *testing.T) {
	opts := stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }}
	inBubble(t, true, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[counter]{Name: "s", Persist: stay.PerSession, Debounce: debounce})
		own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), own)
		mustUpdate(t, b.ctx(), s)
		id := stay.SessionFrom(b.ctx()).ID()
		sleep(debounce - 100*time.Microsecond)
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "stay/session/" + id, Fault: storefault.Delay(0, 500*time.Microsecond)})
		renewed := make(chan error)
		go func() { renewed <- stay.SessionFrom(b.ctx()).Renew(context.Background()) }()
		synctest.Wait() // the store has the new record
		rule.Remove()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		sleep(50 * time.Millisecond)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
	})
}
