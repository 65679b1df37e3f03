package storetest

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/stay-go/stay/store"
)

var raceRules = []rule{
	{
		name:  "C2 concurrent increments",
		why:   "Read, change, compare-and-swap from many goroutines at once loses no update.",
		check: func(e *env) { checkIncrements(e, e.store) },
	},
	{
		name: "C2 concurrent groups",
		why: "Groups over overlapping keys, named in any order, neither lock each other out for ever nor mix: " +
			"money moved between accounts is never lost or doubled.",
		needs: needs{groups: true},
		check: func(e *env) { checkTransfers(e, e.store) },
	},
	{
		name: "C2 concurrent creation",
		why:  "Of many callers that create a key at once, exactly one gets Applied.",
		check: func(e *env) {
			const rounds, callers = 10, 8
			for i := range rounds {
				key := fmt.Sprint("key", i)
				results := make([]store.Result, callers)
				var wg sync.WaitGroup
				for j := range results {
					wg.Go(func() {
						results[j] = e.store.Commit(e.ctx, []store.Group{{put(key, 0, fmt.Sprint(j))}})[0]
					})
				}
				wg.Wait()
				applied := 0
				for j, res := range results {
					if res.Outcome == store.Applied {
						applied++
						e.wantValue(key, res.Revisions[0], fmt.Sprint(j))
					} else if res.Outcome != store.Conflict {
						e.t.Errorf("create: %s, want applied or conflict", resultText(res))
					}
				}
				if applied != 1 {
					e.t.Fatalf("%d of %d creations were applied, want exactly 1", applied, callers)
				}
			}
		},
	},
}

// number reads the decimal that put1 stored, 0 for an absent record.
func number(rec store.Record) (int, error) {
	if rec.Revision == 0 {
		return 0, nil
	}
	return strconv.Atoi(string(rec.Value))
}

// checkIncrements lets several goroutines add to one key, each through one of
// the stores.
func checkIncrements(e *env, stores ...store.Store) {
	const workers, each = 6, 20
	var wg sync.WaitGroup
	for i := range workers {
		s := stores[i%len(stores)]
		wg.Go(func() {
			for range each {
				if err := increment(e, s, "key"); err != nil {
					e.t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, err := number(e.load("key")); err != nil || got != workers*each {
		e.t.Errorf("%d increments were applied, the value is %d (%v)", workers*each, got, err)
	}
}

// increment adds one to the number under a key. After a conflict it goes on
// from the record that the conflict returns, without another Load.
func increment(e *env, s store.Store, key string) error {
	recs, err := s.Load(e.ctx, []store.Read{{Key: key}})
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	rec := recs[0]
	for {
		n, err := number(rec)
		if err != nil {
			return err
		}
		res := s.Commit(e.ctx, []store.Group{{put(key, rec.Revision, strconv.Itoa(n+1))}})[0]
		switch {
		case res.Outcome == store.Applied:
			return nil
		case res.Outcome != store.Conflict:
			return fmt.Errorf("%s, want applied or conflict", resultText(res))
		case res.Current[0].Revision == rec.Revision:
			return fmt.Errorf("conflict with the revision that the write named: %s", resultText(res))
		}
		rec = res.Current[0]
	}
}

// checkTransfers moves units between accounts in groups of two writes.
func checkTransfers(e *env, stores ...store.Store) {
	const workers, each, accounts, units = 6, 20, 4, 100
	name := func(i int) string { return fmt.Sprint("account", i) }
	for i := range accounts {
		e.put1(name(i), 0, strconv.Itoa(units))
	}
	var wg sync.WaitGroup
	for i := range workers {
		r, s := e.rand(uint64(i)), stores[i%len(stores)]
		wg.Go(func() {
			for done := 0; done < each; {
				from := r.IntN(accounts)
				to := (from + 1 + r.IntN(accounts-1)) % accounts
				ok, err := transfer(e, s, name(from), name(to))
				if err != nil {
					e.t.Errorf("transfer: %v", err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	wg.Wait()
	for _, e.store = range stores {
		sum := 0
		for i := range accounts {
			n, err := number(e.load(name(i)))
			if err != nil {
				e.t.Errorf("%v", err)
			}
			sum += n
		}
		if sum != accounts*units {
			e.t.Errorf("the accounts hold %d, want %d", sum, accounts*units)
		}
	}
}

// transfer tries once to move one unit; false means that another goroutine was
// faster.
func transfer(e *env, s store.Store, from, to string) (bool, error) {
	recs, err := s.Load(e.ctx, []store.Read{{Key: from}, {Key: to}})
	if err != nil {
		return false, fmt.Errorf("Load: %w", err)
	}
	var writes store.Group
	for i, change := range []int{-1, +1} {
		n, err := number(recs[i])
		if err != nil {
			return false, err
		}
		writes = append(writes, put(recs[i].Key, recs[i].Revision, strconv.Itoa(n+change)))
	}
	res := s.Commit(e.ctx, []store.Group{writes})[0]
	switch res.Outcome {
	case store.Applied:
		return true, nil
	case store.Conflict:
		return false, nil
	}
	return false, fmt.Errorf("%s, want applied or conflict", resultText(res))
}
