package storefault

import (
	"context"
	"time"

	"github.com/stay-go/stay/store"
)

// Commit implements store.Store. Rules are asked about each group by itself:
// faults that decide an outcome decide that of the groups they match, faults
// that wait or hang hold up the whole call.
func (s *Store) Commit(ctx context.Context, now time.Time, groups []store.Group) []store.Result {
	call := Call{Op: Commit, Groups: groups}
	for _, g := range groups {
		call.Keys = append(call.Keys, keysOf(g)...)
	}
	if err := s.begin(&call); err != nil {
		return all(groups, store.Rejected, err)
	}
	defer s.underWay.Done()

	faults := make([][]Fault, len(groups))
	var waits []Fault // of the whole call
	for i, g := range groups {
		faults[i] = s.match(Call{Op: Commit, N: call.N, Keys: keysOf(g), Groups: groups[i : i+1]})
		waits = append(waits, faults[i]...)
	}
	w := s.waiting(ctx, call)
	if err := w.before(waits); err != nil {
		// A lost request must look like a lost answer.
		if hangs(waits) {
			return all(groups, store.Unknown, err)
		}
		return all(groups, store.Rejected, err)
	}

	results := make([]store.Result, len(groups))
	var pass []store.Group
	var place []int // of each group in pass
	for i, g := range groups {
		res, stopped := s.stop(ctx, now, call.N, g, faults[i])
		if stopped {
			results[i] = res
			continue
		}
		pass, place = append(pass, g), append(place, i)
	}
	if len(pass) > 0 {
		for j, res := range s.inner.Commit(ctx, now, pass) {
			results[place[j]] = res
		}
	}
	if err := w.after(waits); err != nil {
		return all(groups, store.Unknown, err)
	}
	for i := range groups {
		for _, f := range faults[i] {
			if f.fate == unacknowledged {
				results[i] = store.Result{Outcome: store.Unknown, Err: f.err}
			}
		}
	}
	return results
}

// stop returns the answer for a group that a fault keeps from the wrapped
// store, at least for now.
func (s *Store) stop(ctx context.Context, now time.Time, n int, g store.Group, faults []Fault) (store.Result, bool) {
	for _, f := range faults {
		switch f.fate {
		case failed:
			return store.Result{Outcome: store.Rejected, Err: f.err}, true
		case dropped:
			return store.Result{Outcome: store.Unknown, Err: f.err}, true
		case late:
			s.commitLate(context.WithoutCancel(ctx), now, Call{Op: Commit, N: n, Keys: keysOf(g), Groups: []store.Group{g}}, f.gate)
			return store.Result{Outcome: store.Unknown, Err: f.err}, true
		}
	}
	return store.Result{}, false
}

// commitLate commits a group when it has passed the gate. The goroutine ends
// then, or when the store is closed, which waits for it. It is started during
// a call, so underWay is not zero.
func (s *Store) commitLate(ctx context.Context, now time.Time, call Call, gate *Gate) {
	s.underWay.Go(func() {
		w := s.waiting(ctx, call)
		if w.at(gate) == nil {
			s.inner.Commit(ctx, now, call.Groups)
		}
	})
}

// all returns the same answer for every group.
func all(groups []store.Group, outcome store.Outcome, err error) []store.Result {
	results := make([]store.Result, len(groups))
	for i := range results {
		results[i] = store.Result{Outcome: outcome, Err: err}
	}
	return results
}

func keysOf(g store.Group) []string {
	keys := make([]string, len(g))
	for i, w := range g {
		keys[i] = w.Key
	}
	return keys
}
