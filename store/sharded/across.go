package sharded

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// An attempt is one to commit a group over several places.
type attempt struct {
	s     *Store
	ctx   context.Context
	g     store.Group
	began time.Time
	tx    string
	parts [][]int // the writes at each place, in the order of places; the last decides
	views []view
	revs  []store.Revision
	locks []held
}

// across commits a group over several places. An attempt that somebody else has
// ended, because it took long, is repeated.
func (s *Store) across(ctx context.Context, g store.Group) store.Result {
	began := time.Now()
	for try := range tries {
		res, again := s.attempt(ctx, g)
		if !again || ctx.Err() != nil || time.Since(began) > finishTime {
			return res
		}
		if err := s.pause(ctx, rand.N(time.Millisecond<<min(try, 6))); err != nil {
			return rejected(err)
		}
	}
	return rejected(errBusy)
}

// attempt makes one attempt. again means that nothing was changed, and another
// attempt may succeed; the result is for the case that there is none.
func (s *Store) attempt(ctx context.Context, g store.Group) (res store.Result, again bool) {
	t := &attempt{s: s, ctx: ctx, g: g, began: time.Now(), revs: make([]store.Revision, len(g))}
	if err := t.plan(); err != nil {
		return rejected(err), false
	}
	var err error
	if t.views, err = s.see(ctx, readsOf(g), true); err != nil {
		return rejected(err), false
	}
	if !holds(g, t.views) {
		return conflict(t.views), false
	}
	last := len(t.parts) - 1
	for _, part := range t.parts[:last] {
		res := t.lock(part)
		if res.Outcome == store.Unknown { // the locks may be there, or come: nobody has to wait for them
			t.abort()
		}
		if res.Outcome != store.Applied {
			t.undo(0)
			return res, false
		}
	}
	return t.decide(t.parts[last])
}

// plan names the transaction, and the places in the order in which all groups
// take theirs, so that none waits in a circle. The last one decides, and has the
// record of the transaction: longer names come first, so that its key is short.
func (t *attempt) plan() error {
	byPlace := map[string][]int{}
	for i := range t.g {
		place := t.s.place(t.g[i].Key)
		byPlace[place] = append(byPlace[place], i)
	}
	places := make([]string, 0, len(byPlace))
	for place := range byPlace {
		places = append(places, place)
	}
	slices.SortFunc(places, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	for _, place := range places {
		t.parts = append(t.parts, byPlace[place])
	}
	last := t.parts[len(t.parts)-1]
	key := t.g[last[0]].Key
	for _, i := range last[1:] {
		if len(t.g[i].Key) < len(key) {
			key = t.g[i].Key
		}
	}
	t.tx = transactions + newID() + "/" + key
	if len(t.tx) > store.MaxKey {
		return fmt.Errorf("sharded: %w: a key of %d bytes in a group over several homes, the limit is %d",
			store.ErrTooLarge, len(key), store.MaxKey-len(t.tx)+len(key))
	}
	return nil
}

// part returns the writes at a place.
func (t *attempt) part(part []int) store.Group {
	g := make(store.Group, len(part))
	for i, j := range part {
		g[i] = t.g[j]
	}
	return g
}

// look reads the records of a place again. It returns a conflict if a condition
// does not hold.
func (t *attempt) look(part []int) store.Result {
	g := t.part(part)
	views, err := t.s.see(t.ctx, readsOf(g), true)
	if err != nil {
		return rejected(err)
	}
	for i, j := range part {
		t.views[j] = views[i]
	}
	if !holds(g, views) {
		return conflict(t.views)
	}
	return store.Result{Outcome: store.Applied}
}

// lock puts locks in the places of the records of a place. A lock whose outcome is
// unknown may come later: nobody commits its transaction then.
func (t *attempt) lock(part []int) store.Result {
	for range tries {
		put := make(store.Group, len(part))
		locks := make([]held, len(part))
		for i, j := range part {
			l := newLock(t.tx, t.g[j], t.views[j].Record)
			locks[i].lock = l
			put[i] = l.write(t.views[j].at)
		}
		res := t.one(put)
		switch res.Outcome {
		case store.Applied:
			for i := range part {
				locks[i].at = res.Revisions[i]
			}
			t.locks = append(t.locks, locks...)
			for i, j := range part {
				t.revs[j] = t.answered(j, locks[i].at)
			}
			return res
		case store.Conflict:
			if res := t.look(part); res.Outcome != store.Applied {
				return res
			}
		default:
			return res
		}
	}
	return rejected(errBusy)
}

func newLock(tx string, w store.Write, old store.Record) *lock {
	l := &lock{tx: tx, old: old, next: keep, put: store.Write{Key: w.Key}}
	switch w.Op {
	case store.Put:
		l.next, l.put = replace, w
	case store.Delete:
		l.next = remove
	}
	return l
}

// answered is the revision that the result of a group has for a write.
func (t *attempt) answered(i int, at store.Revision) store.Revision {
	switch t.g[i].Op {
	case store.Put:
		return outside(at)
	case store.Check:
		return t.g[i].Base
	}
	return 0
}

// one makes a call with one group.
func (t *attempt) one(g store.Group) store.Result {
	if results := t.s.commit(t.ctx, []store.Group{g}); len(results) == 1 {
		return results[0]
	}
	return store.Result{Outcome: store.Unknown, Err: errSilent}
}

var (
	errEnded = fmt.Errorf("sharded: %w: another process has ended the group, because it took long", store.ErrUnavailable)
	errSlow  = fmt.Errorf("sharded: %w: the group has taken too long to be decided", store.ErrUnavailable)
)

// late reports whether the attempt has taken so long that others may have removed
// the record of its transaction. Some clocks stand still while a machine sleeps, so
// both are asked.
func (t *attempt) late() bool {
	now := time.Now()
	return max(now.Sub(t.began), now.Round(0).Sub(t.began.Round(0))) > decideTime
}

// decide makes the changes of the last place, with the record that commits the
// transaction.
func (t *attempt) decide(part []int) (res store.Result, again bool) {
	for range tries {
		if t.late() {
			t.undo(0)
			return store.Result{Outcome: store.Unknown, Err: errSlow}, true
		}
		put := make(store.Group, len(part), len(part)+1)
		for i, j := range part {
			put[i] = t.views[j].on(t.g[j])
		}
		put = append(put, decision(t.tx, committed, t.locks))
		res := t.one(put)
		switch {
		case res.Outcome == store.Applied:
			for i, j := range part {
				t.revs[j] = t.answered(j, res.Revisions[i])
			}
			t.finish(res.Revisions[len(part)])
			return store.Result{Outcome: store.Applied, Revisions: t.revs}, false
		case res.Outcome == store.Unknown:
			return t.resolve(part, res)
		case res.Outcome != store.Conflict:
			t.undo(0)
			return res, false
		case len(res.Current) != len(put):
			t.undo(0)
			return rejected(errSilent), false
		}
		if at := res.Current[len(part)].Revision; at != 0 { // only somebody else has made it
			t.undo(at)
			return store.Result{Outcome: store.Unknown, Err: errEnded}, true
		}
		if res := t.look(part); res.Outcome != store.Applied {
			t.undo(0)
			return res, false
		}
	}
	t.undo(0)
	return rejected(errBusy), false
}

// resolve finds out what became of a decision whose answer was lost: the record of
// an aborted transaction can be made only if there is none.
func (t *attempt) resolve(part []int, lost store.Result) (res store.Result, again bool) {
	ctx, cancel := finishing(t.ctx)
	defer cancel()
	group := store.Group{decision(t.tx, aborted, nil)}
	results := t.s.inner.Commit(ctx, []store.Group{group})
	if len(results) == 1 && !t.late() {
		switch res := results[0]; {
		case res.Outcome == store.Applied:
			t.undo(res.Revisions[0])
			return lost, true
		case res.Outcome == store.Conflict && len(res.Current) == 1:
			switch f, _, _ := fateOf(res.Current[0]); f {
			case aborted:
				t.undo(res.Current[0].Revision)
				return lost, true
			case committed:
				t.finish(res.Current[0].Revision)
				for _, j := range part {
					if t.g[j].Op == store.Put { // its revision was in the answer
						return lost, false
					}
					t.revs[j] = t.answered(j, 0)
				}
				return store.Result{Outcome: store.Applied, Revisions: t.revs}, false
			}
		}
	}
	t.s.doubts.add(t.g, t.tx)
	return lost, false
}

// abort says that the transaction never will be committed.
func (t *attempt) abort() {
	ctx, cancel := finishing(t.ctx)
	defer cancel()
	_, _ = t.s.abort(ctx, []string{t.tx})
}

// undo gives up the locks of a transaction that never will be committed, and
// deletes its record, if it has one, with that revision. What fails, others finish.
func (t *attempt) undo(record store.Revision) {
	ctx, cancel := finishing(t.ctx)
	defer cancel()
	_ = t.s.release(ctx, t.locks, map[string]fate{t.tx: aborted})
	t.drop(ctx, record)
}

// finish makes of the locks of a committed transaction what they become, and
// deletes its record, which has that revision, once none is left. What fails,
// others finish.
func (t *attempt) finish(record store.Revision) {
	ctx, cancel := finishing(t.ctx)
	defer cancel()
	if t.s.release(ctx, t.locks, map[string]fate{t.tx: committed}) == nil {
		t.drop(ctx, record)
	}
}

// drop deletes the record of the transaction.
func (t *attempt) drop(ctx context.Context, record store.Revision) {
	if record != 0 {
		t.s.inner.Commit(ctx, []store.Group{{{Op: store.Delete, Key: t.tx, Base: record}}})
	}
}
