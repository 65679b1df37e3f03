package stay

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/signing"
)

// A keyring signs the cookies of sessions and verifies them: a signing.Ring.
type keyring interface {
	Sign(ctx context.Context, t *signing.Token) (string, error)
	Verify(ctx context.Context, value string) (*signing.Token, error)
}

// newKeys returns the signing keys in the App's store.
func newKeys(a *App) *signing.Keys {
	return signing.New(signing.Config{
		Store: a.backend.Store(), Now: a.opts.Clock, IdleTimeout: a.opts.IdleTimeout, MaxWait: a.opts.MaxWait,
		Begin: func() error {
			if !a.engine.Begin() {
				return closedError("", "sign", nil)
			}
			return nil
		},
		End: a.engine.End,
		Go:  a.engine.Go,
		Failed: func(cause error) error {
			return &Error{Code: signingCode(cause), Phase: "sign", Message: "the signing keys cannot be read", Err: cause}
		},
	})
}

// sweepKeys reads the signing keys again and does what is due of them.
func (a *App) sweepKeys(ctx context.Context) {
	if err := a.keys.Sweep(ctx); err != nil {
		a.report(nil, a.newCall(ctx, "", ""), &Error{Code: signingCode(err), Phase: "sign", Err: err})
	}
}

func signingCode(err error) Code {
	switch {
	case errors.Is(err, signing.ErrUnavailable):
		return ErrUnavailable
	case errors.Is(err, signing.ErrCorrupt):
		return ErrCorrupt
	case errors.Is(err, signing.ErrClosed):
		return ErrClosed
	}
	return ErrInternal
}

// open reads the cookie, or draws an id if there is none that is valid.
func (s *Session) open(ctx context.Context) error {
	if s.opened {
		return nil
	}
	return s.openAt(ctx, s.app.opts.Clock())
}

// openAt is open for whoever has looked at the clock already.
func (s *Session) openAt(ctx context.Context, now time.Time) error {
	if s.opened {
		return nil
	}
	if s.token != "" {
		t, err := s.ring.Verify(ctx, s.token)
		if err != nil {
			return err
		}
		if t != nil && s.take(t, now) {
			s.opened = true
			return nil
		}
	}
	s.draw(now)
	s.opened = true
	return nil
}

func (s *Session) draw(now time.Time) {
	rand.Read(s.id[:])
	s.drawn, s.changed = true, false
	s.gen = 0
	s.created = now.Truncate(time.Second)
	s.idleEnd = time.Time{}
	s.key = keyspace.SessionID(s.id)
}

// unknown reports whether nothing can be stored for the session.
func (s *Session) unknown() bool { return s.drawn && !s.changed }

// take makes the session the one that a token names, unless it is over.
func (s *Session) take(t *signing.Token, now time.Time) bool {
	if !t.IdleEnd.After(now) || !t.Created.Add(s.app.opts.Lifetime).After(now) {
		return false
	}
	s.id, s.key, s.gen, s.created, s.idleEnd = t.ID, t.Key, t.Gen, t.Created, t.IdleEnd
	return true
}

// issue has the response carry a token that is good until the time given.
func (s *Session) issue(ctx context.Context, until time.Time) error {
	until = until.Truncate(time.Second)
	if s.carrier != nil {
		token, err := s.ring.Sign(ctx, &signing.Token{ID: s.id, Gen: s.gen, Created: s.created, IdleEnd: until})
		if err != nil {
			return err
		}
		if !s.carrier.Issue(token, until) {
			return headerSent()
		}
	}
	s.idleEnd = until
	return nil
}
