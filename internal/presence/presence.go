// Package presence counts who has pages open that follow a state.
//
// Pages are counted by session: a session with three tabs is one visitor with
// three pages. A page that has gone counts for a while longer, unless another of
// its session takes its place. So a reload, and a stream that ends to begin again,
// change nothing for those who look.
//
// The hooks of a visit do not get events, which would queue up while a hook is
// slow. A session that needs a hook is in a queue once, and what it needs is
// decided when its turn comes: if it has come and gone meanwhile, nothing. A hook
// that cannot be called is due again later, for about a minute.
package presence

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

const (
	// Grace is how long a page counts after it has gone.
	Grace = 10 * time.Second
	// MaxSessions is how many sessions are told apart at one place. The pages of
	// further ones are only counted.
	MaxSessions = 1000
	// maxAway is how many sessions are known to have been there before.
	maxAway = 10_000
	// hooksAtOnce is how many hooks run at the same time.
	hooksAtOnce = 8
	// hookPause is how long after a failure a hook is tried again. It doubles with
	// each.
	hookPause = time.Second
	// hookTries is how often a hook is tried, in 63 seconds.
	hookTries = 7

	// Those who look are told of changes at most once in leastPace, and if there
	// are many pages, in eachPace for each of them: all of them may look.
	leastPace = 100 * time.Millisecond
	eachPace  = 200 * time.Microsecond
	// together is how long pages are said to go at the same time.
	together = time.Second
)

// A Place is where a state is, or would be.
type Place struct {
	Kind *engine.Kind
	Key  string
}

// A Visitor is whose page it is.
type Visitor struct {
	Session string // its ID; "" = it has none
	User    string // "" = a guest
}

// A Count is how many pages a visitor has.
type Count struct {
	Visitor
	Pages int
	Since time.Time // since when without a break
}

// An Event is what a hook is told.
type Event uint8

// The events of a session at a place.
const (
	Connect    Event = iota // its first page
	Reconnect               // its first page after a Disconnect
	Disconnect              // it has no page any more
)

// An Outcome is what became of a hook that was due.
type Outcome uint8

// The outcomes.
const (
	Called Outcome = iota // or there is none
	Again                 // it could not be called, and is tried later
	Missed                // it could not be called, and that counts as its end
)

// A Config is what a Table needs of the program that it is part of.
type Config struct {
	// Go runs a function in a goroutine whose context ends with the program. It
	// reports false if that has ended.
	Go func(func(context.Context)) bool
	// Now is the clock of Count.Since.
	Now func() time.Time
	// Changed is called when Show returns something else than before, at a limited
	// rate. It is called with a lock held: it must not wait, or call the Table.
	Changed func(Place)
	// Crowded is called in the same way when the sessions of a place are too many
	// to be told apart.
	Crowded func(Place)
}

// Rules are those of a place.
type Rules struct {
	// Shown: Config.Changed wants to know.
	Shown bool
	// Hook is called without locks, for one session and place one after another;
	// nil = there is none. After the last try it does not answer Again. A session
	// whose Connect was missed has no Disconnect.
	Hook func(ctx context.Context, at Place, v Visitor, e Event, last bool) Outcome
	// Remembers: Reconnect is another event than Connect.
	Remembers bool
}

// A Table counts pages. It has a goroutine while something is to be done later,
// and some while there are hooks to call.
type Table struct {
	cfg Config

	mu      sync.Mutex
	places  map[Place]*place
	number  uint64            // of the last change
	going   map[*session]bool // those with pages that have gone
	changed map[*place]bool   // those whose change was not told yet
	due     []*session        // those that need a hook
	failed  map[*session]bool // those whose hook is to be tried again
	calling int               // how many goroutines call hooks
	working bool              // the goroutine exists
	wakes   time.Time         // when it looks next
	poke    chan struct{}     // has it look earlier
	away    map[absent]int    // sessions whose Disconnect was called, by when
	order   []absent          // the same in that order, with some that have come back
	left    int               // how many were taken out of order
}

// An absent session has been at a place.
type absent struct {
	Place
	session string
}

// A place has somebody, or a hook that has to be called.
type place struct {
	Place
	rules    *Rules
	sessions map[string]*session
	pages    int    // of all of them
	number   uint64 // of the last change that was told
	told     time.Time
}

// A session is one at a place.
type session struct {
	Visitor
	place *place
	since time.Time
	open  int     // pages
	gone  []parts // pages that have gone and still count, the earliest first

	met    bool      // Connect was called, and Disconnect was not
	as     Visitor   // who it was at the last call of a hook
	queued bool      // it is in due, or its hook is running
	event  Event     // of the last hook
	tries  int       // how often in a row that could not be called
	again  time.Time // when it is tried again, if it is in failed
}

// parts are pages that have gone at about the same time.
type parts struct {
	n     int
	from  time.Time // when the first of them is over
	until time.Time // when all are
}

func (s *session) shown() int {
	n := s.open
	for _, p := range s.gone {
		n += p.n
	}
	return n
}

// A Page is one that counts.
type Page struct{ session *session }

// Visitor is whose page it is said to be.
func (p *Page) Visitor() Visitor { return p.session.Visitor }

// New returns an empty Table.
func New(cfg Config) *Table {
	return &Table{
		cfg: cfg, places: map[Place]*place{}, going: map[*session]bool{}, changed: map[*place]bool{}, failed: map[*session]bool{},
		poke: make(chan struct{}, 1), away: map[absent]int{},
	}
}

// Enter counts a page. The strings of at and v are kept. All pages of a place
// have the same rules.
func (t *Table) Enter(at Place, v Visitor, rules *Rules) *Page {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[at]
	if p == nil {
		p = &place{Place: at, rules: rules, sessions: map[string]*session{}}
		t.places[at] = p
	}
	s := p.sessions[v.Session]
	if s == nil && v.Session != "" && len(p.sessions) >= MaxSessions {
		if v = (Visitor{}); p.sessions[""] == nil {
			t.cfg.Crowded(at)
		}
		s = p.sessions[""]
	}
	if s == nil {
		s = &session{Visitor: v, place: p}
		p.sessions[v.Session] = s
	}
	before, user := s.shown(), s.User
	if before == 0 {
		s.since = t.cfg.Now()
	}
	s.User = v.User
	s.open++
	p.pages++
	s.takeOver()
	if len(s.gone) == 0 {
		delete(t.going, s)
	}
	if s.shown() != before || s.User != user {
		t.change(p)
	}
	if before == 0 {
		t.call(s)
	}
	return &Page{s}
}

// takeOver has a page take the place of one that has gone.
func (s *session) takeOver() {
	if n := len(s.gone) - 1; n >= 0 {
		if s.gone[n].n--; s.gone[n].n == 0 {
			s.gone = s.gone[:n]
		}
	}
}

// Leave ends what Enter began. It is called once. A page that goes at once does not
// count any longer.
func (t *Table) Leave(pg *Page, atOnce bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := pg.session
	s.open--
	s.place.pages--
	if atOnce {
		t.fewer(s)
		return
	}
	until := time.Now().Add(Grace)
	if n := len(s.gone) - 1; n >= 0 && until.Sub(s.gone[n].from) < together {
		s.gone[n].n++
		s.gone[n].until = until
	} else {
		s.gone = append(s.gone, parts{1, until, until})
	}
	t.going[s] = true
	t.later(s.gone[0].until)
}

// fewer notes that a session has fewer pages than before.
func (t *Table) fewer(s *session) {
	t.change(s.place)
	if s.shown() == 0 {
		t.call(s)
		t.forget(s)
	}
}

// forget drops a session that has no page, unless it waits for a hook.
func (t *Table) forget(s *session) {
	if s.shown() != 0 || s.met || s.queued {
		return
	}
	delete(t.failed, s)
	p := s.place
	if delete(p.sessions, s.Session); len(p.sessions) == 0 {
		delete(t.places, p.Place)
	}
}

// Show returns who is at a place, in the order in which they came. The pages of
// sessions that are not told apart, and those without one, are the last count,
// without a Session.
func (t *Table) Show(at Place) []Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[at]
	if p == nil {
		return nil
	}
	all := make([]Count, 0, len(p.sessions))
	for _, s := range p.sessions {
		if n := s.shown(); n != 0 {
			all = append(all, Count{s.Visitor, n, s.since})
		}
	}
	Sort(all)
	return all
}

// Sort puts counts into the order of Show.
func Sort(all []Count) {
	slices.SortFunc(all, func(a, b Count) int {
		if (a.Session == "") != (b.Session == "") {
			return strings.Compare(b.Session, a.Session)
		}
		if n := a.Since.Compare(b.Since); n != 0 {
			return n
		}
		return strings.Compare(a.Session, b.Session)
	})
}

// Number names what Show returns for a place: it is another one after each change
// that was told. 0 is that of a place without anybody.
func (t *Table) Number(at Place) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.places[at]; p != nil {
		return p.number
	}
	return 0
}

// Touch notes that something else that is shown with the place has changed.
func (t *Table) Touch(at Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.places[at]; p != nil {
		t.change(p)
	}
}

// change tells of a change, now or later.
func (t *Table) change(p *place) {
	if !p.rules.Shown {
		return
	}
	if at := p.told.Add(p.pace()); p.number != 0 && at.After(time.Now()) {
		t.changed[p] = true
		t.later(at)
		return
	}
	t.tell(p)
}

func (p *place) pace() time.Duration {
	return leastPace + time.Duration(p.pages)*eachPace
}

func (t *Table) tell(p *place) {
	t.number++
	p.number, p.told = t.number, time.Now()
	t.cfg.Changed(p.Place)
}

// Sum returns the counts of two nodes together.
func Sum(a, b []Count) []Count {
	if len(b) == 0 {
		return a
	}
	at := make(map[string]int, len(a)+len(b))
	all := make([]Count, 0, len(a)+len(b))
	for _, c := range slices.Concat(a, b) {
		i, ok := at[c.Session]
		if !ok {
			at[c.Session] = len(all)
			all = append(all, c)
			continue
		}
		s := &all[i]
		if s.Pages += c.Pages; c.Since.Before(s.Since) {
			s.Since = c.Since
		} else {
			s.User = c.User // it came later
		}
	}
	Sort(all)
	return Most(all, MaxSessions)
}

// Most returns counts in the order of Show without the sessions after the first
// most: their pages are added to the last count.
func Most(all []Count, most int) []Count {
	n := len(all)
	if n > 0 && all[n-1].Session == "" {
		n--
	}
	if n <= most {
		return all
	}
	rest := Count{Since: all[most].Since}
	for _, c := range all[most:] {
		rest.Pages += c.Pages
	}
	return append(all[:most:most], rest)
}
