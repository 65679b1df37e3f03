package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// contestTime is how long a contest is remembered after the last sign of others.
	contestTime = time.Second
	// maxLosses in a row make a node ask for its turn.
	maxLosses = 2
	// sampleTime is the time in which a node that keeps writing a state looks once
	// whether others wait for it.
	sampleTime = 50 * time.Millisecond
	// maxContests bounds the memory that they take.
	maxContests = 1024
)

// contests are the states of one store that other nodes write too. A node far
// from the store would never win against nodes that are near, so they take turns
// (see rota). As long as nobody else wants a state, nothing of that happens.
//
// A node that has lost twice in a row joins the rota. A node that always wins
// does not see the others. So the commits of a state that is written again and
// again look, once in a while, whether there is a rota.
type contests struct {
	node [8]byte
	turn func(key string) string // names the record with the rota

	some atomic.Bool // there are contests
	mu   sync.Mutex
	all  map[string]*contest // by the key of the state

	// The keys that were written in the present time of sampling, and in the one
	// before it.
	began       time.Time
	now, before map[string]struct{}
}

// A contest is what this node knows about others at one state.
type contest struct {
	losses int       // in a row
	until  time.Time // when it is forgotten
	rev    store.Revision
	rota   rota
	last   int       // see rota.last
	whose  [8]byte   // the node whose turn it is
	since  time.Time // when this node, as one of the rota, first saw that
	mine   bool      // it is this node's turn

	attended bool   // a goroutine waits for the turn: see attendant
	waiting  waiter // for the turn; nil = nobody
}

// A waiter is an instance that waits for its node's turn.
type waiter interface {
	// state reports whether the instance has to go out of use, and whether members
	// still wait.
	state() (doomed, wanted bool)
	// restart ends the wait without a turn: all members start again.
	restart()
	// resume ends the wait: the members run on the state in rec, nil if it is as it
	// was. If turn is set, the instance calls it when it has nothing to write.
	resume(rec *store.Record, turn func())
}

func newContests(node [8]byte, turn func(string) string) *contests {
	return &contests{node: node, turn: turn, all: map[string]*contest{}, now: map[string]struct{}{}, before: map[string]struct{}{}}
}

// A ticket is the part of a batch that is about the rota.
type ticket struct {
	key   string      // of the state
	write store.Write // none if Key is ""
}

// writes reports whether the commit has a write that is about the rota.
func (t *ticket) writes() bool { return t != nil && t.write.Key != "" }

// ticket returns what a commit of a state has to do with the rota, nil if
// nothing. It reports false if it is not this node's turn.
func (cs *contests) ticket(key string, now time.Time) (t *ticket, ok bool) {
	at := time.Now()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.at(key, at)
	if c == nil && !cs.samples(key, at) {
		return nil, true
	}
	turn, ok := cs.record(key)
	if !ok {
		return nil, true
	}
	t = &ticket{key: key}
	switch {
	case c == nil:
		t.write = store.Write{Op: store.Check, Key: turn}
	case !c.contested():
		t.write = store.Write{Op: store.Check, Key: turn, Base: c.rev}
	case cs.others(c):
		return nil, false
	case len(c.rota) == 1: // nobody else wants a turn
		t.write = rota(nil).write(turn, c.rev, now)
	}
	return t, true
}

// record names the record with the rota. It reports false if no store has to take
// that name.
func (cs *contests) record(key string) (turn string, ok bool) {
	turn = cs.turn(key)
	return turn, len(turn) <= store.MaxKey
}

// aside reports whether it is another node's turn to write the state.
func (cs *contests) aside(key string) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.at(key, time.Now())
	if c == nil || !c.contested() || !cs.others(c) {
		return false
	}
	_, ok := cs.record(key)
	return ok
}

// others reports whether it is not this node's turn in c. cs.mu is locked.
func (cs *contests) others(c *contest) bool {
	return !c.mine || c.rota.at(cs.node) < 0
}

// contested reports whether the state is written in turns.
func (c *contest) contested() bool { return len(c.rota) > 0 || c.losses >= maxLosses }

// at returns what is known about a state. cs.mu is locked.
func (cs *contests) at(key string, now time.Time) *contest {
	c := cs.all[key]
	if c != nil && now.After(c.until) && !c.attended {
		cs.drop(key)
		return nil
	}
	return c
}

// add begins a contest. cs.mu is locked.
func (cs *contests) add(key string) *contest {
	c := &contest{last: -1}
	cs.all[key] = c
	cs.some.Store(true)
	return c
}

// drop ends a contest. cs.mu is locked.
func (cs *contests) drop(key string) {
	delete(cs.all, key)
	cs.some.Store(len(cs.all) > 0)
}

// samples notes a commit of a state, and reports whether it is one that looks for a
// rota: the first one in a time of sampling, if there was one in the time before
// it. cs.mu is locked.
func (cs *contests) samples(key string, now time.Time) bool {
	if age := now.Sub(cs.began); age >= sampleTime {
		cs.now, cs.before = cs.before, cs.now
		clear(cs.now)
		if age >= 2*sampleTime {
			clear(cs.before)
		}
		cs.began = now
	}
	if _, ok := cs.now[key]; ok {
		return false
	}
	cs.now[key] = struct{}{}
	_, ok := cs.before[key]
	return ok
}

// met is called after a sign of others at a state. It returns nil if no more
// contests can be remembered. cs.mu is locked.
func (cs *contests) met(key string, now time.Time) *contest {
	c := cs.at(key, now)
	if c == nil {
		if len(cs.all) >= maxContests {
			for other := range cs.all {
				cs.at(other, now)
			}
		}
		if len(cs.all) >= maxContests {
			return nil
		}
		c = cs.add(key)
	}
	c.until = now.Add(contestTime)
	return c
}

// lost notes that others were first.
func (cs *contests) lost(key string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.met(key, time.Now()); c != nil {
		c.losses++
	}
}

// saw notes the record of a rota.
func (cs *contests) saw(key string, rec *store.Record) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.learn(key, rec)
}

// learn is saw with cs.mu locked. It returns nil if there is no contest.
func (cs *contests) learn(key string, rec *store.Record) *contest {
	now := time.Now()
	c := cs.at(key, now)
	if rec.Revision != 0 {
		c = cs.met(key, now)
	}
	if c != nil && c.rev != rec.Revision {
		c.rev, c.rota, c.last = rec.Revision, readRota(rec), -1
	}
	return c
}

// won notes that a commit with a ticket was applied, and reports whether a
// goroutine has to attend to the node's next turn.
func (cs *contests) won(t *ticket) (attend bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.at(t.key, time.Now())
	if c == nil {
		return false
	}
	c.losses, c.mine = 0, false
	if t.writes() && t.write.Op == store.Delete {
		c.rev, c.rota = 0, nil
	}
	return cs.attends(c)
}

// wait has w wait for the node's turn, and reports as won does.
func (cs *contests) wait(key string, w waiter) (attend bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.met(key, time.Now())
	if c == nil {
		c = cs.add(key)
	}
	c.waiting, c.mine = w, false
	return cs.attends(c)
}

// pass ends the turn of this node without a write, and reports as won does.
func (cs *contests) pass(key string) (attend bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.all[key]
	if c == nil {
		return false
	}
	c.mine = false
	return cs.attends(c)
}

// attends reports whether a goroutine has to begin to attend to c. cs.mu is
// locked.
func (cs *contests) attends(c *contest) bool {
	if c.attended || c.mine || c.waiting == nil && c.rota.at(cs.node) < 0 {
		return false
	}
	c.attended = true
	return true
}
