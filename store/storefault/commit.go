package storefault

import (
	"context"
	"slices"

	"github.com/stay-go/stay/store"
)

// Commit implements store.Store. Rules match each group separately. A fault
// that decides an outcome decides it for the groups that it matches; a fault
// that waits or hangs delays the whole call.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
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
		res, stopped := s.stop(ctx, call.N, g, faults[i])
		if stopped {
			results[i] = res
			continue
		}
		pass, place = append(pass, g), append(place, i)
	}
	if len(pass) > 0 {
		s.supersede(pass)
		for j, res := range s.inner.Commit(ctx, pass) {
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

// stop returns the answer for a group that a fault withholds from the wrapped
// store, at least for now.
func (s *Store) stop(ctx context.Context, n int, g store.Group, faults []Fault) (store.Result, bool) {
	for _, f := range faults {
		switch f.fate {
		case failed:
			return store.Result{Outcome: store.Rejected, Err: f.err}, true
		case dropped:
			return store.Result{Outcome: store.Unknown, Err: f.err}, true
		case late:
			s.commitLate(context.WithoutCancel(ctx), Call{Op: Commit, N: n, Keys: keysOf(g), Groups: []store.Group{g}}, f.gate)
			return store.Result{Outcome: store.Unknown, Err: f.err}, true
		}
	}
	return store.Result{}, false
}

// A lateGroup is a group that has not arrived yet.
type lateGroup struct {
	group store.Group
	stop  context.CancelFunc
	begun bool          // it has begun to arrive; guarded by Store.mu
	done  chan struct{} // closed when it has arrived, or never will
}

// commitLate commits a group when it has passed the gate. The goroutine ends
// then, or when another group has superseded this one, or when the store is
// closed; Close waits for it. It is started during a call, so underWay is not
// zero.
func (s *Store) commitLate(ctx context.Context, call Call, gate *Gate) {
	ctx, stop := context.WithCancel(ctx)
	l := &lateGroup{group: call.Groups[0], stop: stop, done: make(chan struct{})}
	s.mu.Lock()
	s.late = append(s.late, l)
	s.mu.Unlock()
	s.underWay.Go(func() {
		defer close(l.done)
		defer stop()
		w := s.waiting(ctx, call)
		passed := w.at(gate) == nil
		s.mu.Lock()
		l.begun = passed && slices.Contains(s.late, l)
		s.mu.Unlock()
		if l.begun {
			s.inner.Commit(context.WithoutCancel(ctx), call.Groups)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.late = slices.DeleteFunc(s.late, func(other *lateGroup) bool { return other == l })
	})
}

// supersede makes sure that no earlier group arrives any more that writes a key
// of groups, as C6 demands.
func (s *Store) supersede(groups []store.Group) {
	s.mu.Lock()
	var arriving []*lateGroup
	s.late = slices.DeleteFunc(s.late, func(l *lateGroup) bool {
		if !slices.ContainsFunc(groups, l.meets) {
			return false
		}
		if l.begun {
			arriving = append(arriving, l)
			return false
		}
		l.stop()
		return true
	})
	s.mu.Unlock()
	for _, l := range arriving {
		<-l.done
	}
}

// meets reports whether both groups write the same key.
func (l *lateGroup) meets(g store.Group) bool {
	return slices.ContainsFunc(g, func(w store.Write) bool {
		return w.Op != store.Check && slices.ContainsFunc(l.group, func(mine store.Write) bool {
			return mine.Op != store.Check && mine.Key == w.Key
		})
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
