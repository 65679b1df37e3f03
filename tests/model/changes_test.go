package model_test

import (
	"slices"

	"github.com/stay-go/stay"
)

// read is Get by a request.
func (r *request) read(sp *spec) value {
	if sp.scope == global {
		return r.m.value(spot{sp: sp})
	}
	if !r.use() {
		return sp.initial
	}
	r.m.take(r.proc, r.s, sp)
	return r.m.value(r.m.locate(r.s, sp))
}

// change is Update by a request, and what else changes a state.
func (r *request) change(sp *spec, fn func(value) (value, error)) (value, error) {
	m := r.m
	if sp.scope == global {
		return m.change(r.proc, spot{sp: sp}, fn)
	}
	if !r.use() {
		return value{}, stay.ErrEnded
	}
	r.changed = true
	m.take(r.proc, r.s, sp)
	w := m.locate(r.s, sp)
	before := m.value(w)
	after, err := fn(before)
	if err != nil || after.same(before) {
		return after, err
	}
	if sp.doc() {
		from := w.key
		if to := sp.key(r.s.user, after.owner); to != from {
			return r.move(sp, w, to, after)
		}
	}
	if m.at(w) == nil && (w.s == nil || sp.scope == perSession || m.storesGuests()) {
		m.record(r.s, r.idleEnd)
	}
	m.put(r.proc, w, after)
	return after, nil
}

// change changes what is in a spot, whoever asks.
func (m *model) change(proc int, w spot, fn func(value) (value, error)) (value, error) {
	before := m.value(w)
	after, err := fn(before)
	if err == nil && !after.same(before) {
		m.put(proc, w, after)
	}
	return after, err
}

// remove is Delete by a request.
func (r *request) remove(sp *spec) error {
	if sp.scope == global {
		r.m.set(spot{sp: sp}, nil)
		return nil
	}
	if !r.use() {
		return stay.ErrEnded
	}
	r.changed = true
	r.m.take(r.proc, r.s, sp)
	r.m.set(r.m.locate(r.s, sp), nil)
	return nil
}

// move moves the session to the key of what a change has left.
func (r *request) move(sp *spec, from spot, to string, left value) (value, error) {
	m, s := r.m, r.s
	target := spot{sp: sp, key: to}
	v := sp.initial
	var err error
	switch there := m.at(target); {
	case to == "":
		v.owner = left.owner
	case from.key == "" && there == nil:
		v = left
		m.put(r.proc, target, v)
	default:
		v = m.value(target)
		v.owner = left.owner
		if from.key == "" {
			if v, err = sp.adopt.into(v, left); err != nil {
				return value{}, err
			}
		}
		if there == nil || !v.same(there.v) {
			m.put(r.proc, target, v)
		}
	}
	r.moving()
	a := &attachment{attached: to != "", key: to, logins: s.logins}
	if to != "" {
		a.birth = m.at(target).birth
	}
	s.keys[sp.name] = a
	delete(s.states, sp.name)
	r.follow()
	return v, nil
}

// setUser is Login, and Logout with "".
func (r *request) setUser(name string) error {
	m := r.m
	if name == "" && (r.open2() && r.drawn && !r.changed) {
		return nil
	}
	if !r.use() {
		if r.join(name) {
			return nil
		}
		if name == "" || r.fixed || r.carried && !r.destroyed {
			return stay.ErrEnded
		}
		// A login begins another session, whose cookie comes with it.
		r.draw()
		r.gone, r.destroyed, r.carried = false, false, true
	}
	s := r.s
	if name == "" && s.user == "" {
		return nil
	}
	r.changed = true
	for _, sp := range m.w.specs {
		m.take(r.proc, s, sp)
	}
	if err := m.adopts(r.proc, s, name); err != nil {
		return err
	}
	r.moving()
	if u := m.users[s.user]; u != nil {
		u.sessions = slices.DeleteFunc(u.sessions, func(o *session) bool { return o == s })
	}
	if name != s.user {
		m.handOver(r.proc, s, name)
		s.logins++
	}
	if s.user = name; name != "" {
		u := m.users[name]
		if u == nil {
			u = &user{epoch: 1}
			m.users[name] = u
		}
		u.sessions = slices.DeleteFunc(u.sessions, func(o *session) bool { return o == s || !o.created.Add(lifetime).After(m.now()) })
		u.sessions = append(u.sessions, s)
		s.epoch, s.login = u.epoch, s.gen
	}
	r.follow()
	return nil
}

func (r *request) open2() bool {
	r.open()
	return true
}

// join is the same login once more, with the cookie that the first replaced.
func (r *request) join(name string) bool {
	s := r.s
	if name == "" || r.gone || r.fixed || r.drawn || !s.known || s.over {
		return false
	}
	if s.user != name || s.ended || s.gen != r.gen+1 || s.login != s.gen || r.m.now().Sub(s.renewed) >= quiet {
		return false
	}
	if gone, _ := r.m.revoked(s); gone {
		return false
	}
	r.follow()
	return true
}

// keyOf is the key that a guest of nobody goes to with a login.
func (sp *spec) keyOf(user string) string {
	switch sp.scope {
	case perUser:
		return user
	case byUser:
		return sp.key(user, "")
	}
	return ""
}

// adopts asks each Adopt that a login would, for one that refuses.
func (m *model) adopts(proc int, s *session, name string) error {
	for _, sp := range m.w.specs {
		if sp.adopt != picky || s.user != "" || name == "" || !m.w.roles[proc].knows(sp) {
			continue
		}
		guest, there := m.at(spot{sp: sp, s: s}), m.at(spot{sp: sp, key: sp.keyOf(name)})
		if guest != nil && there != nil {
			if _, err := sp.adopt.into(there.v, guest.v); err != nil {
				return err
			}
		}
	}
	return nil
}

// handOver does what a change of the user does to the session's guests.
func (m *model) handOver(proc int, s *session, name string) {
	for _, sp := range m.w.specs {
		if !sp.guests() {
			continue
		}
		knows := m.w.roles[proc].knows(sp)
		guest := m.locate(s, sp).s != nil
		to := sp.keyOf(name)
		moves := sp.scope == perUser || sp.scope == byUser
		switch {
		case s.user != "" || !guest:
			m.drop(s, sp)
		case to == "":
			// It goes along, to the user's own guest.
		case !knows:
			s.pending[sp.name] = true
		case !moves:
			// The guest stays as it is.
		default:
			m.adopt(proc, s, sp, to)
		}
	}
}

// adopt brings a guest's state into that of a key.
func (m *model) adopt(proc int, s *session, sp *spec, key string) {
	guest := m.at(spot{sp: sp, s: s})
	delete(s.states, sp.name)
	if guest == nil {
		return
	}
	target := spot{sp: sp, key: key}
	there := m.at(target)
	if there == nil {
		m.put(proc, target, guest.v)
		return
	}
	v, _ := sp.adopt.into(there.v, guest.v)
	if !v.same(there.v) {
		m.put(proc, target, v)
	}
}

// take takes the guest's state along that a login in a process had to leave
// which does not know the module.
func (m *model) take(proc int, s *session, sp *spec) {
	if s.pending[sp.name] && m.w.roles[proc].knows(sp) {
		delete(s.pending, sp.name)
		m.adopt(proc, s, sp, sp.keyOf(s.user))
	}
}

// load is what a page load does.
func (r *request) load() {
	r.open()
	if r.drawn || r.gone {
		return
	}
	if ok, _ := r.stands(); !ok {
		return
	}
	for _, sp := range r.m.w.specs {
		if sp.pageReset && r.m.w.roles[r.proc].knows(sp) {
			_, _ = r.change(sp, resets(sp, false))
		}
	}
}

// resets is what Reset and ResetAll make of a value.
func resets(sp *spec, all bool) func(value) (value, error) {
	return func(v value) (value, error) {
		out := sp.initial
		out.owner = v.owner
		if !all {
			out.kept = v.kept
		}
		return out, nil
	}
}
