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
	if s.place.rules.Hook == nil || s.Session == "" || s.queued || (s.shown() > 0) == s.met {
		return
	}
	s.queued = true
	t.due = append(t.due, s)
	if t.calling < hooksAtOnce && t.cfg.Go(t.callHooks) {
		t.calling++
	}
}

// callHooks calls hooks until none is due.
func (t *Table) callHooks(ctx context.Context) {
	var done *session
	for {
		s, event, ok := t.next(ctx, done)
		if !ok {
			return
		}
		s.place.rules.Hook(ctx, s.place.Place, s.as, event)
		done = s
	}
}

// next returns the next session that needs a hook, after that of done has
// returned. It reports false if there is none; then the goroutine ends.
func (t *Table) next(ctx context.Context, done *session) (*session, Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if done != nil {
		done.queued = false
		if !done.met {
			t.gone(done)
		}
		t.call(done)
		t.forget(done)
	}
	for len(t.due) > 0 && ctx.Err() == nil {
		s := t.due[0]
		t.due[0] = nil
		t.due = t.due[1:]
		switch here := s.shown() > 0; {
		case here && !s.met:
			s.met, s.as = true, s.Visitor
			if t.back(s) {
				return s, Reconnect, true
			}
			return s, Connect, true
		case !here && s.met:
			s.met, s.as = false, s.Visitor
			return s, Disconnect, true
		}
		s.queued = false
		t.forget(s)
	}
	t.calling--
	return nil, 0, false
}

// gone notes that the session has been there.
func (t *Table) gone(s *session) {
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
