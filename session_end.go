package stay

import (
	"context"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// Renew gives the session a new cookie and refuses the old one from now on,
// as must be done whenever the rights of a session change. The state stays.
// It fails with ErrEnded when the session was ended or renewed meanwhile, with
// ErrInternal when the response's header was already written or the session is
// one of [App.Sessions], and with ErrNested inside a change of state.
func (s *Session) Renew(ctx context.Context) error {
	return s.observer().verb(ctx, "renew", func(ctx context.Context) error {
		if err := s.verb(ctx); err != nil {
			return err
		}
		unsigned, err := s.renew(ctx)
		s.app.sessions.reportUnsigned(ctx, unsigned)
		return err
	})
}

// renew is Renew; unsigned says why the new cookie could not be issued.
func (s *Session) renew(ctx context.Context) (unsigned, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.takesCookie(true); err != nil {
		return nil, err
	}
	if s.gone {
		return nil, ended()
	}
	if s.drawn && !s.carried {
		return nil, nil // nobody knows the id yet
	}
	if err := s.valid(ctx); err != nil {
		return nil, err
	}
	if err := s.takesCookie(false); err != nil {
		return nil, err
	}
	s.changed = true
	rec, err := s.app.sessions.change(ctx, s.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = s.app.sessions.record(s.created, s.idleEnd, now)
			rec.Gen = s.gen
		}
		if ok, _ := s.matches(rec); !ok {
			return nil, ended()
		}
		rec.Gen++
		rec.event().Renewed = now.UnixMilli()
		rec.Expires = max(rec.Expires, s.idleEnd.UnixMilli())
		s.app.sessions.slide(rec, now)
		return rec, nil
	})
	if err != nil {
		return nil, err
	}
	return s.follow(ctx, s.gen, rec), nil
}

// valid fails with ErrEnded if the session has ended, or its user has revoked
// it.
func (s *Session) valid(ctx context.Context) error {
	now := s.app.opts.Clock()
	v, asked, err := s.app.sessions.fresh(ctx, s.key, now)
	if err != nil {
		return err
	}
	s.asked = asked
	switch ok, _, err := s.stands(ctx, v.Value.(*sessionRecord), now); {
	case err != nil:
		return err
	case !ok:
		return ended()
	}
	return nil
}

// Destroy ends the session: no request that begins afterwards reads or changes
// anything through it, its states are deleted, and the browser's cookie is
// cleared, if s is the session of its request and the response's header is not
// written yet. A request that is under way may finish on states that exist, but
// creates none. A state that cannot be deleted before ctx ends is out of reach
// all the same and goes a while later, in a store with Features.Expire.
// Destroying a session twice does nothing.
// It fails with ErrNested inside a change of state.
func (s *Session) Destroy(ctx context.Context) error {
	return s.observer().verb(ctx, "destroy", func(ctx context.Context) error {
		if err := s.verb(ctx); err != nil {
			return err
		}
		rec, err := s.end(ctx)
		if rec != nil {
			s.app.sessions.deleteStates(ctx, s.key, rec)
		}
		return err
	})
}

// end makes the session one that has ended. It returns its record if there may
// be states left to be deleted.
func (s *Session) end(ctx context.Context) (rec *sessionRecord, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if s.unknown() && (s.carrier == nil || s.carrier.Open()) || s.gone {
		s.gone = true
		if s.carried && s.carrier != nil {
			s.carrier.Issue("", time.Time{}) // in place of the one that was not sent yet
		}
		return nil, nil
	}
	s.changed = true
	// What memory has of a session that another process has renewed would
	// refuse the cookie. The user's record plays no part: it may be unreadable.
	now := s.app.opts.Clock()
	if err := s.app.sync(ctx, engine.Ref{Kind: s.app.sessions.kind, Key: s.key, Now: now}); err != nil {
		return nil, s.app.sessions.error(err, s.key)
	}
	already := false
	rec, err = s.app.sessions.change(ctx, s.key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = s.app.sessions.record(s.created, s.idleEnd, now)
			rec.Gen = s.gen
		}
		if already = rec.past().Ended != 0; already {
			return rec, nil
		}
		if ok, _ := s.matches(rec); !ok {
			return nil, ended()
		}
		// The tombstone stays until no cookie of the session can be valid,
		// those included that are issued at this moment.
		rec.event().Ended = now.UnixMilli()
		rec.Expires = max(rec.Expires, s.idleEnd.UnixMilli(), now.Add(s.app.opts.IdleTimeout+quietFor).UnixMilli())
		return rec, nil
	})
	if err != nil {
		return nil, err
	}
	s.carried = true
	if !already {
		s.app.observer.measure(Measurement{Name: sessionsEnded, Value: 1})
	}
	// Where it had ended before, the browser may have another session by now.
	if s.carrier != nil && !already {
		s.carrier.Issue("", time.Time{})
	}
	return rec, nil
}

// observer returns the App's; nil for no session, whose changes are refused.
func (s *Session) observer() *observer {
	if s == nil {
		return nil
	}
	return s.app.observer
}

// verb checks what all changes of a session have in common.
func (s *Session) verb(ctx context.Context) error {
	if s == nil {
		return &Error{Code: ErrNoSession, Phase: "resolve"}
	}
	if nested(ctx) {
		return nestedError("")
	}
	return nil
}

// takesCookie fails if the session's browser cannot be given a new cookie, which
// would sign it out: its old one would be refused. A session without a browser
// may keep the one it has, where the change is one that keeps allows.
func (s *Session) takesCookie(keeps bool) error {
	switch {
	case s.carrier == nil && !keeps:
		return &Error{Code: ErrInternal, Phase: "resolve", KeyHash: keyHash(s.key), Err: errNoBrowser}
	case s.carrier != nil && !s.carrier.Open():
		return headerSent()
	}
	return nil
}

// name is the key of the session's states, whether it stands or not.
func (s *Session) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

func ended() error {
	return &Error{Code: ErrEnded, Phase: "resolve", Message: "the session has ended"}
}

func headerSent() error {
	return &Error{Code: ErrInternal, Phase: "resolve", Err: errHeaderSent}
}
