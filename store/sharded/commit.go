package sharded

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stay-go/stay/store"
)

// Commit implements store.Store. All groups at one home are one call of the store
// below; those whose records are locked, or whose revisions had to be kept, may take
// a second one. A group over n homes takes n+3 calls, one after the other: one
// reads, n-1 lock, one decides, one makes of the locks the new records, and one
// deletes the record about the group. A writer that meets a lock waits until its
// group is decided, at most a fifth of a second from when this process first saw it.
//
// A group over several homes is Rejected with [store.ErrTooLarge] if all keys at
// its last home are longer than [store.MaxKey] less 31 bytes. If others have ended
// it again and again, or an answer was lost, it may be Unknown although it was not
// applied.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.enter(ctx, &s.calls); err != nil {
		for i := range results {
			results[i] = rejected(err)
		}
		return results
	}
	defer s.calls.Done()
	c := &call{s: s, ctx: ctx, groups: groups, results: results, slots: make(chan struct{}, atOnce)}
	var at, over []int // one place, several
	bad := store.CheckGroups(groups, s.features)
	open := s.settle(ctx, groups)
	full := len(open) > 0 && s.doubts.full()
	for i, g := range groups {
		switch {
		case bad != nil && bad[i] != nil:
			results[i] = rejected(bad[i])
		case namesReserved(g):
			results[i] = rejected(errReserved)
		case len(open) > 0 && doubtful(g, open):
			results[i] = store.Result{Outcome: store.Unknown, Err: errDoubt}
		case full:
			results[i] = rejected(errDoubts)
		case s.together(g):
			at = append(at, i)
		default:
			over = append(over, i)
		}
	}
	if len(over) > 0 {
		c.running.Go(func() { c.pass(at) })
	} else {
		c.pass(at)
	}
	for _, i := range over {
		c.run(func() { results[i] = s.across(ctx, groups[i]) })
	}
	c.running.Wait()
	return results
}

var errReserved = errors.New("sharded: keys that begin with " + transactions + " are reserved")

func namesReserved(g store.Group) bool {
	for i := range g {
		if reserved(g[i].Key) {
			return true
		}
	}
	return false
}

// together reports whether a group is at one place.
func (s *Store) together(g store.Group) bool {
	if len(g) == 1 {
		return true
	}
	place := s.place(g[0].Key)
	for i := 1; i < len(g); i++ {
		if s.place(g[i].Key) != place {
			return false
		}
	}
	return true
}

func rejected(err error) store.Result { return store.Result{Outcome: store.Rejected, Err: err} }

// A call is one of Commit.
type call struct {
	s       *Store
	ctx     context.Context
	groups  []store.Group
	results []store.Result
	running sync.WaitGroup
	slots   chan struct{}
}

// run runs f beside the call, which waits for it; at most so many at once.
func (c *call) run(f func()) {
	c.slots <- struct{}{}
	c.running.Go(func() {
		defer func() { <-c.slots }()
		f()
	})
}

// pass passes on groups that are at one place.
func (c *call) pass(at []int) {
	if len(at) == 0 {
		return
	}
	s := c.s
	groups := make([]store.Group, 0, len(at))
	sent := make([]int, 0, len(at))
	for _, i := range at {
		if g, ok := s.translate(c.groups[i]); ok {
			groups, sent = append(groups, g), append(sent, i)
		} else {
			c.run(func() { c.results[i] = s.commitAt(c.ctx, c.groups[i], nil) })
		}
	}
	if len(groups) == 0 {
		return
	}
	results := s.commit(c.ctx, groups)
	for k, i := range sent {
		g := c.groups[i]
		if k >= len(results) {
			c.results[i] = store.Result{Outcome: store.Unknown, Err: errSilent}
			continue
		}
		if results[k].Outcome != store.Conflict {
			c.results[i] = s.answer(g, results[k])
			continue
		}
		views, err := s.current(g, groups[k], results[k].Current)
		switch {
		case err != nil:
			c.results[i] = rejected(err)
		case hasLock(views) || holds(g, views):
			c.run(func() { c.results[i] = s.commitAt(c.ctx, g, views) })
		default:
			c.results[i] = conflict(views)
		}
	}
}

// translate returns a group as the store below gets it, if all records are as they
// are known to be. false means that a revision is not known below.
func (s *Store) translate(g store.Group) (store.Group, bool) {
	out := make(store.Group, len(g))
	for i, w := range g {
		at, ok := s.known.below(w.Key, w.Base)
		if !ok {
			return nil, false
		}
		w.Base = at
		if w.Op == store.Put {
			w = below(w, 0)
		}
		out[i] = w
	}
	return out, true
}

// answer translates the result of a group that was at one place, unless it is a
// conflict.
func (s *Store) answer(g store.Group, res store.Result) store.Result {
	switch res.Outcome {
	case store.Applied:
		revs := make([]store.Revision, len(g))
		for i := range g {
			switch g[i].Op {
			case store.Put:
				revs[i] = outside(res.Revisions[i])
				s.known.note(g[i].Key, revs[i], res.Revisions[i])
			case store.Check:
				revs[i] = g[i].Base
			}
		}
		return store.Result{Outcome: store.Applied, Revisions: revs}
	case store.Unknown:
		s.doubts.add(g, "")
	}
	return res
}

// current returns what a conflict of the store below says of the records of a
// group. Where the condition held below it also holds above.
func (s *Store) current(g, sent store.Group, raws []store.Record) ([]view, error) {
	if len(raws) != len(g) {
		return nil, errSilent
	}
	views := make([]view, len(g))
	for i, raw := range raws {
		if raw.Revision == sent[i].Base {
			views[i] = view{Record: store.Record{Key: g[i].Key, Revision: g[i].Base}, at: raw.Revision}
			continue
		}
		v, err := viewOf(raw)
		if err != nil {
			return nil, err
		}
		if views[i] = v; v.lock == nil {
			s.known.note(raw.Key, v.Revision, v.at)
		}
	}
	return views, nil
}

func hasLock(views []view) bool {
	for i := range views {
		if views[i].lock != nil {
			return true
		}
	}
	return false
}

// holds reports whether all conditions of a group hold.
func holds(g store.Group, views []view) bool {
	for i := range g {
		if g[i].Base != views[i].Revision {
			return false
		}
	}
	return true
}

func conflict(views []view) store.Result {
	current := make([]store.Record, len(views))
	for i := range views {
		current[i] = views[i].Record
	}
	return store.Result{Outcome: store.Conflict, Current: current}
}

// on returns the write whose condition holds, as it is below.
func (v *view) on(w store.Write) store.Write {
	if w.Base = v.at; w.Op == store.Put {
		return below(w, 0)
	}
	return w
}

func readsOf(g store.Group) []store.Read {
	reads := make([]store.Read, len(g))
	for i := range g {
		reads[i].Key = g[i].Key
	}
	return reads
}

var errBusy = fmt.Errorf("sharded: %w: others have changed the records at each of %d attempts", store.ErrUnavailable, tries)

// commitAt commits a group at one place by what is stored: views, if they are
// known and none is locked.
func (s *Store) commitAt(ctx context.Context, g store.Group, views []view) store.Result {
	for range tries {
		if views == nil || hasLock(views) {
			var err error
			if views, err = s.see(ctx, readsOf(g), true); err != nil {
				return rejected(err)
			}
		}
		if !holds(g, views) {
			return conflict(views)
		}
		put := make(store.Group, len(g))
		for i := range g {
			put[i] = views[i].on(g[i])
		}
		results := s.commit(ctx, []store.Group{put})
		if len(results) != 1 {
			return store.Result{Outcome: store.Unknown, Err: errSilent}
		}
		if results[0].Outcome != store.Conflict {
			return s.answer(g, results[0])
		}
		views = nil
	}
	return rejected(errBusy)
}
