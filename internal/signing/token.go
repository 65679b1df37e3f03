// Package signing signs the cookies of sessions and verifies them: the form of
// a token, the keys in the store and how they rotate, and what was verified
// before. It knows sessions only as what a token says.
package signing

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
)

// A Token is what the cookie of a session says.
type Token struct {
	ID      [16]byte
	Key     string    // of the session, which follows from ID
	Gen     uint32    // how often the session has been renewed
	Created time.Time // when the session began, in whole seconds
	IdleEnd time.Time // when the cookie ends if it is not used, in whole seconds
}

// Format implements fmt.Formatter: the ID is a secret.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "token of generation %d, until %v", t.Gen, t.IdleEnd)
}

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// What is signed of a token: a format byte, the id, the generation, and in Unix
// seconds when the session began and when the token's idle time ends.
const (
	tokenFormat = 1
	tokenSize   = 1 + 16 + 4 + 8 + 8
)

func appendToken(b []byte, t *Token) []byte {
	b = append(b, tokenFormat)
	b = append(b, t.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, t.Gen)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Created.Unix()))
	return binary.BigEndian.AppendUint64(b, uint64(t.IdleEnd.Unix()))
}

// parseToken returns nil for what is signed but no token.
func parseToken(b []byte) *Token {
	if len(b) != tokenSize || b[0] != tokenFormat {
		return nil
	}
	t := &Token{
		ID:      [16]byte(b[1:]),
		Gen:     binary.BigEndian.Uint32(b[17:]),
		Created: time.Unix(int64(binary.BigEndian.Uint64(b[21:])), 0),
		IdleEnd: time.Unix(int64(binary.BigEndian.Uint64(b[29:])), 0),
	}
	t.Key = keyspace.SessionID(t.ID)
	return t
}
