package storetest

import (
	"context"
	"time"

	"github.com/stay-go/stay/store"
)

// askFor is how long the suite asks for the outcome of a write that is held, as
// long as Stay does by default.
const askFor = 10 * time.Second

var lateRules = []rule{
	{
		name: "C6 a create that arrives late is not applied",
		why: "The network may deliver a create after the store has given it up, repeated it, and deleted the record again. If it is " +
			"applied then, it brings back what was deleted.",
		needs: needs{remote: true},
		check: checkLate,
	},
}

// checkLate makes a create that is held up, again without that, deletes the
// record, and lets the first one arrive.
func checkLate(e *env) {
	e.put1("other", 0, "x") // the store is connected
	w := put("key", 0, "x")
	e.place.network.hold()
	ctx, cancel := context.WithTimeout(e.ctx, askFor)
	defer cancel()
	first := e.store.Commit(ctx, []store.Group{{w}})[0]
	e.place.network.cut()
	var rev store.Revision
	switch first.Outcome {
	case store.Applied: // the store has tried again by itself
		rev = first.Revisions[0]
	case store.Conflict:
		e.t.Fatalf("%s while the network is held: %s", describe(store.Group{w}), resultText(first))
	default:
		rev = e.definite(w).Revisions[0]
	}
	e.definite(del("key", rev))
	if !e.place.network.deliver() {
		e.t.Fatalf("nothing was held: the store did not send the create over a connection that it had")
	}
	e.wantAbsent("key")
}

// definite repeats a write until its outcome is known, as Stay does, and fails
// the rule unless that is Applied.
func (e *env) definite(w store.Write) store.Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, askFor)
	defer cancel()
	for {
		res := e.one(w)
		if res.Outcome == store.Applied {
			return res
		}
		if res.Outcome == store.Conflict || ctx.Err() != nil {
			e.t.Fatalf("%s once the network is back: %s, want applied", describe(store.Group{w}), resultText(res))
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
