package stay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// open reads the cookie, or draws an id if there is none that is valid.
func (s *Session) open(ctx context.Context) error {
	if s.opened {
		return nil
	}
	if s.token != "" {
		payload, ok, err := s.ring.Verify(ctx, s.token, s.raw[:])
		if err != nil {
			return err
		}
		if ok && s.read(payload) {
			s.opened = true
			return nil
		}
	}
	s.draw()
	s.opened = true
	return nil
}

func (s *Session) draw() {
	rand.Read(s.id[:])
	s.drawn, s.changed = true, false
	s.gen = 0
	s.created = s.app.opts.Clock().Truncate(time.Second)
	s.idleEnd = time.Time{}
	s.setKey()
}

// unknown reports whether nothing can be stored for the session.
func (s *Session) unknown() bool { return s.drawn && !s.changed }

func (s *Session) setKey() {
	sum := sha256.Sum256(s.id[:])
	s.key = idEncoding.EncodeToString(sum[:20])
}

// The payload of a token: a format byte, the id, the generation, and in Unix
// seconds when the session began and when the token's idle time ends.
const (
	tokenFormat = 1
	tokenSize   = 1 + 16 + 4 + 8 + 8
)

// read takes over what a signed token says, unless it is over.
func (s *Session) read(payload []byte) bool {
	if len(payload) != tokenSize || payload[0] != tokenFormat {
		return false
	}
	copy(s.id[:], payload[1:])
	s.gen = binary.BigEndian.Uint32(payload[17:])
	s.created = time.Unix(int64(binary.BigEndian.Uint64(payload[21:])), 0)
	s.idleEnd = time.Unix(int64(binary.BigEndian.Uint64(payload[29:])), 0)
	now := s.app.opts.Clock()
	if !s.idleEnd.After(now) || !s.created.Add(s.app.opts.Lifetime).After(now) {
		return false
	}
	s.setKey()
	return true
}

// issue has the response carry a token that is good until the time given.
func (s *Session) issue(ctx context.Context, until time.Time) error {
	until = until.Truncate(time.Second)
	if s.carrier != nil {
		b := make([]byte, 0, tokenSize)
		b = append(b, tokenFormat)
		b = append(b, s.id[:]...)
		b = binary.BigEndian.AppendUint32(b, s.gen)
		b = binary.BigEndian.AppendUint64(b, uint64(s.created.Unix()))
		b = binary.BigEndian.AppendUint64(b, uint64(until.Unix()))
		token, err := s.ring.Sign(ctx, b)
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
