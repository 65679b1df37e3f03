package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/stay-go/stay/store"
)

// A change is an applied write that changed a key.
type change struct {
	base store.Revision // 0 = created
	made store.Revision // 0 = deleted
}

// checkHistory makes random changes from several goroutines and checks that the
// applied changes of each key form one line.
func checkHistory(e *env, stores ...store.Store) {
	const workers, calls = 6, 40
	keys := []string{"a", "b", "c"}
	histories := make([]map[string][]change, workers)
	var wg sync.WaitGroup
	for i := range workers {
		s, r := stores[i%len(stores)], e.rand(uint64(i))
		histories[i] = map[string][]change{}
		wg.Go(func() {
			for range calls {
				if err := randomChange(e, s, r, keys, histories[i]); err != nil {
					e.t.Errorf("%v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		var all []change
		for _, h := range histories {
			all = append(all, h[key]...)
		}
		if err := oneLine(all, e.load(key).Revision); err != nil {
			e.t.Errorf("history of %q: %v", key, err)
		}
	}
}

// randomChange reads some keys and changes them in one call, as one group or
// as several.
func randomChange(e *env, s store.Store, r *rand.Rand, keys []string, history map[string][]change) error {
	reads := make([]store.Read, 1+r.IntN(len(keys)))
	for i, k := range r.Perm(len(keys))[:len(reads)] {
		reads[i].Key = keys[k]
	}
	recs, err := s.Load(e.ctx, reads)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	var all store.Group
	for _, rec := range recs {
		w := put(rec.Key, rec.Revision, "x")
		if r.IntN(3) == 0 {
			w = del(rec.Key, rec.Revision)
		}
		all = append(all, w)
	}
	groups := []store.Group{all}
	if !e.f.Groups || r.IntN(2) == 0 {
		groups = nil
		for _, w := range all {
			groups = append(groups, store.Group{w})
		}
	}
	results := s.Commit(e.ctx, groups)
	if err := wellFormed(groups, results); err != nil {
		return err
	}
	for i, res := range results {
		switch res.Outcome {
		case store.Applied:
			for j, w := range groups[i] {
				if w.Op != store.Delete || w.Base != 0 {
					history[w.Key] = append(history[w.Key], change{w.Base, res.Revisions[j]})
				}
			}
		case store.Conflict:
		default:
			return fmt.Errorf("%s: %s, want applied or conflict", describe(groups[i]), resultText(res))
		}
	}
	return nil
}

// oneLine reports whether the changes can have happened one after another and
// left the key at the revision last: every revision was made once, every one
// but the last was replaced or deleted once, and no replacement is older than
// what it replaced.
func oneLine(all []change, last store.Revision) error {
	var made, replaced []store.Revision
	creations, deletions := 0, 0
	for _, c := range all {
		if c.made != 0 {
			made = append(made, c.made)
		} else {
			deletions++
		}
		if c.base != 0 {
			replaced = append(replaced, c.base)
		} else {
			creations++
		}
		if c.made != 0 && c.made <= c.base {
			return fmt.Errorf("revision %d replaced %d", c.made, c.base)
		}
	}
	if last != 0 {
		replaced = append(replaced, last) // nobody has replaced it yet, so none of the others may have
		deletions++
	}
	slices.Sort(made)
	slices.Sort(replaced)
	if !slices.Equal(made, replaced) {
		return fmt.Errorf("applied writes made %d and replaced, with what is there now, %d", made, replaced)
	}
	if creations != deletions {
		return fmt.Errorf("%d creations, but %d deletions, counting what is there now", creations, deletions)
	}
	if compact := slices.Compact(slices.Clone(made)); len(compact) != len(made) {
		return fmt.Errorf("one revision was given twice: %d", made)
	}
	return nil
}
