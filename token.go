package stay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/internal/keyspace"
)

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
func (s *Session) take(t *bridge.Token, now time.Time) bool {
	if !t.IdleEnd.After(now) || !t.Created.Add(s.app.opts.Lifetime).After(now) {
		return false
	}
	s.id, s.key, s.gen, s.created, s.idleEnd = t.ID, t.Key, t.Gen, t.Created, t.IdleEnd
	return true
}

// What is signed of a token: a format byte, the id, the generation, and in Unix
// seconds when the session began and when the token's idle time ends.
const (
	tokenFormat = 1
	tokenSize   = 1 + 16 + 4 + 8 + 8
)

func appendToken(b []byte, t *bridge.Token) []byte {
	b = append(b, tokenFormat)
	b = append(b, t.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, t.Gen)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Created.Unix()))
	return binary.BigEndian.AppendUint64(b, uint64(t.IdleEnd.Unix()))
}

// parseToken returns nil for what is signed but no token.
func parseToken(b []byte) *bridge.Token {
	if len(b) != tokenSize || b[0] != tokenFormat {
		return nil
	}
	t := &bridge.Token{
		ID:      [16]byte(b[1:]),
		Gen:     binary.BigEndian.Uint32(b[17:]),
		Created: time.Unix(int64(binary.BigEndian.Uint64(b[21:])), 0),
		IdleEnd: time.Unix(int64(binary.BigEndian.Uint64(b[29:])), 0),
	}
	t.Key = keyspace.SessionID(t.ID)
	return t
}

// issue has the response carry a token that is good until the time given.
func (s *Session) issue(ctx context.Context, until time.Time) error {
	until = until.Truncate(time.Second)
	if s.carrier != nil {
		token, err := s.ring.Sign(ctx, &bridge.Token{ID: s.id, Gen: s.gen, Created: s.created, IdleEnd: until})
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
