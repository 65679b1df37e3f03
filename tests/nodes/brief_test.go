package nodes_test

import (
	"slices"
	"time"
)

// brief is the register of everybody that is often removed. Each of its lives
// begins with nothing, so its operations are checked on their own: by what each
// answer shows, which is all that was added since the last removal.
const brief = "brief"

// checkBrief checks that what was removed does not come back, that what was added
// is there until it is removed, and that every life is one list.
func (c *checker) checkBrief() {
	var adds, shows, removals []*op
	for _, o := range c.h.Ops {
		switch {
		case o.Register != brief:
			continue
		case o.Kind == remove && o.Outcome != failed:
			removals = append(removals, o)
		case o.Kind != remove && o.Shown != nil && o.Shown.Seq == len(o.Shown.Last): // a longer life is not shown as a whole
			shows = append(shows, o)
		}
		if o.Kind == add && o.Outcome == ok {
			adds = append(adds, o)
		}
	}
	c.checkLives(shows)
	c.checkRemoved(shows, removals)
	for _, o := range adds {
		until := never // which no removal can have begun before
		for _, r := range removals {
			if r.Return > o.Call {
				until = min(until, r.Call)
			}
		}
		for _, by := range shows {
			if by.Call > o.Return && by.Return < until && !slices.Contains(by.Shown.Last, o.ID) {
				c.wrong("brief: misses what was added, and nobody has removed:\n\t%v\n\t%v", o, by)
			}
		}
	}
}

// checkLives checks that each life is one list.
func (c *checker) checkLives(shows []*op) {
	type place struct {
		life string
		at   int
	}
	places := map[place]string{}
	for _, o := range shows {
		for i, id := range o.Shown.Last {
			p := place{o.Shown.Last[0], i}
			if was, ok := places[p]; ok && was != id {
				c.wrong("brief: a change was lost: %d of the life of %s is %s, and %s in\n\t%v", i+1, p.life, was, id, o)
			}
			places[p] = id
			if slices.Index(o.Shown.Last, id) != i {
				c.wrong("brief: a change was made twice: %s in\n\t%v", id, o)
			}
			if by := c.ops[id]; by == nil || by.Outcome == failed || by.Register != brief {
				c.wrong("brief: shows %s, which is not there: %v, in\n\t%v", id, by, o)
			}
		}
	}
}

// checkRemoved checks that what was removed does not come back.
func (c *checker) checkRemoved(shows, removals []*op) {
	known := map[string]time.Duration{} // when each change was there for certain
	for _, o := range shows {
		for _, id := range o.Shown.Last {
			if at, ok := known[id]; !ok || o.Return < at {
				known[id] = o.Return
			}
		}
	}
	removed := map[string]*op{} // by the removal that was acknowledged first
	for id, at := range known {
		for _, r := range removals {
			if r.Outcome == ok && r.Call > at && (removed[id] == nil || r.Return < removed[id].Return) {
				removed[id] = r
			}
		}
	}
	for _, o := range shows {
		for _, id := range o.Shown.Last {
			if r := removed[id]; r != nil && o.Call > r.Return {
				c.wrong("brief: %s was removed and is there again:\n\t%v\n\t%v", id, r, o)
			}
		}
	}
}
