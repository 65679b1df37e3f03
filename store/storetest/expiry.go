package storetest

import (
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// grace is how far the clock of a call may be behind that of an earlier call,
// for every store. Beyond that, a store that does not declare Expire may have
// dropped records that it saw expired.
const grace = 30 * time.Second

var expiryRules = []rule{
	{
		name: "C4 expires at its time",
		why:  "A record is present until the last moment before Expires and absent from Expires on, by the time of the call.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(time.Second))
			rev := e.apply(w)[0]
			e.advance(time.Second - time.Nanosecond)
			e.wantRecord(w, rev)
			e.apply(check("key", rev))
			e.advance(time.Nanosecond)
			e.wantAbsent("key")
			rec := e.loadAll(store.Read{Key: "key", Have: rev})[0]
			if rec.Revision != 0 {
				e.t.Errorf("Load with the revision of an expired record: %s, want absent", recordText(rec))
			}
		},
	},
	{
		name: "C4 absent for conditions",
		why: "To every Put and Check an expired record is absent: a session that has ended is not brought back by a caller that " +
			"still holds its revision.",
		check: func(e *env) {
			rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
			e.advance(time.Second)
			e.conflict(put("key", rev, "back"))
			e.conflict(check("key", rev))
			e.apply(check("key", 0))
			e.apply(del("key", 0))
			again := e.put1("key", 0, "new")
			e.wantValue("key", again, "new")
		},
	},
	{
		name:  "C4 absent for groups",
		why:   "An expired record is absent for the conditions of a group, as for a single write.",
		needs: needs{groups: true},
		check: func(e *env) {
			rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
			e.advance(time.Second)
			e.conflict(put("other", 0, "x"), check("key", rev))
			e.wantAbsent("key", "other")
			revs := e.apply(put("other", 0, "other"), put("key", 0, "new"))
			e.wantValue("other", revs[0], "other")
			e.wantValue("key", revs[1], "new")
		},
	},
	{
		name: "C4 time goes backwards",
		why: "Only the time of the call counts: a call with an earlier time, from a node whose clock is behind, " +
			"finds the record that a call with a later time found expired.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(10*time.Second))
			rev := e.apply(w)[0]
			step := grace
			if e.f.Expire {
				step = 1000 * time.Hour
			}
			for range 3 {
				e.advance(step)
				e.wantAbsent("key")
				e.apply(check("key", 0))
				e.advance(-step)
				e.wantRecord(w, rev)
				e.apply(check("key", rev))
			}
			e.put1("key", rev, "next")
		},
	},
	{
		name: "C4 the clock of the store plays no part",
		why:  "A store that expires records by its own clock loses those of an application whose clock differs.",
		check: func(e *env) {
			for _, year := range []int{2001, 2100} {
				e.now = time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC)
				w := expiring("key", e.load("key").Revision, "value", e.now.Add(time.Second))
				rev := e.apply(w)[0]
				e.wantRecord(w, rev)
				e.advance(time.Second)
				e.wantAbsent("key")
			}
		},
	},
	{
		name: "C4 milliseconds",
		why:  "Expires is kept to the millisecond and truncated, the same in every store, and is returned as it is kept.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(5*time.Millisecond+900*time.Microsecond))
			rev := e.apply(w)[0]
			e.wantRecord(w, rev)
			e.advance(5*time.Millisecond - time.Nanosecond)
			e.wantRecord(w, rev)
			e.advance(time.Nanosecond)
			e.wantAbsent("key")
		},
	},
	{
		name: "C4 born expired",
		why: "Expires may be in the past, even at the epoch of Unix time, which is not the zero time: the Put is applied and " +
			"the record absent.",
		check: func(e *env) {
			for _, at := range []time.Time{e.now, e.now.Add(-time.Hour), time.Unix(0, 0), time.Unix(-1, 0)} {
				e.apply(expiring("key", 0, "value", at))
				e.wantAbsent("key")
			}
		},
	},
	{
		name: "C4 other time zone",
		why:  "Times are compared as instants, whatever their location.",
		check: func(e *env) {
			east := time.FixedZone("east", 14*3600)
			w := expiring("key", 0, "value", e.now.Add(time.Second).In(east))
			rev := e.apply(w)[0]
			e.now = e.now.UTC()
			e.wantRecord(w, rev)
			e.now = e.now.Add(time.Second).In(time.FixedZone("west", -11*3600))
			e.wantAbsent("key")
		},
	},
	{
		name:  "C4 claim",
		why:   "A Delete that names the revision of an expired record removes it; so exactly one caller runs the work that follows expiry.",
		check: checkClaim,
	},
	{
		name:  "C4 claimed once",
		why:   "Of many callers that claim an expired record at once, exactly one gets Applied.",
		check: checkClaimedOnce,
	},
	{
		name:  "C4 claim in a group",
		why:   "A claim is a write like others: a group with it is applied whole or not at all.",
		needs: needs{groups: true},
		check: func(e *env) {
			rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
			e.advance(time.Second)
			e.conflict(del("key", rev), check("other", 1))
			revs := e.apply(del("key", rev), put("other", 0, "value"))
			e.wantValue("other", revs[1], "value")
			e.conflict(del("key", rev), put("third", 0, "value"))
			e.wantAbsent("third")
		},
	},
}

func checkClaim(e *env) {
	rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
	e.advance(time.Second)
	e.conflict(del("key", rev+1))
	e.apply(del("key", rev))
	e.conflict(del("key", rev))
	e.advance(-time.Second) // it is gone, not merely expired
	e.wantAbsent("key")
	again := e.put1("key", 0, "new")
	e.conflict(del("key", rev))
	e.wantValue("key", again, "new")
}

func checkClaimedOnce(e *env) {
	const rounds, claimers = 10, 8
	for range rounds {
		rev := e.apply(expiring("key", 0, "old", e.now.Add(time.Second)))[0]
		e.advance(time.Second)
		results := make([]store.Result, claimers)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range results {
			wg.Go(func() {
				<-start
				results[i] = e.store.Commit(e.ctx, e.now, []store.Group{{del("key", rev)}})[0]
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
				e.t.Errorf("claim: %s, want applied or conflict", resultText(res))
			}
		}
		if applied != 1 {
			e.t.Fatalf("%d of %d claims were applied, want exactly 1", applied, claimers)
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
		why:   "A sweep takes a limited number of records at a time; after it has claimed them, Expired returns the rest, until none is left.",
		needs: needs{expire: true},
		check: checkExpiredLimit,
	},
	{
		name:  "C4 Expired changes nothing",
		why:   "A record that Expired returns stays in the store until it is claimed, so that a crash in between loses nothing.",
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
			again := e.apply(expiring("sooner", 0, "x", start.Add(3*time.Hour)))[0]
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
