package storetest

import (
	"fmt"

	"github.com/stay-go/stay/store"
)

var revisionRules = []rule{
	{
		name: "C3 grows with every put",
		why:  "Each revision of a key is greater than all before; caches use it to tell newer from older.",
		check: func(e *env) {
			var rev store.Revision
			for i := range 20 {
				rev = e.put1("key", rev, fmt.Sprint(i)) // commit checks that it grows
			}
		},
	},
	{
		name: "C3 grows across deletion",
		why: "A key that was deleted and created again starts above all its earlier revisions. With a revision that starts over, " +
			"a caller that read the record before it was deleted can replace the new one unnoticed.",
		check: func(e *env) {
			for range 3 {
				var rev store.Revision
				for i := range 3 {
					rev = e.put1("key", rev, fmt.Sprint(i))
				}
				e.apply(del("key", rev))
				e.put1("other", e.load("other").Revision, "x") // deletions must not be forgotten when others write
				again := e.put1("key", 0, "again")
				if again <= rev {
					e.t.Fatalf("created at revision %d after deletion at %d", again, rev)
				}
				e.conflict(put("key", rev, "stale"))
				e.conflict(del("key", rev))
				e.wantValue("key", again, "again")
				e.apply(del("key", again))
			}
		},
	},
	{
		name: "C3 grows across expiry",
		why:  "A Put over an expired record, or after its deletion, gets a revision greater than the expired one.",
		check: func(e *env) {
			at := e.past()[0]
			first := e.apply(expiring("key", 0, "first", at))[0]
			second := e.apply(put("key", first, "second"))[0]
			third := e.apply(expiring("key", second, "third", at))[0]
			fourth := e.apply(expiring("key", third, "fourth", at))[0] // commit checks that it grows
			e.conflict(put("key", third, "stale"))
			e.apply(del("key", fourth))
			fifth := e.put1("key", 0, "fifth")
			if fifth <= fourth {
				e.t.Fatalf("created at revision %d after a record that expired at %d was deleted", fifth, fourth)
			}
		},
	},
	{
		name: "C3 only applied puts count",
		why:  "Conflicts, rejected groups and checks leave the revision as it is.",
		check: func(e *env) {
			rev := e.put1("key", 0, "value")
			e.conflict(put("key", rev+1, "x"))
			e.conflict(del("key", 0))
			e.apply(check("key", rev))
			e.rejected(e.commit(store.Group{put("other", 0, "x")}, store.Group{put("other", 0, "x")})[1], nil, "a repeated key")
			e.wantValue("key", rev, "value")
			e.put1("key", rev, "next")
		},
	},
}
