package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

var cancelRules = []rule{
	{
		name: "C6 cancelled before the call",
		why: "A call whose context has ended may do its work or not, but its answer must be true: an applied group is stored, " +
			"a rejected one is not, and no group is stored in part.",
		check: func(e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			for i := range 10 {
				e.cancelledCommit(ctx, i)
			}
			rev := e.put1("key", 0, "value")
			recs, err := e.store.Load(ctx, []store.Read{{Key: "key"}})
			if err == nil && (len(recs) != 1 || recs[0].Revision != rev) {
				e.t.Errorf("Load with a cancelled context returned something wrong instead of an error: %+v", recs)
			}
		},
	},
	{
		name: "C6 cancelled during the call",
		why: "A call may be cancelled at any moment. An applied group is stored, a rejected one never will be, " +
			"and an unknown group is stored completely or not at all.",
		check: func(e *env) {
			const rounds = 100
			e.cancelledCommits(rounds, func(int) {})
			// A group that came late must be complete too.
			for i := range rounds {
				e.wantWhole(i)
			}
		},
	},
	{
		name: "C6 cancelled calls do not come after later ones",
		why: "A group of unknown outcome is applied before the next group that writes one of its keys, or never: a caller that repeats it " +
			"until it is stored, and then deletes the record, must not find the record again.",
		check: func(e *env) {
			const rounds = 100
			e.cancelledCommits(rounds, func(i int) {
				a, b := pair(i)
				for _, key := range []string{a, b} {
					switch again := e.one(put(key, 0, "x")); again.Outcome {
					case store.Applied:
						e.apply(del(key, again.Revisions[0]))
					case store.Conflict:
						e.apply(del(key, again.Current[0].Revision))
					default:
						e.t.Fatalf("creating a key once more: %s", resultText(again))
					}
				}
			})
			for i := range rounds {
				a, b := pair(i)
				e.wantAbsent(a, b)
			}
		},
	},
	{
		name: "C6 works after cancelled calls",
		why:  "A cancelled call does not make later calls block or fail.",
		check: func(e *env) {
			r := e.rand(0)
			for range 50 {
				ctx, cancel := context.WithTimeout(e.ctx, time.Duration(r.IntN(200))*time.Microsecond)
				_, _ = e.store.Load(ctx, []store.Read{{Key: "a"}, {Key: "b"}})
				_, _ = e.store.Expired(ctx, e.now, 10)
				cancel()
				e.put1("key", e.load("key").Revision, "x")
			}
		},
	},
}

// pair names the keys of round i.
func pair(i int) (string, string) { return fmt.Sprint("a", i), fmt.Sprint("b", i) }

// cancelledCommits creates the keys of that many rounds with contexts that end
// at any moment, and calls then after each round.
func (e *env) cancelledCommits(rounds int, then func(i int)) {
	e.t.Helper()
	r := e.rand(0)
	for i := range rounds {
		ctx, cancel := context.WithTimeout(e.ctx, time.Duration(r.IntN(400))*time.Microsecond)
		e.cancelledCommit(ctx, i)
		cancel()
		then(i)
	}
}

// cancelledCommit creates the keys of round i with a context that ends, and
// checks that the store has what it said.
func (e *env) cancelledCommit(ctx context.Context, i int) {
	e.t.Helper()
	a, b := pair(i)
	groups := []store.Group{{put(a, 0, "x"), put(b, 0, "x")}}
	if !e.f.Groups {
		groups = []store.Group{{put(a, 0, "x")}, {put(b, 0, "x")}}
	}
	results := e.store.Commit(ctx, groups)
	if err := wellFormed(groups, results); err != nil {
		e.t.Fatalf("%v", err)
	}
	for j, res := range results {
		switch res.Outcome {
		case store.Applied:
			for k, w := range groups[j] {
				e.wantRecord(w, res.Revisions[k])
			}
		case store.Rejected:
			for _, w := range groups[j] {
				e.wantAbsent(w.Key)
			}
		case store.Conflict:
			e.t.Errorf("creating keys that nobody else writes: %s", resultText(res))
		}
	}
	e.wantWhole(i)
}

// wantWhole fails the rule if one key of round i is present and the other is
// not. A group of unknown outcome may be applied between two reads, so the keys
// are read twice: once one key is there, the whole group is.
func (e *env) wantWhole(i int) {
	e.t.Helper()
	if !e.f.Groups {
		return
	}
	a, b := pair(i)
	var recs []store.Record
	for range 2 {
		recs = e.loadAll(store.Read{Key: a}, store.Read{Key: b})
		if (recs[0].Revision == 0) == (recs[1].Revision == 0) {
			return
		}
	}
	e.t.Errorf("half of a group is there: %s, %s", recordText(recs[0]), recordText(recs[1]))
}
