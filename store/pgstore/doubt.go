package pgstore

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// doubts are the groups whose outcome is unknown. The server may still begin
// them until their time is over, so a later group that writes one of their keys
// waits until then (C6), unless its answer settles the doubt.
type doubts struct {
	mu    sync.Mutex
	byKey map[string][]*doubt
}

// A doubt is one group, or several with the same conditions.
type doubt struct {
	until time.Time
	bases map[string]store.Revision // what the group replaces or checks
}

// add notes that a group may begin until then.
func (d *doubts) add(g store.Group, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, known := range d.all() {
		if !known.until.After(now) {
			d.drop(known)
		}
	}
	if !until.After(now) {
		return
	}
	bases := make(map[string]store.Revision, len(g))
	for i := range g {
		bases[g[i].Key] = g[i].Base
	}
	for _, known := range d.byKey[g[0].Key] {
		if maps.Equal(known.bases, bases) {
			if known.until.Before(until) {
				known.until = until
			}
			return
		}
	}
	if d.byKey == nil {
		d.byKey = map[string][]*doubt{}
	}
	next := &doubt{until: until, bases: bases}
	for key := range bases {
		d.byKey[key] = append(d.byKey[key], next)
	}
}

// all returns every doubt, those of several keys several times.
func (d *doubts) all() []*doubt {
	return slices.Concat(slices.Collect(maps.Values(d.byKey))...)
}

func (d *doubts) drop(over *doubt) {
	for key := range over.bases {
		d.byKey[key] = slices.DeleteFunc(d.byKey[key], func(known *doubt) bool { return known == over })
		if len(d.byKey[key]) == 0 {
			delete(d.byKey, key)
		}
	}
}

// until returns the time at which the groups may be sent.
func (d *doubts) until(groups []store.Group, places []int) (until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.byKey) == 0 {
		return until
	}
	for _, i := range places {
		for j := range groups[i] {
			for _, known := range d.byKey[groups[i][j].Key] {
				if known.until.After(until) && !known.settledBy(groups[i]) {
					until = known.until
				}
			}
		}
	}
	return until
}

// answered notes that the server has said whether these groups are applied.
func (d *doubts) answered(groups []store.Group, places []int, results []store.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.byKey) == 0 {
		return
	}
	for _, i := range places {
		if results[i].Outcome != store.Applied && results[i].Outcome != store.Conflict {
			continue
		}
		for _, known := range slices.Clone(d.byKey[groups[i][0].Key]) {
			if known.settledBy(groups[i]) {
				d.drop(known)
			}
		}
	}
}

// settledBy reports whether the answer to a group says that the one in doubt has
// been applied or never will be. Each condition of the group is one of those in
// doubt, and names a revision. So whether the group is applied or one of its
// conditions fails, a record no longer has a revision that both name, and never
// will have it again. That is true of every group that is sent again and creates
// nothing.
func (d *doubt) settledBy(g store.Group) bool {
	changes := false
	for i := range g {
		base, ok := d.bases[g[i].Key]
		if !ok || base == 0 || base != g[i].Base {
			return false
		}
		changes = changes || g[i].Op != store.Check
	}
	return changes
}
