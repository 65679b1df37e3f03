package presence

import (
	"context"
	"time"
)

// later has a goroutine look at that time.
func (t *Table) later(at time.Time) {
	switch {
	case !t.working:
		t.wakes = at
		t.working = t.cfg.Go(t.work)
	case at.Before(t.wakes):
		t.wakes = at
		select {
		case t.poke <- struct{}{}:
		default:
		}
	}
}

// leastWait is how long the goroutine rests at least: what is due is done
// together.
const leastWait = 20 * time.Millisecond

func (t *Table) work(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, ok := t.look()
		if !ok {
			return
		}
		timer.Reset(max(time.Until(next), leastWait))
		select {
		case <-timer.C:
		case <-t.poke:
		case <-ctx.Done():
			return
		}
	}
}

// look does what is due, and returns when the next is. It reports false if there
// is nothing; then the goroutine ends.
func (t *Table) look() (next time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	first := func(at time.Time) {
		if !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	for s := range t.going {
		if t.pass(s, now); len(s.gone) == 0 {
			delete(t.going, s)
			continue
		}
		first(s.gone[0].until)
	}
	for s := range t.failed {
		if s.again.After(now) {
			first(s.again)
			continue
		}
		delete(t.failed, s)
		t.call(s)
	}
	for p := range t.changed {
		switch at := p.told.Add(p.pace()); {
		case t.places[p.Place] != p: // nobody is there any more
			delete(t.changed, p)
			t.cfg.Changed(p.Place)
		case at.After(now):
			first(at)
		default:
			delete(t.changed, p)
			t.tell(p)
		}
	}
	t.working, t.wakes = ok, next
	return next, ok
}

// pass ends the pages of s that have gone long enough ago.
func (t *Table) pass(s *session, now time.Time) {
	n := 0
	for n < len(s.gone) && !s.gone[n].until.After(now) {
		n++
	}
	if n == 0 {
		return
	}
	s.gone = append(s.gone[:0], s.gone[n:]...)
	t.fewer(s)
}

// call has the hook of a session called, if it needs one.
func (t *Table) call(s *session) {
	if s.place.rules.Hook == nil || s.Session == "" || s.queued || t.failed[s] || !s.needs() {
		return
	}
	s.queued = true
	t.due = append(t.due, s)
	if t.calling < hooksAtOnce && t.cfg.Go(t.callHooks) {
		t.calling++
	}
}

// needs reports whether the session needs a hook.
func (s *session) needs() bool { return (s.shown() > 0) != s.met }

// callHooks calls hooks until none is due.
func (t *Table) callHooks(ctx context.Context) {
	var s *session
	var became Outcome
	for {
		var last bool
		if s, last = t.next(ctx, s, became); s == nil {
			return
		}
		became = s.place.rules.Hook(ctx, s.place.Place, s.as, s.event, last)
	}
}

// next returns the next session that needs a hook, after what became of that of
// done, and whether it is the last try. It is nil if there is none; then the
// goroutine ends.
func (t *Table) next(ctx context.Context, done *session, became Outcome) (s *session, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if done != nil {
		t.done(done, became)
	}
	for len(t.due) > 0 && ctx.Err() == nil {
		s := t.due[0]
		t.due[0] = nil
		t.due = t.due[1:]
		if s.needs() {
			s.met, s.as = !s.met, s.Visitor
			switch {
			case !s.met:
				s.event = Disconnect
			case t.back(s):
				s.event = Reconnect
			default:
				s.event = Connect
			}
			return s, s.tries == hookTries-1
		}
		s.queued, s.tries = false, 0
		t.forget(s)
	}
	t.calling--
	return nil, false
}

// done notes what became of the hook of a session.
func (t *Table) done(s *session, became Outcome) {
	s.queued = false
	if became == Called {
		s.tries = 0
		if s.event == Disconnect {
			t.absent(s)
		}
		t.call(s)
		t.forget(s)
		return
	}
	s.met = !s.met // as it was before
	if s.event == Reconnect {
		t.absent(s)
	}
	switch {
	case !s.needs(): // it has come or gone meanwhile
		s.tries = 0
	case became == Again:
		s.again = time.Now().Add(hookPause << s.tries)
		s.tries++
		t.failed[s] = true
		t.later(s.again)
	default:
		s.tries = 0
		if s.met {
			s.met = false
			t.absent(s)
		}
	}
	t.forget(s)
}

// absent notes that the session has been there.
func (t *Table) absent(s *session) {
	if !s.place.rules.Remembers {
		return
	}
	a := absent{s.place.Place, s.Session}
	t.away[a] = t.left + len(t.order)
	if t.order = append(t.order, a); len(t.order) > maxAway {
		if first := t.order[0]; t.away[first] == t.left {
			delete(t.away, first)
		}
		t.order[0] = absent{}
		t.order = t.order[1:]
		t.left++
	}
}

// back reports whether the session has been there before, and forgets it.
func (t *Table) back(s *session) bool {
	a := absent{s.place.Place, s.Session}
	_, ok := t.away[a]
	delete(t.away, a)
	return ok
}
