package storetest

import (
	"fmt"

	"github.com/stay-go/stay/store"
)

var sharedRules = []rule{
	{
		name:  "Shared declares itself",
		why:   "A handle whose records others may change is not a sole owner; the engine would serve stale states.",
		needs: needs{shared: true},
		check: func(e *env) {
			if e.f.SoleOwner {
				e.t.Errorf("a shared handle declares SoleOwner")
			}
			if f := e.handle().Features(); f != e.f {
				e.t.Errorf("two handles declare different features: %+v, %+v", e.f, f)
			}
		},
	},
	{
		name:  "Shared reads see writes of others",
		why:   "What one handle applied is seen by the next Load of every other, without delay: a browser may go to another node each time.",
		needs: needs{shared: true, noStaleReads: true},
		check: checkSharedReads,
	},
	{
		name:  "Shared compare-and-swap",
		why:   "A condition is about the last write of any handle, so a handle with an old revision gets a conflict.",
		needs: needs{shared: true},
		check: func(e *env) {
			a, b := e.store, e.handle()
			first := e.put1("key", 0, "first")
			e.store = b
			e.conflict(put("key", 0, "x"))
			second := e.put1("key", first, "second")
			e.store = a
			res := e.conflict(put("key", first, "x"))
			if err := sameRecord(res.Current[0], put("key", 0, "second"), second); err != nil {
				e.t.Errorf("conflict with %v", err)
			}
			e.apply(del("key", second))
			e.store = b
			e.conflict(put("key", second, "x"))
			if again := e.put1("key", 0, "again"); again <= second {
				e.t.Errorf("created at revision %d after another handle deleted it at %d", again, second)
			}
		},
	},
	{
		name:  "Shared increments",
		why:   "No update is lost between handles.",
		needs: needs{shared: true},
		check: func(e *env) { checkIncrements(e, e.store, e.handle(), e.handle()) },
	},
	{
		name:  "Shared groups",
		why:   "Groups are atomic between handles too.",
		needs: needs{shared: true, groups: true},
		check: func(e *env) { checkTransfers(e, e.store, e.handle(), e.handle()) },
	},
	{
		name:  "Shared histories",
		why:   "Random changes through several handles form one line of revisions for each key.",
		needs: needs{shared: true},
		check: func(e *env) { checkHistory(e, e.store, e.handle(), e.handle()) },
	},
	{
		name:  "Shared close",
		why:   "The other handles go on after one is closed.",
		needs: needs{shared: true},
		check: func(e *env) {
			other := e.handle()
			rev := e.put1("key", 0, "x")
			if err := other.Close(); err != nil {
				e.t.Fatalf("Close: %v", err)
			}
			e.wantValue("key", rev, "x")
			e.put1("key", rev, "y")
		},
	},
	{
		name:  "Shared expiry",
		why:   "An expired record is deleted by one handle only.",
		needs: needs{shared: true},
		check: func(e *env) {
			rev := e.apply(expiring("key", 0, "x", e.past()[0]))[0]
			e.store = e.handle()
			e.apply(del("key", rev))
			e.store = e.handle()
			e.conflict(del("key", rev))
		},
	},
}

// checkSharedReads lets the handles write in turn and reads through all of them
// after each write, with the revision that each held before.
func checkSharedReads(e *env) {
	stores := []store.Store{e.store, e.handle(), e.handle()}
	held := make([]store.Revision, len(stores))
	var rev store.Revision
	for i := range 30 {
		e.store = stores[i%len(stores)]
		w := put("key", rev, fmt.Sprint(i))
		if i%7 == 6 {
			w = del("key", rev)
		}
		rev = e.apply(w)[0]
		for j, s := range stores {
			e.store = s
			rec := e.loadAll(store.Read{Key: "key", Have: held[j]})[0]
			if rec.Revision != rev || rev != 0 && string(rec.Value) != fmt.Sprint(i) {
				e.t.Fatalf("handle %d, after handle %d applied %s: Load returned %s", j, i%len(stores), describe(store.Group{w}), recordText(rec))
			}
			held[j] = rev
		}
	}
}
