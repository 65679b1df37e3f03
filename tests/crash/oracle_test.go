package crash_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/internal/crashsite"
)

// What a crash has taken of what was to be stored later is nothing that the
// oracle asks for after a clean end, also where the browser has seen what is
// left only after sending a login again.
func TestOracleRejoin(t *testing.T) {
	app, handler := crashsite.New(memstore.New(), crashsite.Options{Guests: stay.GuestStored})
	defer app.Close(context.Background())
	r := &run{client: &http.Client{Transport: direct{handler}}, url: "http://crash.test", reached: make(chan struct{})}
	b := newBrowsers(r, 1)[0]
	add := op{name: "change of debounced state", path: "/draft/add", next: func(w *world) { w.draft++ }}
	b.do(add)
	b.belief.world.draft++ // acknowledged, and lost by the crash
	before, o := b.belief, login(firstUser)
	if !b.do(o) {
		t.Fatal(r.problems())
	}
	b.belief, b.open = before, &step{before: before, op: o, numbers: []int64{1}} // the answer was lost, too
	b.check(func(w *world) { w.restart(false, false, 0) }, true)
	if again := r.tallies.by["Session.Login sent again"]; again == nil || again.Acknowledged != 1 {
		t.Fatalf("the login was not sent again: %+v", again)
	}
	b.do(add)
	b.check(func(w *world) { w.restart(true, false, 0) }, true)
	for _, bad := range r.problems() {
		t.Error(bad)
	}
	if got := b.belief.world.draft; got != 2 {
		t.Errorf("the browser believes in %d changes, want 2", got)
	}
}
