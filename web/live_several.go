package web

import "time"

// A pageKey names the streams of which one session has one: see [Several].
type pageKey struct {
	live    *live
	keys    string // of its parts
	session string
}

// reloadTime is how long a stream waits for the one before to end. If its page is
// loaded again, the end of the old connection may be seen after the new request.
const reloadTime = 3 * time.Second

// alone claims the place of the stream among those of its session. It reports false
// if another one has it. A session that has no cookie yet has no other streams.
func (s *stream) alone() bool {
	if s.settings.live.Several == AllowMultiple {
		return true
	}
	session, err := s.live.app.SessionOf(s.r.Context())
	if err != nil || session == "" {
		return true // the first look tells why
	}
	if s.settings.live.Several == KickOld {
		s.claim(session)
		return true
	}
	timer := time.NewTimer(reloadTime)
	defer timer.Stop()
	for {
		other := s.claim(session)
		if other == nil {
			return true
		}
		select {
		case <-other.left:
		case <-timer.C:
			return false
		case <-s.down.Done():
			return true // and it ends at once
		case <-s.live.app.Ending().Done():
			return true
		case <-s.r.Context().Done():
			return true
		}
	}
}

// claim claims the place of the stream among those of a session, by the policy. It
// returns the seat that has it, if that may keep it.
func (s *stream) claim(session string) (other *seat) {
	t, key := &s.settings.streams, pageKey{s.live, s.keys, session}
	policy := s.settings.live.Several
	if policy == AllowMultiple || s.seat.page == key {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if all := t.byPage[key]; policy == RejectNew && len(all) > 0 {
		return all[0]
	}
	for _, old := range t.byPage[key] {
		old.tell(goodBye)
	}
	if t.byPage == nil {
		t.byPage = map[pageKey][]*seat{}
	}
	s.seat.page = key
	t.byPage[key] = append(t.byPage[key], s.seat)
	return nil
}

// stop ends the stream, and has the client stay away. It returns false.
func (s *stream) stop() bool {
	s.write(s.dialect.AppendStop(nil))
	return false
}
