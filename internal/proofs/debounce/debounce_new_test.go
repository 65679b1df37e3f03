package debounce_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// Of two first changes of one request the first waits for room in memory, while
// the other makes the state, which is stored and leaves memory: the first finds
// it, instead of taking it for absent because nobody else knows the session.
//
// Proves A14, E6, S1.
func TestFirstChangeThatWaitsForRoomFindsWhatTheOtherMade(t *testing.T) {
	const room, soonest = 4, time.Millisecond
	opts := stay.Options{MaxInstances: room, OnError: func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }}
	testkit.InBubbles(t, opts, func(t *testing.T, app *stay.App, st *storefault.Store, mem store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession, Debounce: soonest})
		u := stay.Register(app, stay.Module[testkit.Counter]{Name: "u", Persist: stay.PerUser, Debounce: soonest})
		access.AppOf(app).Evict(true)
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s) // draws the keys
		testkit.Sleep(time.Second)
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		for user := range room {
			testkit.MustUpdate(t, t.Context(), u.At(fmt.Sprint(user)))
		}
		testkit.Sleep(soonest)
		ctx := testkit.NewBrowser(app).Ctx()
		first := make(chan error)
		go func() {
			_, err := s.Update(ctx, testkit.Increment)
			first <- err
		}()
		testkit.Sleep(100 * time.Millisecond) // by now it looks for room every 16 ms
		rule.Remove()
		rule.Remove()
		gate.Open()
		synctest.Wait()
		testkit.MustUpdate(t, ctx, s)
		synctest.Wait()
		id := stay.SessionFrom(ctx).ID()
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":1,"label":""}`)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		testkit.Sleep(time.Second)
		wantStoredJSON(t, mem, "session/s/"+id, `{"count":2,"label":""}`)
	})
}
