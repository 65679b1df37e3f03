package engine

import (
	"context"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// A batch that comes when it is another node's turn is not sent. Its members
// wait again, before everybody else, and the instance stays shut until its node
// has its turn. A goroutine looks at the rota, together with the state: when the
// turn has come, the members run on what the store has then. A node that has
// nothing to write in its turn leaves the rota.

// ticket returns what the commit of in's batch has to do with the rota, nil if
// nothing. It reports false if it is not this node's turn.
func (e *Engine) ticket(in *Instance) (t *ticket, ok bool) {
	b := in.kind.Backend
	if b.features.SoleOwner || b.features.Immediate || in.owed != nil || in.m.committed.Revision == 0 || in.m.working.gone {
		return nil, true
	}
	return b.contests.ticket(in, e.cfg.Now())
}

// standBack has the members of in's batch wait until it is this node's turn.
func (e *Engine) standBack(in *Instance) {
	in.lock()
	left := e.sendAllBack(in)
	in.m.standBack()
	in.guard, in.encoded, in.checks = nil, nil, nil
	in.unlock()
	e.freeAll(left)
	e.attend(in, in.kind.Backend.contests.stand(in))
}

// endTurn ends the turn of this node at the state of in: it has written it.
func (e *Engine) endTurn(in *Instance, t *ticket) {
	in.lock()
	in.turn = false
	in.unlock()
	e.attend(in, in.kind.Backend.contests.won(t))
}

// passTurn ends the turn of this node at the state of in, which has nothing to
// write. in.mu is locked.
func (in *Instance) passTurn() {
	in.kind.cache.engine.attend(in, in.kind.Backend.contests.pass(in.kind.Prefix+in.key))
}

// attend starts the goroutine that attends to this node's turns at the state of in.
func (e *Engine) attend(in *Instance, begin bool) {
	if !begin {
		return
	}
	a := &attendant{Backend: in.kind.Backend, engine: e, key: in.kind.Prefix + in.key}
	if !a.start(a.run) {
		a.fail()
	}
}

// An attendant waits for this node's turn at one state.
type attendant struct {
	*Backend
	engine *Engine
	key    string // of the state
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
		recs, err := a.readAll(reads)
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

// fail ends the wait without a turn: everybody starts again.
func (a *attendant) fail() {
	c, unlock := a.contest()
	in := c.waiting
	delete(a.contests.all, a.key)
	unlock()
	if in != nil {
		a.engine.conclude(in, conflicted, nil)
	}
}

// wanted reports whether a has something to do: to wait for a turn, or to take
// the node out of the rota. Otherwise a ends.
func (a *attendant) wanted() bool {
	c, unlock := a.contest()
	in := c.waiting
	c.attended = in != nil || c.rota.at(a.contests.node) >= 0
	on := c.attended
	unlock()
	if in == nil {
		return on
	}
	in.lock()
	doomed, alone := in.m.doomed, in.m.waiting.n == 0
	in.unlock()
	if !doomed && !alone {
		return true
	}
	c, unlock = a.contest()
	c.waiting = nil
	unlock()
	if doomed {
		a.engine.conclude(in, conflicted, nil)
	} else { // every caller has left
		a.engine.moveOn(in, in.m.committed)
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
		return c.rota.with(a.place(), c.last), false
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
	w := next.write(a.contests.turn(a.key), c.rev, a.engine.cfg.Now())
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

// takeTurn has the members of the instance that stands back run on the state in
// rec. If there is none, the node leaves the rota, and takeTurn reports false.
func (a *attendant) takeTurn(ctx context.Context, rec *store.Record, free bool) bool {
	c, unlock := a.contest()
	in := c.waiting
	if in == nil {
		next := c.rota.without(a.contests.node)
		unlock()
		if !a.change(ctx, next) {
			a.fail()
			return true
		}
		return false
	}
	c.waiting, c.mine, c.attended = nil, !free, false
	unlock()
	in.lock()
	in.turn = !free
	in.unlock()
	base := in.m.committed // does not change while in is shut
	switch {
	case rec.Revision == base.Revision:
		a.engine.moveOn(in, base)
	case rec.Revision > base.Revision && birthOf(rec.Meta) == base.birth:
		a.engine.moveOnTo(in, rec, &companions{})
	default:
		a.engine.conclude(in, conflicted, nil)
	}
	return true
}
