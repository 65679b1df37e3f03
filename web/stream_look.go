package web

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/sse"
)

// A verdict is what a look says of the stream.
type verdict uint8

const (
	good   verdict = iota
	gone           // the session is over at the first look, and the page gets what everybody gets
	ended          // the session has come to an end
	closed         // the App is closed, or cannot say whose stream it is: the client is to come back
	over           // nothing more is to be sent
)

// look fills in the parts whose bytes are different from those that the page has.
// All are looked at before anything is sent.
func (s *stream) look(news *[maxParts]*rendering) (verdict, error) {
	v := good
	s.retry = false
	if s.attends {
		switch err := s.follower.Attend(); {
		case err == nil:
		case s.opened && errors.Is(err, stay.ErrEnded):
			return ended, nil
		case s.opened: // nobody knows whether the page may still have what is new
			s.retry = true
			return good, nil
		case errors.Is(err, stay.ErrEnded): // already, or since it was asked: what it may see is decided anew
			if err := s.locate(); err != nil {
				return over, err
			}
			s.attends = false
		default:
			switch stay.CodeOf(err) {
			case stay.ErrClosed, stay.ErrUnavailable, stay.ErrBusy:
				return closed, nil
			}
			return over, err
		}
	}
	for i := range s.parts {
		p := &s.parts[i]
		r, first, err := s.lookAt(i, &v)
		if s.r.Context().Err() != nil {
			return over, s.r.Context().Err()
		}
		if err == nil {
			if p.failed = false; r != nil && r.print != s.have[i] {
				news[i] = r
			}
			continue
		}
		switch code := stay.CodeOf(err); code {
		case stay.ErrClosed:
			return closed, nil
		case stay.ErrCorrupt:
		case stay.ErrUnavailable, stay.ErrBusy, stay.ErrInternal, stay.ErrUnknown, stay.ErrTooLarge:
			s.retry = true
		default:
			switch {
			case !s.opened:
				return over, err
			case p.looks != nil || code == stay.ErrEnded:
				return ended, nil // the client comes back, and is told
			}
		}
		if !p.failed || first {
			p.failed = true
			s.report(i, err)
		}
	}
	s.forget()
	if !s.opened {
		s.begun()
	}
	return v, nil
}

// forget ends to follow what no part has looked at. A function that could not read
// something may not have come to the rest of what its page shows, so all of that is
// followed until none has failed.
func (s *stream) forget() {
	switch {
	case !s.asks:
	case slices.ContainsFunc(s.parts, func(p followedPart) bool { return p.looks != nil && p.looks.failed() }):
		s.kept = true
	default:
		s.follower.Forget()
		if s.kept { // this has left nothing that was looked at meanwhile: the next time does
			s.kept, s.retry = false, true
		}
	}
}

// lookAt returns what a part shows now, nil if that is what it has shown before. It
// sets v to gone if the session is over.
func (s *stream) lookAt(i int, v *verdict) (r *rendering, first bool, err error) {
	p := &s.parts[i]
	if p.looks != nil {
		r, first, err = p.looks.run(i)
		if p.looks.gone {
			*v = gone
		}
		return r, first, err
	}
	sight, err := s.follower.Look(p.core)
	if errors.Is(err, stay.ErrEnded) && !s.opened {
		*v = gone
		sight.Value, err = p.core.Initial(s.r.Context())
	}
	if err != nil || !sight.Version.None() && sight.Version == p.seen {
		return nil, false, err
	}
	return s.rendering(i, sight), false, nil
}

// rendering returns a version of a part, or nil if it failed, which is reported:
// the page keeps what it has.
func (s *stream) rendering(i int, sight access.Sight) *rendering {
	p := &s.live.parts[i]
	if p.own || sight.Version.None() {
		return s.ownRendering(i, sight)
	}
	key := renderKey{i, s.dialect, sight.Version}
	if p.data {
		key.dialect = sse.Plain
	}
	r, first, err := s.live.rendered.get(s.r.Context(), key, s.settings.live.Heartbeat, func(to *rendering) {
		p.fill(to, s.settings, s.r, s.dialect, sight.Value)
	})
	if first {
		s.report(i, err)
	}
	if err != nil {
		s.retry = true // it may have failed for a reason beside the state
		return nil
	}
	s.parts[i].seen = sight.Version
	return r
}

// ownRendering is rendering for a part that no other stream has. One that fails is
// tried again as often as the others are.
func (s *stream) ownRendering(i int, sight access.Sight) *rendering {
	f := &s.parts[i]
	known := !sight.Version.None() && sight.Version == f.broken
	if known && f.again.After(time.Now()) {
		s.retry = true
		return nil
	}
	r := new(rendering)
	s.live.parts[i].fill(r, s.settings, s.r, s.dialect, sight.Value)
	if r.err == nil {
		f.seen, f.broken = sight.Version, access.Version{}
		return r
	}
	if !known {
		s.report(i, r.err)
	}
	s.retry = true // it may have failed for a reason beside the state
	f.broken, f.again = sight.Version, time.Now().Add(s.settings.live.Heartbeat)
	return nil
}

// report logs why a part stays as it is on the page. Many streams may fail at once:
// only some of them are logged.
func (s *stream) report(i int, err error) {
	ok, leftOut := s.settings.crowds.Take(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("part", s.live.parts[i].id), slog.String("code", string(stay.CodeOf(err)))}
	if core := s.parts[i].core; core != nil {
		attrs = append(attrs, slog.String("module", core.Name()))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	s.settings.logger().LogAttrs(s.r.Context(), slog.LevelError, "stay: a part of a live page stays as it is, because it could not be read or rendered",
		append(attrs, slog.Any("error", err))...)
}
