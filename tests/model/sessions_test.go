package model_test

import (
	"slices"
	"time"

	"github.com/stay-go/stay"
)

const guestStored = stay.GuestStored

// A model is what must be there. It is sequential: one thing happens at a
// time, so it knows everything.
type model struct {
	w        *world
	sessions []*session
	users    map[string]*user
	keyed    map[string]map[string]*place // by module and key
	births   int
	heirs    []*heir
}

func newModel(w *world) *model {
	return &model{w: w, users: map[string]*user{}, keyed: map[string]map[string]*place{}}
}

func (m *model) now() time.Time { return time.Unix(m.w.clock.Load(), 0) }

// A session is one browser's, whether or not anything is stored of it.
type session struct {
	id      string // "" until somebody has asked
	home    int    // the process that it began in
	created time.Time
	known   bool // it has a record
	gen     int
	seen    time.Time
	expires time.Time
	renewed time.Time
	ended   bool
	endedAt time.Time
	over    bool // it has expired

	user   string
	epoch  int
	logins int // how often the user has changed
	login  int // the generation that the last login began

	cookieEnd time.Time // of the last cookie; all that ends a session of which nothing is stored

	keys    map[string]*attachment
	states  map[string]*place // its own, and those of its guests
	pending map[string]bool   // modules whose guest is to be taken along
	left    map[string]bool   // modules whose record may still be listed
}

// An attachment is what a change of the key has left.
type attachment struct {
	attached bool
	key      string
	birth    int
	logins   int
}

// A user is what logins of one have left.
type user struct {
	epoch    int
	revoked  time.Time
	sessions []*session
}

func (m *model) revoked(s *session) (bool, time.Time) {
	if s.user == "" {
		return false, time.Time{}
	}
	u := m.users[s.user]
	return u.epoch != s.epoch, u.revoked
}

func end(created, now time.Time) time.Time {
	if life := created.Add(lifetime); life.Before(now.Add(idleTimeout)) {
		return life
	}
	return now.Add(idleTimeout)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// record begins the session's record if there is none.
func (m *model) record(s *session, idleEnd time.Time) {
	if !s.known {
		s.known, s.expires = true, idleEnd
		m.slide(s)
	}
}

func (m *model) slide(s *session) {
	s.seen = m.now()
	s.expires = later(s.expires, end(s.created, m.now()))
}

// A cookie is what a browser was given.
type cookie struct {
	token   string
	s       *session
	gen     int
	idleEnd time.Time
}

// An issue is a cookie that a response must set; without a session it clears
// the browser's.
type issue struct {
	s       *session
	gen     int
	idleEnd time.Time
}

// A request is one, as the model sees it.
type request struct {
	m       *model
	proc    int
	c       *cookie // nil = none
	fixed   bool    // it has no cookie, but a session from App.Sessions
	opened  bool
	drawn   bool
	changed bool
	carried bool
	gone    bool
	// destroyed: by this request
	destroyed bool
	s         *session
	user      string // of a fixed one
	gen       int
	idleEnd   time.Time
	issues    []issue
}

func (r *request) draw() {
	r.s = &session{
		created: r.m.now(), keys: map[string]*attachment{}, states: map[string]*place{}, pending: map[string]bool{}, left: map[string]bool{},
	}
	r.drawn, r.changed, r.gen, r.idleEnd = true, false, 0, time.Time{}
}

func (r *request) open() {
	if r.opened {
		return
	}
	r.opened = true
	now := r.m.now()
	if c := r.c; c != nil && c.idleEnd.After(now) && c.s.created.Add(lifetime).After(now) {
		r.s, r.gen, r.idleEnd = c.s, c.gen, c.idleEnd
		return
	}
	r.draw()
}

func (r *request) issue(until time.Time) {
	if r.fixed {
		return
	}
	r.s.cookieEnd = later(r.s.cookieEnd, until)
	r.issues = append(r.issues, issue{r.s, r.gen, until})
	r.idleEnd = until
}

// matches reports whether the cookie is the one that is good; if not, since
// when.
func (r *request) matches() (ok bool, since time.Time) {
	s := r.s
	known := s.known && !s.over
	if r.fixed {
		switch {
		case !known:
			return false, time.Time{}
		case s.user != r.user:
			return false, s.renewed
		}
		r.gen = s.gen
	}
	switch {
	case !known:
		return r.gen == 0, time.Time{}
	case s.ended:
		return false, s.endedAt
	case r.gen < s.gen:
		return false, s.renewed
	}
	return true, time.Time{}
}

func (r *request) stands() (ok bool, since time.Time) {
	if ok, since := r.matches(); !ok {
		return false, since
	}
	gone, since := r.m.revoked(r.s)
	return !gone, since
}

// use is what the first use of state does. It reports false where the session
// has ended.
func (r *request) use() bool {
	r.open()
	if r.gone {
		return false
	}
	now := r.m.now()
	if ok, since := r.stands(); !ok {
		if r.carried || now.Sub(since) < quiet {
			return false
		}
		r.draw()
	}
	if r.carried {
		return true
	}
	s := r.s
	switch {
	case r.drawn:
		r.issue(end(s.created, now))
	case r.idleEnd.Sub(now) < idleTimeout-idleTimeout/10:
		until := end(s.created, now)
		if s.known {
			if now.Sub(s.seen) > idleTimeout/10 {
				r.m.slide(s)
			}
			until = s.expires
		}
		if until.After(r.idleEnd) {
			r.issue(until)
		}
	}
	r.carried = true
	return true
}

// current is whom the session belongs to, without using it.
func (r *request) current() (s *session) {
	r.open()
	if r.gone || r.drawn && !r.changed {
		return nil
	}
	if ok, _ := r.stands(); !ok || !r.s.known || r.s.over {
		return nil
	}
	return r.s
}

// moving is what every change of whom the session belongs to does.
func (r *request) moving() {
	s := r.s
	if !s.known {
		r.m.record(s, r.idleEnd)
	}
	s.expires = later(s.expires, r.idleEnd)
	if !r.fixed { // else no new cookie could be sent
		s.gen++
		s.renewed = r.m.now()
	}
	r.m.slide(s)
}

// follow gives the browser the cookie of the new generation.
func (r *request) follow() {
	r.changed = true
	if !r.fixed {
		r.gen, r.carried = r.s.gen, true
		r.issue(r.s.expires)
	}
}

func (r *request) renew() error {
	r.open()
	if r.gone {
		return stay.ErrEnded
	}
	if r.drawn && !r.carried {
		return nil
	}
	if ok, _ := r.stands(); !ok {
		return stay.ErrEnded
	}
	if r.fixed {
		return stay.ErrInternal
	}
	r.moving()
	r.follow()
	return nil
}

func (r *request) destroy() error {
	r.open()
	s := r.s
	if r.drawn && !r.changed || r.gone {
		r.gone, r.destroyed = true, true
		if r.carried && !r.fixed {
			r.issues = append(r.issues, issue{})
		}
		return nil
	}
	r.changed = true
	already := s.known && !s.over && s.ended
	if !already {
		if ok, _ := r.matches(); !ok {
			return stay.ErrEnded
		}
		r.m.record(s, r.idleEnd)
		s.ended, s.endedAt = true, r.m.now()
		r.m.end(r.proc, s)
		if !r.fixed {
			r.issues = append(r.issues, issue{})
		}
	}
	r.carried, r.destroyed = true, true
	return nil
}

// end takes away what a session has that was destroyed in a process.
func (m *model) end(proc int, s *session) {
	for _, sp := range m.w.specs {
		if !m.w.roles[proc].knows(sp) {
			s.left[sp.name] = true // it is out of reach, and removed by another one
			if sp.side {           // the process does not know the module's own store
				m.pass(sp, s.states[sp.name], m.now(), false)
			}
		}
		delete(s.states, sp.name)
	}
}

func (m *model) revoke(name string) {
	if u := m.users[name]; u != nil {
		u.epoch++
		u.revoked, u.sessions = m.now(), nil
	}
}

// listed are the sessions that App.Sessions yields.
func (m *model) listed(name string) []*session {
	u := m.users[name]
	if u == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(u.sessions), func(s *session) bool {
		return !s.known || s.over || s.ended || s.user != name || s.epoch != u.epoch
	})
}
