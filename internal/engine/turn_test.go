package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
)

// decider is the machine as the simulation drives it, so that a broken
// variant can take its place.
type decider interface {
	enter(*member) verdict
	leave(*member) bool
	finish(*member, outcome, *Version, bool) effects
	stage(*member, *Version) bool
	endPause() effects
	applied() effects
	gone() effects
	rejected() effects
	overtaken(*Version) effects
	standAside(*member) bool
	conflict() effects
	lost() effects
	kill() effects
	advance(*Version) bool
	idle() bool
	core() *machine
}

func (m *machine) core() *machine { return m }

// A simulation plays one key: members that come, run and leave, a store that
// applies, rejects, forgets to answer or was changed by others, and instances
// that come and go. The state is the list of the runs that made it, so that
// every lost, doubled or resurrected run shows.
type simulation struct {
	rng    *rand.Rand
	make   func(*machine) decider
	limits limits
	trace  []string
	broken string

	tracing bool
	aside   bool     // the instance waits for its node's turn
	checked *Version // readers may see it

	// the store
	content []int
	rev     store.Revision
	wrote   int              // the commit that wrote content last
	history map[string]int   // contents the store has had
	others  map[int]bool     // writes by others
	late    *flight          // lost, and may still arrive
	told    map[int]verdict  // by attempt
	open    map[*member]*try // not answered yet

	// the instance
	d       decider
	running *try
	order   []*member
	paused  bool
	flight  *flight
	lastRev store.Revision

	published store.Revision // by the group of another instance

	nextID int
}

type try struct {
	id      int
	how     outcome
	saw     []int
	waiting bool
}

type flight struct {
	id      int
	base    store.Revision
	content []int
	sent    bool // an outcome was unknown before
	check   bool // of a group in which the state only has to stay
	group   bool
}

func (s *simulation) fail(rule, format string, args ...any) {
	if s.broken == "" {
		s.broken = rule + ": " + fmt.Sprintf(format, args...)
	}
}

// log notes what happened, when somebody wants to read it.
func (s *simulation) log(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf(format, args...))
	}
}

func text(ids []int) string { return fmt.Sprint(ids) }

func (s *simulation) version() *Version {
	return &Version{Value: slices.Clone(s.content), bytes: 1, Revision: s.rev}
}

func seen(v *Version) []int { return v.Value.([]int) }

// instance returns the live instance, loading one if the last one died.
func (s *simulation) instance() decider {
	if s.d == nil || (s.d.core().dead && s.flight == nil && s.running == nil) {
		m := &machine{limits: &s.limits}
		m.committed = s.version()
		m.working = m.committed
		s.d = s.make(m)
		s.lastRev, s.paused, s.order = s.rev, false, nil
		s.log("load rev %d", s.rev)
	}
	return s.d
}

// step does one random thing. Draining adds no new work.
func (s *simulation) step(draining bool) bool {
	type event struct {
		weight int
		do     func()
	}
	var events []event
	add := func(weight int, ok bool, do func()) {
		if ok {
			events = append(events, event{weight, do})
		}
	}
	d := s.instance()
	alive := !d.core().dead
	add(8, !draining, s.arrive)
	add(10, s.running != nil, s.end)
	add(2, s.running != nil && alive && !draining, s.wait)
	add(4, s.aside, func() { s.aside = false; s.overtake() })
	add(2, len(s.order) > 0 && !draining, s.cancel)
	add(6, s.paused, func() { s.paused = false; s.log("settle"); s.carry(d.endPause()) })
	add(8, s.flight != nil, func() { s.answer(draining) })
	add(1, !draining, s.foreign)
	add(1, s.late != nil, func() { s.arriveLate() })
	add(1, alive && d.idle() && !draining, func() { s.log("evict"); s.carry(d.kill()) })
	add(1, alive && !draining, func() { s.log("kill"); s.carry(d.kill()) })
	add(1, alive && !draining, s.publish)
	total := 0
	for _, e := range events {
		total += e.weight
	}
	if total == 0 {
		return false
	}
	n := s.rng.IntN(total)
	for _, e := range events {
		if n -= e.weight; n < 0 {
			e.do()
			break
		}
	}
	s.check()
	return true
}

func (s *simulation) arrive() {
	d := s.instance()
	s.nextID++
	t := &try{id: s.nextID, how: []outcome{changed, changed, changed, same, refused, aborted, deleted}[s.rng.IntN(7)]}
	if t.how == deleted {
		t.how = changed // a deletion is a change that closes the batch; the list of runs goes on
	}
	w := &member{alone: s.rng.IntN(5) == 0}
	w.unasked = !w.alone && s.rng.IntN(2) == 0
	v := d.enter(w)
	s.log("enter %d alone %v: %d", t.id, w.alone, v)
	switch v {
	case granted:
		if s.running != nil || s.flight != nil || s.aside {
			s.fail("E8", "two have the turn, or one while a batch is at the store")
			return
		}
		s.open[w] = t
		s.grant(w)
	case queued:
		t.waiting = true
		s.open[w] = t
		s.order = append(s.order, w)
		m := d.core()
		if m.waiting.n+m.batch.n > s.limits.waiters {
			s.fail("E6", "more wait than MaxWaiters")
		}
	case busy, again:
		s.told[t.id] = v
	}
}

func (s *simulation) grant(w *member) {
	t := s.open[w]
	if t == nil {
		s.fail("E8", "the turn was given to somebody who is not there")
		return
	}
	if s.running != nil || s.flight != nil || s.aside {
		s.fail("E8", "two have the turn, or one while a batch is at the store")
		return
	}
	if t.waiting {
		if s.order[0] != w {
			s.fail("E8", "not first come, first served")
		}
		s.order = slices.DeleteFunc(s.order, func(x *member) bool { return x == w })
		t.waiting = false
	}
	if m := s.d.core(); w.alone && !m.dead && m.working != m.committed {
		s.fail("E1", "a group begins with a state that could still be rolled back")
	}
	t.saw = slices.Clone(seen(s.d.core().working))
	s.running = t
}

// wait has the holder, which has not run, wait for its node's turn.
func (s *simulation) wait() {
	w, t := s.holder(), s.running
	if w.alone || s.d.core().batch.n > 0 {
		return
	}
	s.log("aside %d", t.id)
	s.running, s.aside, t.waiting = nil, true, true
	s.order = append([]*member{w}, s.order...)
	s.d.standAside(w)
}

// unsent has a batch that was not sent wait for its node's turn.
func (s *simulation) unsent() {
	var back []*member
	for w := s.d.core().batch.first; w != nil; w = w.next {
		s.open[w].waiting = true
		back = append(back, w)
	}
	s.log("aside, %d wait again", len(back))
	s.order = append(back, s.order...)
	s.aside = true
	s.d.standAside(nil)
}

func (s *simulation) holder() *member {
	for w, t := range s.open {
		if t == s.running {
			return w
		}
	}
	return nil
}

func (s *simulation) end() {
	w, t := s.holder(), s.running
	s.running = nil
	var next *Version
	if t.how == changed {
		next = &Version{Value: append(slices.Clone(t.saw), t.id), bytes: 1}
	}
	if w.alone && t.how != aborted {
		s.stage(w, t, next)
		return
	}
	late := s.rng.IntN(8) == 0
	s.log("finish %d how %d late %v", t.id, t.how, late)
	eff := s.d.finish(w, t.how, next, late)
	switch {
	case eff.own == done && w.unasked:
		s.fail("N1", "run %d is answered from memory, and nobody has asked the store", t.id)
	case eff.own == unproven && slices.Equal(s.content, t.saw):
		s.tell(w, done)
	case eff.own == unproven:
		s.tell(w, again)
	case eff.own != queued || t.how == aborted:
		s.tell(w, eff.own)
	}
	s.carry(eff)
}

// stage ends the run of a member of a group: its part goes to the store, or
// comes back because another part cannot.
func (s *simulation) stage(w *member, t *try, next *Version) {
	m := s.d.core()
	dead := m.dead
	ok := s.d.stage(w, next)
	s.log("stage %d how %d: %v", t.id, t.how, ok)
	switch {
	case !ok:
		s.tell(w, again)
	case dead:
		s.fail("E5", "a group is committed on an instance that is dead")
	case s.rng.IntN(6) == 0:
		s.log("another part is dead")
		s.carry(s.d.rejected())
	default:
		s.nextID++
		s.flight = &flight{id: s.nextID, base: m.committed.Revision, content: seen(m.working), check: next == nil, group: true}
		s.log("group %d on %d: %v", s.flight.id, s.flight.base, s.flight.content)
	}
}

func (s *simulation) carry(eff effects) {
	for w, next := eff.members, (*member)(nil); w != nil; w = next {
		next = w.next
		s.tell(w, eff.told)
	}
	for w, next := eff.restart, (*member)(nil); w != nil; w = next {
		next = w.next
		s.order = slices.DeleteFunc(s.order, func(x *member) bool { return x == w })
		s.tell(w, again)
	}
	if eff.commit {
		if s.flight != nil {
			s.fail("E2", "a second batch goes to the store before the first is answered")
			return
		}
		m := s.d.core()
		if m.batch.n > s.limits.members {
			s.fail("E6", "a batch of %d", m.batch.n)
		}
		if s.nextID++; s.rng.IntN(6) == 0 {
			s.unsent()
		} else {
			s.flight = &flight{id: s.nextID, base: m.committed.Revision, content: seen(m.working)}
			s.log("commit %d on %d: %v", s.flight.id, s.flight.base, s.flight.content)
		}
	}
	if eff.grant != nil {
		s.log("grant")
		s.grant(eff.grant)
	}
	s.paused = s.paused || eff.pause
}

func (s *simulation) tell(w *member, v verdict) {
	t := s.open[w]
	if t == nil {
		s.fail("E1", "somebody is told twice, or who is not there")
		return
	}
	delete(s.open, w)
	s.told[t.id] = v
	s.log("told %d: %d", t.id, v)
	switch {
	case v == done && t.how == changed:
		if !slices.Contains(s.content, t.id) {
			s.fail("E1", "run %d is acknowledged and not durable", t.id)
		}
	case v == done && (len(t.saw) > len(s.content) || !slices.Equal(s.content[:len(t.saw)], t.saw)):
		s.fail("E1", "run %d is answered by a state that was rolled back", t.id)
	case v == failed || v == again:
		if slices.Contains(s.content, t.id) {
			s.fail("E1", "run %d failed and is stored", t.id)
		}
	}
}

func (s *simulation) cancel() {
	w := s.order[s.rng.IntN(len(s.order))]
	s.log("cancel %d", s.open[w].id)
	if !s.d.leave(w) {
		s.fail("E8", "a waiting one cannot leave")
	}
	s.order = slices.DeleteFunc(s.order, func(x *member) bool { return x == w })
	s.told[s.open[w].id] = again
	delete(s.open, w)
}

// apply is the store's compare-and-swap.
func (s *simulation) apply(f *flight) bool {
	if s.rev != f.base {
		return false
	}
	if len(f.content) < len(s.content) || !slices.Equal(f.content[:len(s.content)], s.content) {
		s.fail("E8", "a write loses what was stored: %v over %v", f.content, s.content)
	}
	s.write(f.content, f.id)
	return true
}

func (s *simulation) write(content []int, by int) {
	s.content = slices.Clone(content)
	s.rev++
	s.wrote = by
	s.history[text(content)]++
}

func (s *simulation) answer(draining bool) {
	f := s.flight
	m := s.d.core()
	what := s.rng.IntN(10)
	if draining {
		what = 0
	}
	switch {
	case what == 9: // unknown, whether applied or not
		did := s.rng.IntN(2) == 0 && !f.check && s.apply(f)
		f.sent = true
		s.log("unknown, applied %v", did)
	case what == 8 && f.sent: // given up
		s.flight = nil
		s.late = f
		s.log("lost")
		s.carry(s.d.lost())
	case what == 7 && !f.sent:
		s.flight = nil
		s.log("rejected")
		s.carry(s.d.rejected())
	case f.sent && s.wrote == f.id: // an earlier sending was applied
		s.flight = nil
		s.log("own conflict")
		s.carry(s.d.gone())
	case f.check && s.rev == f.base:
		s.flight = nil
		s.log("checked")
		s.carry(s.d.applied())
	case !f.check && s.apply(f):
		s.flight = nil
		s.log("applied rev %d", s.rev)
		m.working.Revision = s.rev
		s.carry(s.d.applied())
	default:
		s.flight = nil
		if f.group || what < 2 && !draining {
			s.log("conflict")
			s.carry(s.d.conflict())
		} else {
			s.overtake()
		}
		if m := s.d.core(); !m.dead && m.committed.Revision < s.rev {
			s.fail("E3", "readers keep a state that is known to be overtaken")
		}
	}
}

// overtake tells the machine what others have stored. Some of the batch's
// callers have left meanwhile, and the others wait again.
func (s *simulation) overtake() {
	m := s.d.core()
	var back []*member
	if !m.doomed {
		for w, next := m.batch.first, (*member)(nil); w != nil; w = next {
			next = w.next
			if s.rng.IntN(5) == 0 {
				s.log("left %d", s.open[w].id)
				m.batch.remove(w)
				s.told[s.open[w].id] = again
				delete(s.open, w)
				continue
			}
			s.open[w].waiting = true
			back = append(back, w)
		}
		s.order = append(back, s.order...)
	}
	s.log("overtaken by rev %d, %d wait again", s.rev, len(back))
	s.carry(s.d.overtaken(s.version()))
}

// arriveLate lets a write that was given up reach the store, or not.
func (s *simulation) arriveLate() {
	f := s.late
	s.late = nil
	if s.rng.IntN(2) == 0 && s.wrote != f.id && !f.check {
		s.log("late write applied %v", s.apply(f))
	}
}

// foreign is a write by somebody else.
func (s *simulation) foreign() {
	if s.flight != nil && s.flight.sent && s.wrote == s.flight.id {
		return // then the record would still name our write; the list of writers is tested elsewhere
	}
	s.nextID++
	s.log("foreign %d", s.nextID)
	s.others[s.nextID] = true
	s.write(append(slices.Clone(s.content), s.nextID), s.nextID)
}

// publish gives the instance the store's version, as the group of another
// instance does, at once or later.
func (s *simulation) publish() {
	v := s.version()
	s.log("publish rev %d", v.Revision)
	if !s.d.advance(v) {
		s.carry(s.d.kill())
	}
	s.published = v.Revision
}

func (s *simulation) check() {
	m := s.d.core()
	if m.dead && (s.flight != nil || s.aside) {
		s.fail("E5", "another instance may be loaded while a write of this one is under way")
	}
	if m.dead {
		return
	}
	if s.flight == nil && !s.aside && m.committed.Revision < s.published {
		s.fail("E3", "readers keep a state that was replaced in the group of another instance")
	}
	if m.committed.Revision < s.lastRev {
		s.fail("E3", "readers go back from revision %d to %d", s.lastRev, m.committed.Revision)
	}
	s.lastRev = m.committed.Revision
	if m.committed != s.checked && s.history[text(seen(m.committed))] == 0 {
		s.fail("E3", "readers see what was never committed: %v", seen(m.committed))
	}
	s.checked = m.committed
}

// simulate plays one seed and returns the rule that was broken, if any. The
// trace is kept on demand.
func simulate(seed uint64, variant func(*machine) decider, tracing bool) (broken string, trace []string) {
	s := &simulation{
		tracing: tracing,
		rng:     rand.New(rand.NewPCG(seed, 1)), make: variant,
		limits:  limits{waiters: 6, members: 3, bytes: 1 << 20},
		history: map[string]int{}, told: map[int]verdict{}, others: map[int]bool{}, open: map[*member]*try{},
	}
	s.history[text(nil)] = 1
	s.history[text([]int{})] = 1
	defer func() {
		if p := recover(); p != nil {
			broken, trace = fmt.Sprint("panic: ", p), s.trace
		}
	}()
	for i := 0; i < 300 && s.broken == ""; i++ {
		s.step(false)
	}
	for i := 0; i < 300 && s.broken == "" && s.step(true); i++ {
	}
	if s.broken == "" && len(s.open) > 0 {
		s.fail("E6", "%d were never answered", len(s.open))
	}
	times := map[int]int{}
	for _, id := range s.content {
		times[id]++
	}
	for id, v := range s.told {
		n := times[id]
		if n > 1 || (n == 1 && v != done && v != unknown) {
			s.fail("E1", "run %d was told %d and is stored %d times", id, v, n)
		}
	}
	for _, id := range s.content {
		if v, ok := s.told[id]; !s.others[id] && (!ok || v != done && v != unknown) {
			s.fail("E1", "%d is stored, and nobody was told so", id)
		}
	}
	return s.broken, s.trace
}

// TestSimulationKeepsTheRules plays random interleavings of arrivals, runs,
// cancellations, commits with every outcome, evictions and writes by others.
// STAY_SEED replays one.
//
// Proves E1, E2, E3, E4, E5, E6, E7, E8, E9, E10.
func TestSimulationKeepsTheRules(t *testing.T) {
	sound := func(m *machine) decider { return m }
	if env := os.Getenv("STAY_SEED"); env != "" {
		seed, err := strconv.ParseUint(env, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		broken, trace := simulate(seed, sound, true)
		t.Logf("%s\n%s", strings.Join(trace, "\n"), broken)
		if broken != "" {
			t.Fail()
		}
		return
	}
	first := rand.Uint64()
	for i := range uint64(2000) {
		if broken, _ := simulate(first+i, sound, false); broken != "" {
			_, trace := simulate(first+i, sound, true)
			t.Fatalf("seed %d: %s\n%s", first+i, broken, strings.Join(trace, "\n"))
		}
	}
}

// TestSimulationCatchesBrokenVariants breaks one safety rule at a time: the
// simulation must notice each.
//
// Proves E1, E2, E3, E5, E6, E8, S4.
func TestSimulationCatchesBrokenVariants(t *testing.T) {
	design, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(design), name) {
				t.Error("docs/design.md does not list this variant")
			}
			for seed := range uint64(2000) {
				if broken, _ := simulate(seed, variant, false); broken != "" {
					t.Logf("seed %d: %s", seed, broken)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
