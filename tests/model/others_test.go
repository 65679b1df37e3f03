package model_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay"
)

// keysOf are the keys that a module's states may have.
func keysOf(sp *spec) []string {
	switch sp.scope {
	case perUser:
		return people
	case byUser:
		return []string{"red", "blue"}
	case withKey:
		return []string{"x", "y"}
	case byState:
		if sp.initial.owner != "" {
			return []string{"lobby", "x", "y"}
		}
		keys := []string{":x", ":y"}
		for _, name := range people {
			keys = append(keys, name+":x", name+":y")
		}
		return keys
	}
	return nil
}

// ownerOf is the owner that a state under a key says it has.
func ownerOf(sp *spec, key string) string {
	if !sp.doc() {
		return ""
	}
	return key[strings.LastIndex(key, ":")+1:]
}

// keyStep does something without a session, to the state of one key.
func (w *world) keyStep() {
	i := w.n(len(w.processes))
	sp := w.module(w.processes[i])
	h := w.processes[i].modules[sp.name]
	if !sp.keyed() {
		return
	}
	ctx, key := context.Background(), pick(w.steps, keysOf(sp))
	at := spot{sp: sp, key: key}
	what, fn := w.change(sp)
	w.note("in %d: %s at %s %s", i, sp.name, key, what)
	m, name := w.model, sp.name+" at "+key+" "+what
	// Who makes a state says whose it is.
	makes := func(fn func(value) (value, error)) func(value) (value, error) {
		return func(v value) (value, error) {
			v, err := fn(v)
			if !strings.HasPrefix(what, "owner") && v.owner == sp.initial.owner {
				v.owner = ownerOf(sp, key)
			}
			return v, err
		}
	}
	kept := func(fn func(value) (value, error)) (value, error) {
		return m.change(i, at, func(v value) (value, error) {
			v, err := fn(v)
			if err == nil && sp.scope == withKey && v.owner != key {
				err = stay.ErrInvalid
			}
			return v, err
		})
	}
	switch {
	case what == "get":
		got, err := h.get(ctx, key)
		want, wantErr := w.stored(at)
		w.compare(name, got, err, want, wantErr)
	case what == "delete":
		w.compare(name, value{}, h.del(ctx, key), value{}, nil)
		m.set(at, nil)
	case what == "reset", what == "resetall", what == "do":
		if m.at(at) == nil {
			return // what they make would not say whose it is
		}
		var got value
		var err error
		fn := resets(sp, what == "resetall")
		if what == "do" {
			item := w.item()
			fn = func(v value) (value, error) { return v.with(item), nil }
			got, err = h.do(ctx, key, "add", item)
		} else {
			got, err = h.reset(ctx, key, what == "resetall")
		}
		want, wantErr := kept(fn)
		w.compare(name, got, err, want, wantErr)
	case strings.HasPrefix(what, "owner") && sp.scope == byState:
		// Nobody can tell without a session whether that is its key.
	default:
		got, err := h.update(ctx, key, makes(fn))
		want, wantErr := kept(makes(fn))
		w.compare(name, got, err, want, wantErr)
	}
}

// stored is what At finds.
func (w *world) stored(at spot) (value, error) {
	p := w.model.at(at)
	if p == nil {
		return value{}, stay.ErrNotFound
	}
	return p.v, nil
}

// ofSession is what At with a session's ID finds.
func (w *world) ofSession(sp *spec, s *session) (value, error) {
	if gone, _ := w.model.revoked(s); gone || !s.known || s.over || s.ended {
		return value{}, stay.ErrNotFound
	}
	return w.stored(spot{sp: sp, s: s})
}

// sessionStep changes a session's state by its ID.
func (w *world) sessionStep() {
	if len(w.model.sessions) == 0 {
		return
	}
	i, s := w.n(len(w.processes)), pick(w.steps, w.model.sessions)
	sp := w.module(w.processes[i])
	if sp.scope != perSession || sp.debounce || s.id == "" {
		return
	}
	h, item := w.processes[i].modules[sp.name], w.item()
	w.note("in %d: %s at session %.4s add %s", i, sp.name, s.id, item)
	fn := func(v value) (value, error) { return v.with(item), nil }
	got, err := h.update(context.Background(), s.id, fn)
	_, wantErr := w.ofSession(sp, s)
	gone, _ := w.model.revoked(s)
	if gone || !s.known || s.over || s.ended {
		w.compare(sp.name+" at a session", got, err, value{}, wantErr)
		return
	}
	want, _ := w.model.change(i, spot{sp: sp, s: s}, fn)
	w.compare(sp.name+" at a session", got, err, want, nil)
}

func (w *world) revokeStep() {
	i, name := w.n(len(w.processes)), pick(w.steps, people)
	w.note("in %d: revoke %s", i, name)
	w.compare("revoke", value{}, w.processes[i].app.Revoke(context.Background(), name), value{}, nil)
	w.model.revoke(name)
}

// viewStep does something through a session that App.Sessions yields.
func (w *world) viewStep() {
	i, name := w.n(len(w.processes)), pick(w.steps, people)
	listed := w.model.listed(name)
	if len(listed) == 0 {
		return
	}
	s := pick(w.steps, listed)
	if w.ground.sticky {
		i = s.home
	}
	var view *stay.Session
	for got, err := range w.processes[i].app.Sessions(context.Background(), name) {
		if err != nil {
			w.wrong("sessions of %s: %v", name, err)
			return
		}
		if got.ID() == s.id {
			view = got
		}
	}
	if view == nil {
		w.wrong("the session %s of %s is not listed", s.id, name)
		return
	}
	v := w.through(i, view, s)
	w.note("in %d: the session %.4s of %s", i, s.id, name)
	switch k := w.n(10); {
	case k < 6:
		w.stateOp(v, w.module(v.p))
	case k < 7 && len(s.pending) == 0:
		w.note("  logout")
		v.compare("logout of a view", value{}, view.Logout(v.ctx), value{}, v.setUser(""))
	case k < 8:
		w.note("  renew")
		v.compare("renew of a view", value{}, view.Renew(v.ctx), value{}, v.renew())
	default:
		w.note("  destroy")
		v.compare("destroy of a view", value{}, view.Destroy(v.ctx), value{}, v.destroy())
	}
}

// sweepLag is how long after its expiry every store finds a record.
const sweepLag = time.Minute + time.Second

// sweep has a process look for what has expired.
func (w *world) sweep(i int) {
	w.note("sweep in %d", i)
	p, now := w.processes[i], w.model.now()
	p.door.Sweep()
	p.listed = now
	w.listen()
	for _, h := range w.model.heirs {
		if !h.when.After(now) && !p.role.hears(h.sp) && !w.listsHook(h.sp, now) {
			h.must = false // nobody has run the hook for so long that the states are taken for abandoned
		}
		due := !h.told && !h.when.Add(sweepLag).After(now)
		switch {
		case due && h.must && !h.late && p.role.hears(h.sp):
			w.wrong("OnExpire of %s was not told of %v, which expired at %v", h.sp.name, h.v, h.when.UTC())
			h.told = true
		case h.told || h.when.After(now):
		case !p.role.knows(h.sp):
			h.late = true
		case h.sp.scope == perSession && !p.role.hears(h.sp):
			h.when = now // it may be set aside now, with its session, and stores may find that a minute later
		}
	}
}

// listsHook reports whether the list of modules says surely that a process has the
// hook: it forgets processes that have not been seen for 30 days.
func (w *world) listsHook(sp *spec, now time.Time) bool {
	return slices.ContainsFunc(w.processes, func(p *process) bool {
		return p.role.hears(sp) && now.Sub(p.listed) < 30*24*time.Hour
	})
}

// listen compares what OnExpire was told with what has expired.
func (w *world) listen() {
	w.mu.Lock()
	heard, fails := w.heard, w.fails
	w.heard, w.fails = nil, nil
	w.mu.Unlock()
	for _, t := range heard {
		i := slices.IndexFunc(w.model.heirs, func(h *heir) bool {
			return h.sp == t.sp && h.v.same(t.v) && !h.when.After(w.model.now())
		})
		if i < 0 {
			w.wrong("OnExpire of %s was told of %v in %d, which has not expired", t.sp.name, t.v, t.proc)
			continue
		}
		for _, h := range w.model.heirs {
			if h.sp == t.sp && h.v.same(t.v) {
				h.told = true // of two that are alike, one call is seen for both
			}
		}
	}
	for _, text := range fails {
		w.wrong("%s", text)
	}
}
