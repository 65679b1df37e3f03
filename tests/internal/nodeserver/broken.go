package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// A whole store is what every node opens.
type whole interface {
	store.Store
	store.Lister
}

// A listing is what every broken store passes on.
type listing struct {
	store.Store
	store.Lister
}

// breakages are stores that break the contract, each in one way that tests of
// several nodes must notice.
var breakages = map[string]func(listing) store.Store{
	"stale":     func(s listing) store.Store { return &stale{listing: s, seen: map[string]sight{}} },
	"rejected":  func(s listing) store.Store { return rejected{s} },
	"unchecked": func(s listing) store.Store { return unchecked{s} },
	"blind":     func(s listing) store.Store { return blind{s} },
	"late":      func(s listing) store.Store { return &late{listing: s, held: map[string]store.Group{}} },
	"halves":    func(s listing) store.Store { return halves{s} },
	"forgetful": func(s listing) store.Store { return forgetful{s} },
	"blinkered": func(s listing) store.Store { return blinkered{s} },
}

// broken returns the store as the breakage of this name leaves it.
func broken(name string, s whole) (store.Store, error) {
	if name == "" {
		return s, nil
	}
	breakage := breakages[name]
	if breakage == nil {
		return nil, fmt.Errorf("there is no breakage %q", name)
	}
	return breakage(listing{s, s}), nil
}

// stale answers a Load with what it has answered a moment before, as a follower
// does.
type stale struct {
	listing
	mu   sync.Mutex
	seen map[string]sight
}

type sight struct {
	record store.Record
	at     time.Time
}

// Load implements store.Store.
func (s *stale) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	const age = 200 * time.Millisecond
	records := make([]store.Record, len(reads))
	var ask []store.Read
	var places []int
	s.mu.Lock()
	for i, r := range reads {
		old, ok := s.seen[r.Key]
		switch {
		case !ok || time.Since(old.at) > age:
			ask, places = append(ask, store.Read{Key: r.Key}), append(places, i)
		case old.record.Revision == r.Have:
			records[i] = store.Record{Key: r.Key, Revision: r.Have}
		default:
			records[i] = old.record
		}
	}
	s.mu.Unlock()
	if len(ask) == 0 {
		return records, nil
	}
	got, err := s.Store.Load(ctx, ask)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, rec := range got {
		records[places[i]] = rec
		s.seen[rec.Key] = sight{rec, time.Now()}
	}
	return records, nil
}

// rejected takes an answer that did not come for one that says no.
type rejected struct{ listing }

// Commit implements store.Store.
func (s rejected) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := s.Store.Commit(ctx, groups)
	for i := range results {
		if results[i].Outcome == store.Unknown {
			results[i] = store.Result{Outcome: store.Rejected, Err: results[i].Err}
		}
	}
	return results
}

// unchecked leaves the checks out of groups.
type unchecked struct{ listing }

// Commit implements store.Store.
func (s unchecked) Commit(ctx context.Context, groups []store.Group) []store.Result {
	less := make([]store.Group, len(groups))
	for i, g := range groups {
		for _, w := range g {
			if w.Op != store.Check || len(g) == 1 {
				less[i] = append(less[i], w)
			}
		}
	}
	results := s.Store.Commit(ctx, less)
	for i := range results {
		results[i] = complete(groups[i], less[i], results[i])
	}
	return results
}

// complete is the result of a group, given that of its writes without the checks.
func complete(g, less store.Group, r store.Result) store.Result {
	if len(g) == len(less) {
		return r
	}
	next := 0
	all := store.Result{Outcome: r.Outcome, Err: r.Err}
	for _, w := range g {
		checked := w.Op == store.Check
		switch {
		case r.Outcome == store.Applied && checked:
			all.Revisions = append(all.Revisions, w.Base)
		case r.Outcome == store.Applied:
			all.Revisions = append(all.Revisions, r.Revisions[next])
		case r.Outcome == store.Conflict && checked:
			all.Current = append(all.Current, store.Record{Key: w.Key, Revision: w.Base})
		case r.Outcome == store.Conflict:
			all.Current = append(all.Current, r.Current[next])
		}
		if !checked {
			next++
		}
	}
	return all
}

// blind writes over whatever there is.
type blind struct{ listing }

// Commit implements store.Store.
func (s blind) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	for i, g := range groups {
		g = append(store.Group(nil), g...)
		for {
			results[i] = s.Store.Commit(ctx, []store.Group{g})[0]
			if results[i].Outcome != store.Conflict {
				break
			}
			for j, rec := range results[i].Current {
				g[j].Base = rec.Revision
			}
		}
	}
	return results
}

// late loses the first sending of a creation on the way, and delivers it when the
// record has been deleted.
type late struct {
	listing
	mu   sync.Mutex
	held map[string]store.Group
}

// Commit implements store.Store.
func (s *late) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	for i, g := range groups {
		if s.hold(g) {
			results[i].Err = store.ErrUnavailable
			continue
		}
		results[i] = s.Store.Commit(ctx, []store.Group{g})[0]
		if results[i].Outcome == store.Applied && g[0].Op == store.Delete {
			s.deliver(ctx, g[0].Key)
		}
	}
	return results
}

// hold reports whether it keeps the group.
func (s *late) hold(g store.Group) bool {
	if len(g) > 1 || g[0].Op != store.Put || g[0].Base != 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.held[g[0].Key]; again {
		return false
	}
	s.held[g[0].Key] = append(store.Group(nil), g...)
	return true
}

func (s *late) deliver(ctx context.Context, key string) {
	s.mu.Lock()
	g, ok := s.held[key]
	delete(s.held, key)
	s.mu.Unlock()
	if ok {
		s.Store.Commit(ctx, []store.Group{g})
	}
}
