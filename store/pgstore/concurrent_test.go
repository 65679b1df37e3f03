package pgstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// TestGroupsDoNotDeadlock proves that groups which name the same records in
// different orders are atomic and wait for each other in one order, whatever
// connections they come over.
//
// Proves C2.
func TestGroupsDoNotDeadlock(t *testing.T) {
	const accounts, money, workers, rounds = 8, 100, 9, 60
	s := theServer(t)
	schema := s.schema(t)
	before := s.logged(t, "deadlock detected")
	var stores []store.Store
	for _, open := range []opener{own, onPool, own} {
		st := open(t, config(t, s.URL("search_path", schema)))
		defer st.Close()
		stores = append(stores, st)
	}
	var create store.Group
	var reads []store.Read
	for i := range accounts {
		key := fmt.Sprint("account ", i)
		create = append(create, store.Write{Key: key, Value: []byte(strconv.Itoa(money))})
		reads = append(reads, store.Read{Key: key})
	}
	if r := storekit.One(stores[0], create...); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	total := func(records []store.Record) (sum int) {
		for _, r := range records {
			n, _ := strconv.Atoi(string(r.Value)) // an account that is empty has no record
			sum += n
		}
		return sum
	}
	checked := store.Write{Op: store.Check, Key: "what all check", Base: storekit.Put(t, stores[0], "what all check", 0, "x")}
	seed := rand.Uint64()
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			random, st := rand.New(rand.NewPCG(seed, uint64(worker))), stores[worker%len(stores)]
			mine := store.Write{Key: fmt.Sprint("worker ", worker)}
			mine.Base = storekit.Put(t, st, mine.Key, 0, "x")
			for range rounds {
				records, err := st.Load(context.Background(), reads)
				if err != nil {
					t.Error(err)
					return
				}
				if sum := total(records); sum != accounts*money {
					t.Errorf("seed %d: the accounts hold %d, want %d: half a group is there", seed, sum, accounts*money)
					return
				}
				// Everything goes from some accounts to one of them.
				var g store.Group
				sum := 0
				for n, i := range random.Perm(accounts)[:2+random.IntN(accounts-2)] {
					r := records[i]
					v, _ := strconv.Atoi(string(r.Value))
					sum += v
					w := store.Write{Op: store.Delete, Key: r.Key, Base: r.Revision}
					if n == 0 {
						w.Op = store.Put
					}
					g = append(g, w)
				}
				g[0].Value = []byte(strconv.Itoa(sum))
				// And others are written as they are: each for itself, two together,
				// or one while the other is only checked.
				groups := []store.Group{g}
				together := random.IntN(2) == 0
				for _, i := range random.Perm(accounts) {
					named := false
					for _, w := range g {
						named = named || w.Key == records[i].Key
					}
					if r := records[i]; !named && r.Revision != 0 {
						w := store.Write{Key: r.Key, Base: r.Revision, Value: r.Value, Op: store.Op(2 * random.IntN(2))} // Put or Check
						if last := len(groups) - 1; together && last > 0 && len(groups[last]) == 1 && random.IntN(2) == 0 {
							groups[last] = append(groups[last], w)
							continue
						}
						w.Op = store.Put
						groups = append(groups, store.Group{w})
					}
				}
				mine.Value = []byte(strconv.Itoa(sum))
				groups = append(groups, store.Group{mine, checked})
				results := st.Commit(context.Background(), groups)
				for _, r := range results {
					if r.Outcome != store.Applied && r.Outcome != store.Conflict {
						t.Errorf("%v: %v", r.Outcome, r.Err)
					}
				}
				last := results[len(results)-1]
				if last.Outcome != store.Applied {
					t.Errorf("what nobody else changes: %v: %v", last.Outcome, last.Err)
					return
				}
				mine.Base = last.Revisions[0]
			}
		})
	}
	group.Wait()
	if n := s.logged(t, "deadlock detected") - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// TestAbsenceIsACondition proves that two groups at the same time, each of which
// creates the record that must be absent for the other, are not both applied.
//
// Proves C2.
func TestAbsenceIsACondition(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	stores := []store.Store{own(t, config(t, s.URL("search_path", schema))), onPool(t, config(t, s.URL("search_path", schema)))}
	for _, st := range stores {
		defer st.Close()
		storekit.Load(t, st, "a") // connects
	}
	// Creations take long enough to meet.
	s.exec(t, `CREATE FUNCTION `+schema+`.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
		CREATE TRIGGER linger BEFORE INSERT ON `+schema+`.stay_records FOR EACH ROW EXECUTE FUNCTION `+schema+`.linger()`)
	for name, op := range map[string]store.Op{"check": store.Check, "delete": store.Delete} {
		t.Run(name, func(t *testing.T) {
			a, b := name+" a", name+" b"
			var group sync.WaitGroup
			var results [2]store.Result
			group.Go(func() { results[0] = storekit.One(stores[0], store.Write{Key: a}, store.Write{Op: op, Key: b}) })
			group.Go(func() { results[1] = storekit.One(stores[1], store.Write{Key: b}, store.Write{Op: op, Key: a}) })
			group.Wait()
			if x, y := results[0].Outcome, results[1].Outcome; x+y != store.Applied+store.Conflict || x == y {
				t.Errorf("%v and %v, want one that is applied and one conflict (%v, %v)", x, y, results[0].Err, results[1].Err)
			}
		})
	}
}

// TestTwoApps proves that changes by two programs that share a database do not
// get lost.
//
// Proves C1, C2.
func TestTwoApps(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	var stores []store.Store
	for _, open := range []opener{own, onPool} {
		st := open(t, config(t, s.URL("search_path", schema)))
		defer st.Close()
		stores = append(stores, st)
	}
	storekit.Apps(t, nil, stores...)
}

// TestWhatIsCheckedDoesNotChangeBeforeTheCommit proves that of two groups which
// each change what the other one checks, one fails, whatever else is on its way.
//
// Proves C2.
func TestWhatIsCheckedDoesNotChangeBeforeTheCommit(t *testing.T) {
	const pairs, rounds = 4, 60
	s := theServer(t)
	schema := s.schema(t)
	before := s.logged(t, "deadlock detected")
	var stores []store.Store
	for _, open := range []opener{own, onPool} {
		st := open(t, config(t, s.URL("search_path", schema)))
		defer st.Close()
		stores = append(stores, st)
	}
	var all sync.WaitGroup
	for pair := range pairs {
		all.Go(func() {
			keys := []string{fmt.Sprint("a ", pair), fmt.Sprint("b ", pair)}
			revs := []store.Revision{storekit.Put(t, stores[0], keys[0], 0, "x"), storekit.Put(t, stores[0], keys[1], 0, "x")}
			for range rounds {
				var results [2]store.Result
				var both sync.WaitGroup
				for i := range results {
					both.Go(func() {
						results[i] = storekit.One(stores[i],
							store.Write{Key: keys[i], Base: revs[i], Value: []byte("y")},
							store.Write{Op: store.Check, Key: keys[1-i], Base: revs[1-i]})
					})
				}
				both.Wait()
				applied := -1
				for i, r := range results {
					switch {
					case r.Outcome == store.Applied && applied < 0:
						applied = i
					case r.Outcome != store.Conflict:
						t.Errorf("%v, %v: want one applied and one conflict", results[0], results[1])
						return
					}
				}
				if applied < 0 {
					t.Errorf("%v, %v: none was applied", results[0], results[1])
					return
				}
				revs[applied] = results[applied].Revisions[0]
			}
		})
	}
	all.Wait()
	if after := s.logged(t, "deadlock detected"); after > before {
		t.Errorf("%d deadlocks", after-before)
	}
}
