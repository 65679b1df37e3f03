package nodes_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// problems returns what is wrong with a history.
func (h *history) problems() []string {
	c := &checker{h: h, ops: map[string]*op{}, registers: map[string]*register{}, problems: slices.Clone(h.Wrong)}
	for _, o := range h.Ops {
		c.ops[o.ID] = o
		if o.Register != "nobody" && o.Register != brief {
			c.register(o.Register).ops = append(c.register(o.Register).ops, o)
		}
	}
	c.placeChanges()
	for _, name := range slices.Sorted(maps.Keys(c.registers)) {
		r := c.registers[name]
		c.checkPlaces(r)
		c.checkOrder(r)
		c.checkLinear(r)
	}
	c.checkBrief()
	c.checkEnds()
	c.checkRevocations()
	c.checkSendings()
	return c.problems
}

type checker struct {
	h         *history
	ops       map[string]*op
	registers map[string]*register
	problems  []string
}

// A register is what the history tells of one.
type register struct {
	name   string
	ops    []*op
	places map[int]string       // which change made it so many
	known  map[string]*sighting // by the name of the change
	from   map[string]bool      // the guests whose changes came along
	last   int                  // the highest place
}

// A sighting is where a change was seen, and when first.
type sighting struct {
	place int
	by    *op
}

func (c *checker) register(name string) *register {
	r := c.registers[name]
	if r == nil {
		r = &register{name: name, places: map[int]string{}, known: map[string]*sighting{}, from: map[string]bool{}}
		c.registers[name] = r
	}
	return r
}

func (c *checker) wrong(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// placeChanges finds out from all answers which changes each register has
// counted, and in which order.
func (c *checker) placeChanges() {
	for _, r := range c.registers {
		for _, o := range r.ops {
			if o.Kind == merge && o.From != "" {
				r.from[o.From] = true
			}
			if o.Shown == nil {
				continue
			}
			first := o.Shown.Seq - len(o.Shown.Last)
			if first < 0 {
				c.wrong("%s: %v\n\tshows more changes than it counts: %q", r.name, o, o.Shown.Last)
				continue
			}
			r.last = max(r.last, o.Shown.Seq)
			for i, id := range o.Shown.Last {
				r.see(c, o, first+1+i, id)
			}
			if o.Kind == add && (len(o.Shown.Last) == 0 || o.Shown.Last[len(o.Shown.Last)-1] != o.ID) {
				c.wrong("%s: %v\n\tdoes not show its own change last: %q", r.name, o, o.Shown.Last)
			}
		}
	}
}

// see notes that an answer shows a change at a place.
func (r *register) see(c *checker, by *op, place int, id string) {
	if was, ok := r.places[place]; ok && was != id {
		c.wrong("%s: a change was lost: %d is %s, and %s in\n\t%v", r.name, place, was, id, by)
	}
	r.places[place] = id
	seen := r.known[id]
	switch {
	case seen == nil:
		r.known[id] = &sighting{place, by}
	case seen.place != place:
		c.wrong("%s: a change was made twice: %s is %d and %d, in\n\t%v\n\t%v", r.name, id, seen.place, place, seen.by, by)
	case by.Return < seen.by.Return:
		seen.by = by
	}
}

// checkPlaces finds changes that should not be in a register, and gaps.
func (c *checker) checkPlaces(r *register) {
	for _, id := range slices.Sorted(maps.Keys(r.known)) {
		o, by := c.ops[id], r.known[id].by
		switch {
		case o == nil:
			c.wrong("%s: nobody has made %s, in\n\t%v", r.name, id, by)
		case o.Outcome == failed:
			c.wrong("%s: a change that has failed is there:\n\t%v\n\t%v", r.name, o, by)
		case o.Register != r.name && !r.from[o.Register]:
			c.wrong("%s: shows what belongs to %s:\n\t%v\n\t%v", r.name, o.Register, o, by)
		case o.Call > by.Return:
			c.wrong("%s: shows a change before it was asked for:\n\t%v\n\t%v", r.name, o, by)
		}
	}
	var gaps []int
	for place := 1; place <= r.last; place++ {
		if r.places[place] == "" {
			gaps = append(gaps, place)
		}
	}
	if len(gaps) > 0 && !c.longGuest(r) {
		c.wrong("%s: nobody has seen the changes %d of %d", r.name, gaps, r.last)
	}
}

// longGuest reports whether a guest came along who had counted more than a
// register remembers.
func (c *checker) longGuest(r *register) bool {
	return slices.ContainsFunc(r.ops, func(o *op) bool { return o.Addend.Seq >= window })
}

// checkOrder checks that no answer shows less than one that was given before the
// request began: writes are read, and reads go forward.
func (c *checker) checkOrder(r *register) {
	var shows []*op
	for _, o := range r.ops {
		if o.Shown != nil {
			shows = append(shows, o)
		}
	}
	byReturn := slices.SortedFunc(slices.Values(shows), func(a, b *op) int { return cmp.Compare(a.Return, b.Return) })
	slices.SortFunc(shows, func(a, b *op) int { return cmp.Compare(a.Call, b.Call) })
	var most *op
	for _, o := range shows {
		for len(byReturn) > 0 && byReturn[0].Return < o.Call {
			if most == nil || byReturn[0].Shown.Seq > most.Shown.Seq {
				most = byReturn[0]
			}
			byReturn = byReturn[1:]
		}
		if most == nil {
			continue
		}
		if least := most.Shown.Seq + changes(o); o.Shown.Seq < least {
			c.wrong("%s: shows less than what was answered before:\n\t%v\n\t%v", r.name, most, o)
		}
	}
}

// changes is how many changes an operation makes.
func changes(o *op) int {
	switch o.Kind {
	case add:
		return 1
	case merge:
		return o.Addend.Seq
	}
	return 0
}

// checkEnds checks that sessions end only by a revocation of a user to whom they
// belong.
func (c *checker) checkEnds() {
	for _, e := range c.h.Ends {
		caused := slices.ContainsFunc(c.h.Logins, func(l *login) bool {
			return l.Client == e.Client && l.Life == e.Life && slices.ContainsFunc(c.h.Revocations, func(r *revocation) bool {
				return r.User == l.User && r.Outcome != failed && r.Call < e.At && r.Return > l.Call && r.Call < l.EndReturn &&
					(!r.Others || r.Client != e.Client || r.Life != e.Life)
			})
		})
		if !caused {
			c.wrong("nobody has ended session %d.%d, which had ended at %s: %s", e.Client, e.Life, at(e.At), e.Told)
		}
	}
}

// checkRevocations checks that no request that began after a revocation was
// acknowledged got the user's state through a session that it has ended.
func (c *checker) checkRevocations() {
	for _, r := range c.h.Revocations {
		if r.Outcome != ok {
			continue
		}
		for _, l := range c.h.Logins {
			if l.User != r.User || l.Return >= r.Call || l.EndReturn <= r.Return || r.Others && l.Client == r.Client && l.Life == r.Life {
				continue
			}
			for _, o := range c.register("user/" + r.User).ops {
				if o.Client == l.Client && o.Life == l.Life && o.Shown != nil && o.Shown.Seq > 0 &&
					o.Call > r.Return && o.Call > l.Return && o.Return < l.EndCall {
					c.wrong("after the revocation of %s from %s to %s a session that had logged in at %s is served:\n\t%v",
						r.User, at(r.Call), at(r.Return), at(l.Return), o)
				}
			}
		}
	}
}

// summary says what a history has.
func (h *history) summary() string {
	kinds := map[string]int{}
	for _, o := range h.Ops {
		name, _, _ := strings.Cut(o.Register, "/")
		kinds[fmt.Sprintf("%s %s %s", name, o.Kind, o.Outcome)]++
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		lines = append(lines, fmt.Sprintf("%s: %d", k, kinds[k]))
	}
	var length time.Duration
	for _, o := range h.Ops {
		if o.Return != never {
			length = max(length, o.Return)
		}
	}
	for _, s := range h.Sendings {
		if s.Return != never {
			length = max(length, s.Return)
		}
	}
	lines = append(lines, sendingsOf(h.Sendings))
	return fmt.Sprintf("%s, %d operations (%v), %d logins, %d revocations, %d ended, %d faults\n%s",
		length.Round(time.Millisecond), len(h.Ops), h.counts(), len(h.Logins), len(h.Revocations), len(h.Ends), len(h.Faults), strings.Join(lines, "\n"))
}
