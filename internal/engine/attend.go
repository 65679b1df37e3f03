package engine

import (
	"context"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// An attendant is the goroutine of a node that waits for its turn at a state. It
// reads the rota, together with the state: when the turn has come, the waiter
// goes on with what the store has then. A node that has nothing to write in its
// turn leaves the rota.
type attendant struct {
	*Backend
	key string           // of the state
	now func() time.Time // the clock
	// again begins another attendant.
	again func()
}

// run asks the store until it is this node's turn.
func (a *attendant) run(ctx context.Context) {
	reads := []store.Read{{Key: a.key}, {Key: a.contests.turn(a.key)}}
	t := time.NewTimer(0)
	defer t.Stop()
	for a.wanted() {
		began := time.Now()
		next, late := a.wish()
		if ctx.Err() != nil || !a.change(ctx, next) {
			a.fail()
			return
		}
		recs, err := a.lane(a.key, "").readAll(reads)
		if err != nil { // those who wait find out why
			a.fail()
			return
		}
		n, free := a.look(&recs[0], &recs[1])
		if late {
			n = 0 // everybody may go on: the base of each write decides
		}
		if n == 0 && a.takeTurn(ctx, &recs[0], free) {
			return
		}
		// Not long after another node is late it has to be noticed.
		t.Reset(min(max(time.Millisecond, time.Duration(n-1)*time.Since(began)), minPatience))
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// contest locks the contests and returns that of a.
func (a *attendant) contest() (c *contest, unlock func()) {
	a.contests.mu.Lock()
	return a.contests.all[a.key], a.contests.mu.Unlock
}

// fail ends the wait without a turn.
func (a *attendant) fail() {
	c, unlock := a.contest()
	w := c.waiting
	a.contests.drop(a.key)
	unlock()
	if w != nil {
		w.restart()
	}
}

// wanted reports whether a has something to do: somebody waits, or the node is in
// the rota. Otherwise a ends.
func (a *attendant) wanted() bool {
	c, unlock := a.contest()
	w := c.waiting
	c.attended = w != nil || c.rota.at(a.contests.node) >= 0
	on := c.attended
	unlock()
	if w == nil {
		return on
	}
	doomed, wanted := w.state()
	if !doomed && wanted {
		return true
	}
	c, unlock = a.contest()
	c.waiting = nil
	unlock()
	if doomed {
		w.restart()
	} else { // every caller has left
		w.resume(nil, nil)
	}
	return a.wanted()
}

// wish returns how the rota is to change while this node waits: it joins, and it
// removes the node whose turn it is if that has not done anything for longer than
// its patience. late reports the second.
func (a *attendant) wish() (next rota, late bool) {
	c, unlock := a.contest()
	defer unlock()
	switch {
	case c.waiting != nil && c.contested() && c.rota.at(a.contests.node) < 0 && len(c.rota) < maxRota:
		return c.rota.with(a.place(c.took), c.last), false
	case c.late(a.contests.node):
		return c.rota.without(c.whose), true
	}
	return c.rota, false
}

// late reports whether the node whose turn it is, another one, has not done
// anything for longer than its patience.
func (c *contest) late(node [8]byte) bool {
	i := c.rota.at(c.whose)
	return i >= 0 && c.whose != node && time.Since(c.since) > c.rota[i].patience
}

// change replaces the rota by next. It reports false if the store does not take
// that.
func (a *attendant) change(ctx context.Context, next rota) bool {
	c, unlock := a.contest()
	same := slices.Equal(next, c.rota)
	w := next.write(a.contests.turn(a.key), c.rev, a.now())
	unlock()
	if same {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	res := a.checked.Commit(ctx, []store.Group{{w}})[0]
	switch res.Outcome {
	case store.Applied:
		c, unlock := a.contest()
		defer unlock()
		c.rev, c.rota, c.last = res.Revisions[0], next, -1
		if w.Op == store.Delete {
			c.rev = 0
		}
	case store.Conflict:
		a.contests.saw(a.key, &res.Current[0])
	case store.Rejected:
		return false
	}
	return true // what is unknown the next look shows
}

// look notes the records of the state and of the rota. It returns how many nodes
// have their turns before this one; free means that there is no rota.
func (a *attendant) look(state, turns *store.Record) (n int, free bool) {
	c, unlock := a.contest()
	defer unlock()
	a.contests.learn(a.key, turns)
	if len(c.rota) == 0 {
		if c.contested() {
			return 1, false // to begin one has failed
		}
		return 0, true
	}
	c.last = c.rota.last(state.Meta)
	next, me := (c.last+1)%len(c.rota), c.rota.at(a.contests.node)
	if who := c.rota[next].node; who != c.whose || me < 0 && len(c.rota) < maxRota {
		c.whose, c.since = who, time.Now()
	}
	switch {
	case me >= 0:
		return (me - next + len(c.rota)) % len(c.rota), false
	case len(c.rota) < maxRota:
		return 1, false // to join before others change the rota again
	default:
		return len(c.rota), false
	}
}

// takeTurn has the waiter go on with the state in rec. If there is none, the node
// leaves the rota, and takeTurn reports false.
func (a *attendant) takeTurn(ctx context.Context, rec *store.Record, free bool) bool {
	c, unlock := a.contest()
	w := c.waiting
	if w == nil {
		next := c.rota.without(a.contests.node)
		unlock()
		if !a.change(ctx, next) {
			a.fail()
			return true
		}
		return false
	}
	c.waiting, c.mine, c.attended, c.began = nil, !free, false, time.Now()
	unlock()
	if free {
		w.resume(rec, nil)
	} else {
		w.resume(rec, a.pass)
	}
	return true
}

// pass ends the turn of this node because it has nothing to write.
func (a *attendant) pass() {
	if a.contests.pass(a.key) {
		a.again()
	}
}

// place is this node's place in a rota; turn is how long its last turn took.
func (a *attendant) place(turn time.Duration) place {
	trips := 20 * time.Duration(a.lane(a.key, "").took.Load())
	return place{a.contests.node, min(max(trips, 2*turn, minPatience), maxPatience)}
}
