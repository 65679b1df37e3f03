package storetest

import (
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

var writeRules = []rule{
	{
		name: "C2 create",
		why:  "A Put with base 0 is applied when the key is absent and only then: two nodes that create a record must not both succeed.",
		check: func(e *env) {
			rev := e.put1("key", 0, "first")
			e.wantValue("key", rev, "first")
			e.conflict(put("key", 0, "second"))
			e.wantValue("key", rev, "first")
		},
	},
	{
		name: "C2 replace",
		why:  "A Put that names the record's revision replaces it; one that names any other is a conflict, otherwise an update is lost.",
		check: func(e *env) {
			first := e.put1("key", 0, "first")
			second := e.put1("key", first, "second")
			e.wantValue("key", second, "second")
			for _, base := range []store.Revision{first, second + 1, 1 << 62} {
				e.conflict(put("key", base, "third"))
				e.wantValue("key", second, "second")
			}
			e.conflict(put("nobody", second, "x"))
			e.wantAbsent("nobody")
		},
	},
	{
		name: "C2 replaces whole",
		why:  "A Put stores all of its fields: nothing of the earlier record is left, not even its expiry.",
		check: func(e *env) {
			w := expiring("key", 0, "first", e.now.Add(time.Minute))
			bare := store.Write{Key: "key", Base: e.apply(w)[0]}
			e.wantRecord(bare, e.apply(bare)[0])
		},
	},
	{
		name: "C2 delete",
		why:  "A Delete that names the record's revision removes it; one that names another is a conflict.",
		check: func(e *env) {
			first := e.put1("key", 0, "first")
			second := e.put1("key", first, "second")
			e.conflict(del("key", first))
			e.conflict(del("key", 0))
			e.conflict(del("nobody", second))
			e.wantValue("key", second, "second")
			e.apply(del("key", second))
			e.wantAbsent("key")
			e.conflict(del("key", second))
			e.apply(del("key", 0))
			e.wantAbsent("key")
		},
	},
	{
		name: "C2 check",
		why: "A Check is applied when the record's revision is its base, changes nothing and answers with that base; " +
			"so a group can depend on a record that it does not write.",
		check: func(e *env) {
			e.apply(check("key", 0))
			e.wantAbsent("key")
			first := e.put1("key", 0, "first")
			second := e.put1("key", first, "second")
			e.apply(check("key", second))
			for _, base := range []store.Revision{0, first, second + 1} {
				e.conflict(check("key", base))
			}
			e.conflict(check("nobody", second))
			e.wantValue("key", second, "second")
		},
	},
	{
		name:  "C2 conflict tells",
		why:   "A conflict carries the record that the store has, whole, or its absence, so that the caller goes on without another Load.",
		check: checkConflictTells,
	},
	{
		name: "C2 independent groups",
		why:  "The groups of one call are answered one by one and in order; a failed group does not make others fail.",
		check: func(e *env) {
			taken := e.put1("taken", 0, "taken")
			groups := []store.Group{
				{put("a", 0, "a")},
				{put("taken", taken+1, "stale")},
				{put("", 0, "bad")},
				{del("nobody", 7)},
				{put("b", 0, "b")},
			}
			results := e.commit(groups...)
			want := []store.Outcome{store.Applied, store.Conflict, store.Rejected, store.Conflict, store.Applied}
			for i, res := range results {
				if res.Outcome != want[i] {
					e.t.Errorf("group %d, %s: %s, want %s", i, describe(groups[i]), resultText(res), want[i])
				}
			}
			if e.t.Failed() {
				return
			}
			e.wantValue("a", results[0].Revisions[0], "a")
			e.wantValue("b", results[4].Revisions[0], "b")
			e.wantValue("taken", taken, "taken")
		},
	},
	{
		name: "C2 many groups",
		why:  "One call may have as many groups as the caller gathered; a store splits them if its database has a limit.",
		check: func(e *env) {
			const n = 400
			groups := make([]store.Group, n)
			for i := range groups {
				groups[i] = store.Group{put(fmt.Sprintf("key%04d", (i*7)%n), 0, fmt.Sprint(i))}
			}
			for i, res := range e.commit(groups...) {
				if res.Outcome != store.Applied {
					e.t.Fatalf("group %d: %s, want applied", i, resultText(res))
				}
				groups[i][0].Base = res.Revisions[0]
				if i%3 == 0 {
					groups[i][0].Base++ // stale
				}
			}
			for i, res := range e.commit(groups...) {
				want := store.Applied
				if i%3 == 0 {
					want = store.Conflict
				}
				if res.Outcome != want {
					e.t.Fatalf("group %d, %s: %s, want %s", i, describe(groups[i]), resultText(res), want)
				}
			}
		},
	},
}

func checkConflictTells(e *env) {
	w := expiring("key", 0, "value", e.now.Add(time.Minute))
	rev := e.apply(w)[0]
	for _, try := range []store.Write{
		put("key", 0, "x"), put("key", rev+1, "x"), del("key", rev+1), check("key", rev+1), check("key", 0), del("key", 0),
	} {
		res := e.conflict(try)
		if err := sameRecord(res.Current[0], w, rev); err != nil {
			e.t.Errorf("%s: conflict with %v", describe(store.Group{try}), err)
		}
	}
	for _, try := range []store.Write{put("nobody", 5, "x"), del("nobody", 5), check("nobody", 5)} {
		res := e.conflict(try)
		if res.Current[0].Revision != 0 {
			e.t.Errorf("%s: conflict with %s, want absent", describe(store.Group{try}), recordText(res.Current[0]))
		}
	}
}
