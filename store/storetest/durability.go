package storetest

import (
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

var durabilityRules = []rule{
	{
		name: "C5 features are constant",
		why:  "Features returns the same value at every call, also after Close: the engine asks once.",
		check: func(e *env) {
			e.put1("key", 0, "x")
			if f := e.store.Features(); f != e.f {
				e.t.Errorf("Features changed from %+v to %+v", e.f, f)
			}
			if err := e.store.Close(); err != nil {
				e.t.Fatalf("Close: %v", err)
			}
			if f := e.store.Features(); f != e.f {
				e.t.Errorf("Features changed from %+v to %+v with Close", e.f, f)
			}
		},
	},
	{
		name:  "C5 survives reopening",
		why:   "When the store is opened again it has everything that was applied, and nothing else.",
		needs: needs{durable: true},
		check: checkReopen,
	},
	{
		name: "C3 grows across reopening",
		why: "Revisions go on where they were when the store is opened again, also for keys that were deleted before: " +
			"a counter that is only in memory starts over.",
		needs: needs{durable: true},
		check: checkReopenRevisions,
	},
	{
		name: "C3 grows across lost writes",
		why: "When a failover or an older copy has taken back writes that were applied, other processes still hold their revisions. " +
			"If one is given again to another record, they hear that their copy is the latest, and their writes replace what they never saw.",
		needs: needs{rewind: true},
		check: checkLostWrites,
	},
	{
		name:  "C5 groups survive reopening",
		why:   "When the store is opened again, every group is stored completely or not at all.",
		needs: needs{durable: true, groups: true},
		check: func(e *env) {
			revs := e.apply(put("a", 0, "a"), put("b", 0, "b"), check("c", 0))
			e.conflict(put("d", 0, "d"), put("a", 0, "x"))
			e.reopen()
			e.wantValue("a", revs[0], "a")
			e.wantValue("b", revs[1], "b")
			e.wantAbsent("c", "d")
		},
	},
}

func checkReopen(e *env) {
	writes := map[string]store.Write{}
	revs := map[string]store.Revision{}
	for i := range 20 {
		key := fmt.Sprintf("key \x00\xff%d", i)
		w := put(key, 0, fmt.Sprint(i))
		if i%3 == 0 {
			w = expiring(key, 0, fmt.Sprint(i), e.now.Add(time.Hour))
		}
		writes[key], revs[key] = w, e.apply(w)[0]
	}
	gone := e.put1("gone", 0, "x")
	e.apply(del("gone", gone))
	expired := expiring("expired", 0, "x", e.past()[0])
	expiredRev := e.apply(expired)[0]
	for range 2 {
		e.reopen()
		if f := e.store.Features(); f != e.f {
			e.t.Errorf("Features changed from %+v to %+v with reopening", e.f, f)
		}
		for key, w := range writes {
			e.wantRecord(w, revs[key])
		}
		e.wantAbsent("gone")
		e.wantRecord(expired, expiredRev)
	}
	e.apply(del("expired", expiredRev))
	e.reopen()
	e.wantAbsent("expired")
}

func checkReopenRevisions(e *env) {
	highest := map[string]store.Revision{}
	for range 5 {
		// One key lives on, one is there and has expired, and one is written and
		// deleted last, so that no remaining record has its revision.
		lives := e.put1("lives", e.load("lives").Revision, "x")
		expires := e.apply(expiring("expires", e.load("expires").Revision, "x", e.past()[0]))[0]
		deleted := e.put1("deleted", 0, "x")
		for range 3 {
			deleted = e.put1("deleted", deleted, "x")
		}
		e.apply(del("deleted", deleted))
		for key, rev := range map[string]store.Revision{"lives": lives, "expires": expires, "deleted": deleted} {
			if rev <= highest[key] {
				e.t.Fatalf("%q was put at revision %d after %d and reopening", key, rev, highest[key])
			}
			highest[key] = rev
		}
		e.reopen()
	}
	again := e.put1("deleted", 0, "again")
	e.conflict(put("deleted", highest["deleted"], "stale"))
	e.wantValue("deleted", again, "again")
}

// checkLostWrites writes what a restored copy does not have, and looks whether
// the revisions of these writes come back with something else.
func checkLostWrites(e *env) {
	kept := e.put1("kept", 0, "kept")
	e.reopenAfter(e.place.save)
	lost := e.put1("kept", kept, "lost")
	lost = e.put1("kept", lost, "lost too")
	created := e.put1("new", 0, "x")
	deleted := e.put1("deleted", 0, "x")
	e.apply(del("deleted", deleted))
	e.reopenAfter(e.place.restore)

	rec := e.loadAll(store.Read{Key: "kept", Have: lost})[0]
	if rec.Revision == lost || string(rec.Value) != "kept" {
		e.t.Fatalf("Load with the revision of a lost write: %s, value %s", recordText(rec), bytesText(rec.Value))
	}
	e.conflict(put("kept", lost, "stale"))
	if again := e.put1("kept", rec.Revision, "again"); again <= lost {
		e.t.Errorf("put at revision %d, and the lost writes went up to %d", again, lost)
	}
	for key, rev := range map[string]store.Revision{"new": created, "deleted": deleted} {
		if again := e.put1(key, 0, "again"); again <= rev {
			e.t.Errorf("%q is created at revision %d, and the lost writes had %d", key, again, rev)
		}
	}
}
