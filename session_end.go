package stay

import (
	"context"
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
			s.app.sessions.deleteStates(ctx, s.name(), rec)
		}
		return err
	})
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

func ended() error {
	return &Error{Code: ErrEnded, Phase: "resolve", Message: "the session has ended"}
}
