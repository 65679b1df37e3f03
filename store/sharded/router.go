package sharded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A Router is a store made of several: each home is in one of them, which follows
// from its name and from theirs. It has groups at one home; [New] makes the others
// of it. All methods may be called concurrently.
//
// One call is one call of each store that it concerns, at the same time. A store
// that fails fails what it holds: groups with its keys, and calls of Load that read
// one of its records, as a whole. Stay reads each store on its own, since a router
// is a [store.Placer]. List needs all stores.
type Router struct {
	places   []place // in the order of their names
	features store.Features
	whole    bool          // each store has groups over several homes
	turn     atomic.Uint32 // which place Expired asks first
}

// A place is one of the stores below.
type place struct {
	name string
	seed uint64
	store.Store
}

// newRouter returns a router over stores whose layout was not compared.
func newRouter(stores map[string]store.Store) (*Router, error) {
	if len(stores) == 0 {
		return nil, errors.New("sharded: a router needs a store")
	}
	r := &Router{whole: true, features: store.Features{
		Durable: true, SoleOwner: true, GroupsAtHome: true, Expire: true, List: true, Watch: true, Immediate: true,
		Places: len(stores) > 1,
	}}
	all := &r.features
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		s := stores[name]
		f := s.Features()
		if name == "" || len(name) > maxName {
			return nil, fmt.Errorf("sharded: a store's name has 1 to %d bytes, not %d", maxName, len(name))
		}
		if !f.Groups && !f.GroupsAtHome {
			return nil, fmt.Errorf("sharded: the store %q has no groups, not even at one home", name)
		}
		r.whole = r.whole && f.Groups
		_, lists := s.(store.Lister)
		_, watches := s.(store.Watcher)
		all.Durable = all.Durable && f.Durable
		all.SoleOwner = all.SoleOwner && f.SoleOwner
		all.Expire = all.Expire && f.Expire
		all.List = all.List && f.List && lists
		all.Watch = all.Watch && f.Watch && watches
		all.Immediate = all.Immediate && f.Immediate
		all.StaleReads = max(all.StaleReads, f.StaleReads)
		if f.MaxValue > 0 && (all.MaxValue == 0 || f.MaxValue < all.MaxValue) {
			all.MaxValue = f.MaxValue
		}
		r.places = append(r.places, place{name: name, seed: hash(name), Store: s})
	}
	return r, nil
}

// maxName is the greatest length of the name of a store, in bytes.
const maxName = 64

// hash is FNV-1a. It says where records are, so it stays as it is.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// mix spreads the bits of a number, as the last step of SplitMix64 does.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// index returns the number of the place with a key: the one that its home has the
// highest score with.
func (r *Router) index(key string) int {
	if len(r.places) == 1 {
		return 0
	}
	home := mix(hash(store.Home(key)))
	best, most := 0, uint64(0)
	for i := range r.places {
		if score := mix(home ^ r.places[i].seed); score > most {
			best, most = i, score
		}
	}
	return best
}

// Place implements store.Placer. It returns the name of the store that has the
// record of a key.
func (r *Router) Place(key string) string { return r.places[r.index(key)].name }

// place implements locality: groups in one store are atomic, whatever their homes,
// if it has them.
func (r *Router) place(key string) string {
	if r.whole {
		return r.Place(key)
	}
	return store.Home(key)
}

// Features implements store.Store: what all stores have, GroupsAtHome and no
// Groups.
func (r *Router) Features() store.Features { return r.features }

// each calls f with the numbers of the places that have something to do, at the
// same time if there are several.
func (r *Router) each(some func(i int) bool, f func(i int)) {
	last := -1
	var wg sync.WaitGroup
	for i := range r.places {
		if !some(i) {
			continue
		}
		if before := last; before >= 0 {
			wg.Go(func() { f(before) })
		}
		last = i
	}
	if last >= 0 {
		f(last)
	}
	wg.Wait()
}

// Load implements store.Store. If a store fails, so does the call.
func (r *Router) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	parts := make([][]store.Read, len(r.places))
	from := make([]int, len(reads))
	for i, read := range reads {
		from[i] = r.index(read.Key)
		parts[from[i]] = append(parts[from[i]], read)
	}
	found := make([][]store.Record, len(r.places))
	errs := make([]error, len(r.places))
	r.each(func(i int) bool { return len(parts[i]) > 0 }, func(i int) {
		found[i], errs[i] = r.places[i].Load(ctx, parts[i])
		if errs[i] == nil && len(found[i]) != len(parts[i]) {
			errs[i] = errSilent
		}
	})
	if err := r.joined(errs); err != nil {
		return nil, err
	}
	recs := make([]store.Record, len(reads))
	for i, p := range from { // each place has answered in order
		recs[i] = found[p][0]
		if found[p] = found[p][1:]; reads[i].Key == layoutKey {
			recs[i] = store.Record{Key: layoutKey}
		}
	}
	return recs, nil
}

// joined says which stores have failed.
func (r *Router) joined(errs []error) error {
	var failed []error
	for i, err := range errs {
		if err != nil {
			failed = append(failed, fmt.Errorf("store %q: %w", r.places[i].name, err))
		}
	}
	return errors.Join(failed...)
}

var errLayout = errors.New("sharded: the key " + layoutKey + " is reserved")

// Commit implements store.Store. It rejects groups over several homes.
func (r *Router) Commit(ctx context.Context, groups []store.Group) []store.Result {
	bad := store.CheckGroups(groups, r.features)
	if bad == nil {
		return r.commit(ctx, groups)
	}
	results := make([]store.Result, len(groups))
	var good []store.Group
	var from []int
	for i, g := range groups {
		if bad[i] != nil {
			results[i] = rejected(bad[i])
			continue
		}
		good, from = append(good, g), append(from, i)
	}
	for i, res := range r.commit(ctx, good) {
		results[from[i]] = res
	}
	return results
}

// commit implements locality, with groups that no store refuses.
func (r *Router) commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	parts := make([][]store.Group, len(r.places))
	from := make([][]int, len(r.places))
	for i, g := range groups {
		if names(g, layoutKey) {
			results[i] = rejected(errLayout)
			continue
		}
		p := r.index(g[0].Key)
		parts[p], from[p] = append(parts[p], g), append(from[p], i)
	}
	r.each(func(i int) bool { return len(parts[i]) > 0 }, func(i int) {
		answers := r.places[i].Commit(ctx, parts[i])
		for k, j := range from[i] {
			if k < len(answers) {
				results[j] = answers[k]
			} else {
				results[j] = store.Result{Outcome: store.Unknown, Err: errSilent}
			}
		}
	})
	return results
}

func names(g store.Group, key string) bool {
	for i := range g {
		if g[i].Key == key {
			return true
		}
	}
	return false
}

// Expired implements store.Store. It fails only if nothing was found and a store
// has failed.
func (r *Router) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	found := make([][]store.Record, len(r.places))
	errs := make([]error, len(r.places))
	r.each(all, func(i int) { found[i], errs[i] = r.places[i].Expired(ctx, now, limit) })
	// What a caller leaves where it is must not keep the rest of another store from
	// it, so each store is the first in turn.
	n := len(r.places)
	first := int(r.turn.Add(1)) % n
	var recs []store.Record
	for i := range n {
		recs = append(recs, found[(first+i)%n]...)
	}
	if len(recs) == 0 {
		return nil, r.joined(errs)
	}
	return recs[:min(len(recs), max(limit, 0))], nil
}

func all(int) bool { return true }

// List implements store.Lister.
func (r *Router) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if !r.features.List {
		return nil, errors.New("sharded: not all stores can list their keys")
	}
	found := make([][]string, len(r.places))
	errs := make([]error, len(r.places))
	r.each(all, func(i int) {
		// One more, because each has a layout.
		found[i], errs[i] = r.places[i].Store.(store.Lister).List(ctx, now, prefix, after, max(limit, 0)+1)
	})
	if err := r.joined(errs); err != nil {
		return nil, err
	}
	var keys []string
	for _, some := range found {
		for _, key := range some {
			if key != layoutKey {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), max(limit, 0))], nil
}

// Close implements store.Store. It closes all stores.
func (r *Router) Close() error {
	errs := make([]error, len(r.places))
	r.each(all, func(i int) { errs[i] = r.places[i].Close() })
	return r.joined(errs)
}
