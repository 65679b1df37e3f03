package storetest

import (
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

var expiryRules = []rule{
	{
		name: "C4 expired records are read",
		why: "The caller has the clock, so Load and a conflict return a record that has expired as it is. If a store hides it, " +
			"the next create finds it in its way and never learns why.",
		check: func(e *env) {
			for _, at := range e.past() {
				w := expiring("key", e.load("key").Revision, "value", at)
				rev := e.apply(w)[0]
				e.wantRecord(w, rev)
				held := e.loadAll(store.Read{Key: "key", Have: rev})[0]
				if held.Revision != rev || len(held.Value) != 0 {
					e.t.Errorf("Load with the revision that the store has: %s, want that revision and no value", recordText(held))
				}
				if err := sameRecord(e.conflict(put("key", 0, "x")).Current[0], w, rev); err != nil {
					e.t.Errorf("conflict with %v", err)
				}
			}
		},
	},
	{
		name: "C4 expired records are replaced",
		why: "A condition is about the revision alone: an expired record is replaced, checked and deleted by its revision, and " +
			"base 0 means that there is no record at all.",
		check: func(e *env) {
			for _, at := range e.past() {
				rev := e.apply(expiring("key", 0, "old", at))[0]
				for _, w := range []store.Write{
					put("key", 0, "x"), check("key", 0), del("key", 0), put("key", rev+1, "x"), check("key", rev+1), del("key", rev+1),
				} {
					e.conflict(w)
				}
				e.apply(check("key", rev))
				again := e.apply(expiring("key", rev, "again", at))[0]
				rev = e.put1("key", again, "new")
				e.wantValue("key", rev, "new")
				rev = e.apply(expiring("key", rev, "old", at))[0]
				e.apply(del("key", rev))
				e.conflict(del("key", rev))
				e.wantAbsent("key")
			}
		},
	},
	{
		name:  "C4 expired records in groups",
		why:   "What an expired record means to a single write it means to a group.",
		needs: needs{groups: true},
		check: func(e *env) {
			at := e.past()[0]
			rev := e.apply(expiring("key", 0, "old", at))[0]
			e.conflict(put("other", 0, "x"), check("key", 0))
			e.conflict(del("key", rev), check("other", 1))
			e.wantAbsent("other")
			revs := e.apply(put("other", 0, "other"), put("key", rev, "new"))
			e.wantValue("other", revs[0], "other")
			e.wantValue("key", revs[1], "new")
			rev = e.apply(expiring("key", revs[1], "old", at))[0]
			e.apply(del("key", rev), put("third", 0, "third"))
			e.conflict(del("key", rev), put("fourth", 0, "fourth"))
			e.wantAbsent("key", "fourth")
		},
	},
	{
		name:  "C4 expired records are deleted once",
		why:   "Of many callers that delete an expired record at once exactly one is answered Applied: it runs what follows expiry.",
		check: checkDeletedOnce,
	},
	{
		name:  "C4 expired records stay",
		why:   "A record stays until somebody replaces or deletes it: a state whose time is over may still have to be told to a hook.",
		needs: needs{expire: true},
		check: func(e *env) {
			w := expiring("key", 0, "value", time.Now().Add(-24*time.Hour))
			rev := e.apply(w)[0]
			for range 3 {
				e.advance(1000 * time.Hour)
				e.wantExpired(map[string]store.Revision{"key": rev})
				if e.f.List {
					e.list("", "", 10)
				}
				e.put1("other", e.load("other").Revision, "x")
				e.wantRecord(w, rev)
			}
		},
	},
	{
		name: "C4 milliseconds",
		why:  "Expires is kept to the millisecond and truncated, the same in every store, and is returned as it is kept.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(5*time.Millisecond+900*time.Microsecond))
			e.wantRecord(w, e.apply(w)[0])
		},
	},
	{
		name: "C4 long ago",
		why:  "Expires may lie in the past, even at the epoch of Unix time, which is not the zero time and does not mean never.",
		check: func(e *env) {
			for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Unix(0, 0), time.Unix(-1, 0)} {
				key := at.UTC().String()
				w := expiring(key, 0, "value", at)
				rev := e.apply(w)[0]
				if rec := e.load(key); e.f.Expire || rec.Revision != 0 { // a store without Expire may have dropped it
					if err := sameRecord(rec, w, rev); err != nil {
						e.t.Errorf("Load: %v", err)
					}
				}
			}
		},
	},
	{
		name: "C4 other time zone",
		why:  "Times are kept as instants, whatever their location.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(time.Second).In(time.FixedZone("east", 14*3600)))
			e.wantRecord(w, e.apply(w)[0])
		},
	},
}

// past returns times at which a record that the store must still have may have
// expired: a store without Expire may drop what expired more than a minute ago.
func (e *env) past() []time.Time {
	now := time.Now()
	times := []time.Time{now.Add(-10 * time.Second)}
	if e.f.Expire {
		times = append(times, now.Add(-time.Hour), time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	}
	return times
}

func checkDeletedOnce(e *env) {
	const rounds, callers = 10, 8
	for range rounds {
		rev := e.apply(expiring("key", 0, "old", e.past()[0]))[0]
		results := make([]store.Result, callers)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range results {
			wg.Go(func() {
				<-start
				results[i] = e.store.Commit(e.ctx, []store.Group{{del("key", rev)}})[0]
			})
		}
		close(start)
		wg.Wait()
		applied := 0
		for _, res := range results {
			switch res.Outcome {
			case store.Applied:
				applied++
			case store.Conflict:
			default:
				e.t.Errorf("delete: %s, want applied or conflict", resultText(res))
			}
		}
		if applied != 1 {
			e.t.Fatalf("%d of %d deletes were applied, want exactly 1", applied, callers)
		}
	}
}

var expiredRules = []rule{
	{
		name:  "C4 Expired finds",
		why:   "Expired finds complete records that expired more than a minute ago, and no others: the sweep ends the states that it finds.",
		needs: needs{expire: true},
		check: checkExpired,
	},
	{
		name:  "C4 Expired honours the limit",
		why:   "A sweep takes a bounded number at a time; deleting what it got makes room for the rest, until nothing is left.",
		needs: needs{expire: true},
		check: checkExpiredLimit,
	},
	{
		name:  "C4 Expired changes nothing",
		why:   "What Expired returns stays in the store until it is deleted, so that a crash between the two loses nothing.",
		needs: needs{expire: true},
		check: func(e *env) {
			rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
			e.advance(time.Hour)
			for range 3 {
				if recs := e.expired(10); len(recs) != 1 || recs[0].Revision != rev {
					e.t.Fatalf("Expired returned %d records, want the one that expired at revision %d", len(recs), rev)
				}
			}
			e.apply(del("key", rev))
			if recs := e.expired(10); len(recs) != 0 {
				e.t.Errorf("Expired returned %s after its deletion", recordText(recs[0]))
			}
		},
	},
	{
		name: "C4 Expired by the time of the call",
		why: "Only the time of the call counts, and it may go backwards: a node whose clock is behind must not be told to end " +
			"what lives by its clock.",
		needs: needs{expire: true},
		check: func(e *env) {
			start := e.now
			for _, year := range []int{2001, 2100} {
				e.now = time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC)
				rev := e.apply(expiring("key", e.load("key").Revision, "value", e.now.Add(time.Second)))[0]
				e.wantExpired(nil)
				e.advance(time.Second - time.Nanosecond)
				e.wantExpired(nil)
				e.advance(time.Minute + time.Second)
				e.wantExpired(map[string]store.Revision{"key": rev})
			}
			e.now = start
			e.wantExpired(nil)
		},
	},
	{
		name:  "C4 Expired follows changes",
		why:   "A record that was put again with another expiry, or with none, is found only by its new expiry.",
		needs: needs{expire: true},
		check: func(e *env) {
			start := e.now
			rev := e.apply(expiring("later", 0, "x", start.Add(time.Minute)))[0]
			later := e.apply(expiring("later", rev, "x", start.Add(time.Hour)))[0]
			rev = e.apply(expiring("never", 0, "x", start.Add(time.Minute)))[0]
			e.apply(put("never", rev, "x"))
			rev = e.apply(put("sooner", 0, "x"))[0]
			sooner := e.apply(expiring("sooner", rev, "x", start.Add(time.Minute)))[0]
			e.now = start.Add(30 * time.Minute)
			e.wantExpired(map[string]store.Revision{"sooner": sooner})
			e.now = start.Add(2 * time.Hour)
			e.wantExpired(map[string]store.Revision{"sooner": sooner, "later": later})
			again := e.apply(expiring("sooner", sooner, "x", start.Add(3*time.Hour)))[0]
			e.wantExpired(map[string]store.Revision{"later": later})
			e.now = start.Add(4 * time.Hour)
			e.wantExpired(map[string]store.Revision{"sooner": again, "later": later})
		},
	},
	{
		name:  "C4 without Expire",
		why:   "A store that does not declare Expire answers Expired with nothing, not with an error.",
		needs: needs{noExpire: true},
		check: func(e *env) {
			e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))
			e.advance(time.Hour)
			e.wantExpired(nil)
		},
	},
}

// wantExpired fails the rule unless Expired returns exactly these keys.
func (e *env) wantExpired(want map[string]store.Revision) {
	e.t.Helper()
	got := map[string]store.Revision{}
	for _, rec := range e.expired(1000) {
		got[rec.Key] = rec.Revision
		if rec.Revision != want[rec.Key] {
			e.t.Errorf("Expired returned %s", recordText(rec))
		}
	}
	for key, rev := range want {
		if got[key] != rev {
			e.t.Errorf("Expired did not return %q at revision %d", key, rev)
		}
	}
}

func checkExpired(e *env) {
	start := e.now
	old := map[string]store.Write{}
	revs := map[string]store.Revision{}
	for _, key := range []string{"a", "b\x00", "\xff\xfe"} {
		w := expiring(key, 0, "value of "+key, start.Add(1500*time.Microsecond))
		old[key] = w
		revs[key] = e.apply(w)[0]
	}
	e.put1("forever", 0, "x")
	e.apply(expiring("tomorrow", 0, "x", start.Add(24*time.Hour)))
	if recs := e.expired(10); len(recs) != 0 {
		e.t.Errorf("Expired returned %s before it expired", recordText(recs[0]))
	}
	e.now = start.Add(2 * time.Minute)
	recs := e.expired(10)
	if len(recs) != len(old) {
		e.t.Fatalf("Expired returned %d records, want %d", len(recs), len(old))
	}
	for _, rec := range recs {
		if err := sameRecord(rec, old[rec.Key], revs[rec.Key]); err != nil {
			e.t.Errorf("Expired: %v", err)
		}
	}
	e.now = start
	if recs := e.expired(10); len(recs) != 0 {
		e.t.Errorf("Expired returned %s for a time before it expired", recordText(recs[0]))
	}
}

func checkExpiredLimit(e *env) {
	const n, limit = 25, 4
	left := map[string]store.Revision{}
	for i := range n {
		key := string(rune('a' + i))
		left[key] = e.apply(expiring(key, 0, key, e.now.Add(time.Duration(i)*time.Second)))[0]
	}
	e.advance(time.Hour)
	if recs := e.expired(0); len(recs) != 0 {
		e.t.Errorf("Expired with limit 0 returned %d records", len(recs))
	}
	for len(left) > 0 {
		recs := e.expired(limit)
		if len(recs) == 0 || len(recs) > limit {
			e.t.Fatalf("Expired with limit %d returned %d records while %d are left", limit, len(recs), len(left))
		}
		for _, rec := range recs {
			if left[rec.Key] != rec.Revision {
				e.t.Fatalf("Expired returned %s, which is not one of those left", recordText(rec))
			}
			delete(left, rec.Key)
			e.apply(del(rec.Key, rec.Revision))
		}
	}
	e.wantExpired(nil)
}
