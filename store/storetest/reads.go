package storetest

import (
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

var readRules = []rule{
	{
		name: "C1 absent",
		why: "A read of a key that was never written returns the key and revision 0, not an error: " +
			"most first reads of a new session are of this kind.",
		check: func(e *env) { e.wantAbsent("nobody", "\x00", "\xff") },
	},
	{
		name: "C1 whole record",
		why:  "A read returns every field that the Put stored; Meta and Version decide how Value is understood.",
		check: func(e *env) {
			w := expiring("key", 0, "value", e.now.Add(3*time.Second))
			e.wantRecord(w, e.apply(w)[0])
			plain := store.Write{Key: "plain", Value: []byte("x")}
			e.wantRecord(plain, e.apply(plain)[0])
		},
	},
	{
		name: "C1 order",
		why: "Records come back in the order of their reads, whatever order the store finds them in; " +
			"callers match them by position.",
		check: func(e *env) {
			want := map[string]store.Revision{}
			for _, i := range []int{3, 1, 4, 9, 2, 6} {
				key := fmt.Sprint("key", i)
				want[key] = e.put1(key, 0, key)
			}
			keys := []string{"key9", "key0", "key1", "key6", "key5", "key2", "key4", "key3"}
			reads := make([]store.Read, len(keys))
			for i, key := range keys {
				reads[i].Key = key
			}
			for _, rec := range e.loadAll(reads...) {
				if rec.Revision != want[rec.Key] {
					e.t.Errorf("%s, want revision %d", recordText(rec), want[rec.Key])
				}
				if rec.Revision != 0 && string(rec.Value) != rec.Key {
					e.t.Errorf("%s: value is %s", recordText(rec), bytesText(rec.Value))
				}
			}
		},
	},
	{
		name: "C1 many reads",
		why:  "One call may have as many reads as the caller needs; a store splits them if its database has a limit.",
		check: func(e *env) {
			const n = 600
			groups := make([]store.Group, n)
			reads := make([]store.Read, 2*n)
			for i := range groups {
				key := fmt.Sprintf("key%05d", i)
				groups[i] = store.Group{put(key, 0, key)}
				reads[2*i].Key = key
				reads[2*i+1].Key = key + " absent"
			}
			results := e.commit(groups...)
			recs := e.loadAll(reads...)
			for i, res := range results {
				if res.Outcome != store.Applied {
					e.t.Fatalf("%s: %s, want applied", describe(groups[i]), resultText(res))
				}
				if err := sameRecord(recs[2*i], groups[i][0], res.Revisions[0]); err != nil {
					e.t.Fatalf("Load: %v", err)
				}
				if recs[2*i+1].Revision != 0 {
					e.t.Fatalf("Load: %s, want absent", recordText(recs[2*i+1]))
				}
			}
		},
	},
	{
		name: "C1 nothing asked",
		why:  "A call without reads or without groups returns nothing, and no error.",
		check: func(e *env) {
			e.loadAll()
			e.commit()
		},
	},
	{
		name: "C1 revision held",
		why: "A read that names the revision the store has is answered without the value, so that checking a cached " +
			"record is cheap; a read that names any other revision gets the whole record, also when it names a higher one.",
		check: checkHave,
	},
	{
		name:  "C1 linearizable",
		why:   "A Load that begins after a write was answered as applied sees it, from whatever goroutine it comes.",
		needs: needs{noStaleReads: true},
		check: checkReadsFollowWrites,
	},
}

func checkHave(e *env) {
	first := e.put1("key", 0, "first")
	rev := e.put1("key", first, "second")
	held := e.loadAll(store.Read{Key: "key", Have: rev})[0]
	if held.Revision != rev {
		e.t.Errorf("Load with the revision that the store has: %s, want revision %d", recordText(held), rev)
	}
	if len(held.Value)+len(held.Meta) != 0 || held.Version != 0 || !held.Expires.IsZero() {
		e.t.Errorf("Load with the revision that the store has returned more than key and revision: %+v", held)
	}
	for _, have := range []store.Revision{0, first, rev + 1, 1 << 62} {
		rec := e.loadAll(store.Read{Key: "key", Have: have})[0]
		if err := sameRecord(rec, put("key", 0, "second"), rev); err != nil {
			e.t.Errorf("Load with Have %d: %v", have, err)
		}
	}
	e.apply(del("key", rev))
	rec := e.loadAll(store.Read{Key: "key", Have: rev})[0]
	if rec.Revision != 0 {
		e.t.Errorf("Load with the revision of a deleted record: %s, want absent", recordText(rec))
	}
}

// checkReadsFollowWrites lets one goroutine write, and passes each revision,
// once acknowledged, to others that read.
func checkReadsFollowWrites(e *env) {
	const readers, rounds = 4, 50
	acked := make([]chan store.Revision, readers)
	done := make(chan error, readers)
	for i := range acked {
		acked[i] = make(chan store.Revision, 1)
		go func() {
			var err error
			var newest store.Revision
			for rev := range acked[i] {
				recs, loadErr := e.store.Load(e.ctx, []store.Read{{Key: "key"}})
				switch {
				case err != nil:
				case loadErr != nil:
					err = fmt.Errorf("Load: %w", loadErr)
				case recs[0].Revision < rev:
					err = fmt.Errorf("Load: %s after revision %d was acknowledged", recordText(recs[0]), rev)
				case recs[0].Revision < newest:
					err = fmt.Errorf("Load: %s after revision %d had been read", recordText(recs[0]), newest)
				default:
					newest = recs[0].Revision
				}
			}
			done <- err
		}()
	}
	var rev store.Revision
	for i := range rounds {
		res := e.store.Commit(e.ctx, []store.Group{{put("key", rev, fmt.Sprint(i))}})[0]
		if res.Outcome != store.Applied {
			e.t.Errorf("write %d: %s, want applied", i, resultText(res))
			break
		}
		rev = res.Revisions[0]
		for _, ch := range acked {
			ch <- rev
		}
	}
	for _, ch := range acked {
		close(ch)
	}
	for range readers {
		if err := <-done; err != nil {
			e.t.Errorf("%v", err)
		}
	}
}
