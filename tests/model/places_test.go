package model_test

import (
	"time"
)

// A place is where a state is: under a key, or of a session.
type place struct {
	v       value
	birth   int
	expires time.Time // zero = never
	stored  bool      // it is in a store, not in memory only
	side    bool      // that of the module
	home    int       // the process whose memory has it, if it is not stored
	unsaved bool      // Debounce may not have stored it yet
}

func (p *place) live(now time.Time) bool {
	return p != nil && (p.expires.IsZero() || p.expires.After(now))
}

// A spot is where a module's state is for a session, or for a key.
type spot struct {
	sp  *spec
	s   *session // whose state it is; nil where a key has it
	key string
}

// at returns what is in a spot; nil if nothing is.
func (m *model) at(w spot) *place {
	var p *place
	if w.s != nil {
		p = w.s.states[w.sp.name]
	} else {
		p = m.keyed[w.sp.name][w.key]
	}
	if !p.live(m.now()) {
		return nil
	}
	return p
}

func (m *model) value(w spot) value {
	if p := m.at(w); p != nil {
		return p.v
	}
	return w.sp.initial
}

// put stores a value in a spot, as a process does.
func (m *model) put(proc int, w spot, v value) {
	sp, now := w.sp, m.now()
	p := m.at(w)
	fresh := p == nil
	if fresh {
		m.births++
		p = &place{birth: m.births, side: sp.side, home: proc}
		p.stored = w.s == nil || sp.scope == perSession || m.storesGuests()
		p.unsaved = sp.debounce
		if w.s != nil {
			p.expires = w.s.created.Add(lifetime)
		}
	}
	p.v = v
	if sp.expiry > 0 {
		p.expires = now.Add(sp.expiry)
		if w.s != nil && p.expires.After(w.s.created.Add(lifetime)) {
			p.expires = w.s.created.Add(lifetime)
		}
	}
	m.set(w, p)
}

func (m *model) set(w spot, p *place) {
	switch {
	case w.s != nil && p == nil:
		delete(w.s.states, w.sp.name)
	case w.s != nil:
		w.s.states[w.sp.name] = p
	case p == nil:
		delete(m.keyed[w.sp.name], w.key)
	default:
		if m.keyed[w.sp.name] == nil {
			m.keyed[w.sp.name] = map[string]*place{}
		}
		m.keyed[w.sp.name][w.key] = p
	}
}

func (m *model) storesGuests() bool {
	return m.w.ground.guests == guestStored || len(m.w.roles) > 1 && !m.w.ground.sticky
}

// locate says where a module's state is for a session.
func (m *model) locate(s *session, sp *spec) spot {
	own := spot{sp: sp, s: s}
	under := func(key string) spot {
		if key == "" {
			return own
		}
		return spot{sp: sp, key: key}
	}
	switch sp.scope {
	case global:
		return spot{sp: sp}
	case perUser:
		return under(s.user)
	case byUser:
		return under(sp.key(s.user, ""))
	case withKey, byState:
		a := s.keys[sp.name]
		if a == nil || sp.scope == byState && a.logins != s.logins {
			break
		}
		if !a.attached {
			return own
		}
		if w := under(a.key); m.at(w) != nil && m.at(w).birth == a.birth {
			return w
		}
	}
	if sp.scope == byState {
		return under(sp.key(s.user, sp.initial.owner))
	}
	return own
}

// An heir is a state that has expired, whose OnExpire is due.
type heir struct {
	sp   *spec
	v    value
	when time.Time // of its expiry
	must bool      // the hook is to be called; else it may be
	late bool      // a process that does not know the module has swept meanwhile
	told bool
}

// pass notes that a state has gone by expiry; must says whether its hook is to
// be called.
func (m *model) pass(sp *spec, p *place, when time.Time, must bool) {
	if sp.hook && p != nil {
		m.heirs = append(m.heirs, &heir{sp: sp, v: p.v, when: when, must: must && p.stored})
	}
}

// drop notes that a guest's state is out of reach. It may be removed or go with
// its session, and then its hook may hear of it.
func (m *model) drop(s *session, sp *spec) {
	m.pass(sp, s.states[sp.name], m.now(), false)
	delete(s.states, sp.name)
}

// expire takes away what has expired by now.
func (m *model) expire() {
	now := m.now()
	for _, sp := range m.w.specs {
		for key, p := range m.keyed[sp.name] {
			if !p.live(now) {
				m.pass(sp, p, p.expires, true)
				delete(m.keyed[sp.name], key)
			}
		}
		for _, s := range m.sessions {
			p := s.states[sp.name]
			if p == nil {
				continue
			}
			over := s.known && !s.expires.After(now) && !s.ended
			switch {
			case !p.live(now):
				m.pass(sp, p, p.expires, true)
				delete(s.states, sp.name)
			case !s.known && !p.stored && !s.cookieEnd.After(now):
				m.pass(sp, p, s.cookieEnd, false)
				delete(s.states, sp.name)
			case over && !p.side: // a module's own store knows nothing of sessions
				m.pass(sp, p, s.expires, true)
				delete(s.states, sp.name)
				s.left[sp.name] = true
			}
		}
	}
	for _, s := range m.sessions {
		if s.known && !s.expires.After(now) && !s.ended {
			s.over = true
		}
	}
}
