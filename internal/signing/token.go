// Package signing signs the cookies of sessions and verifies them: the form of
// a token, the keys in the store and how they rotate, and what was verified
// before. It knows sessions only as what a token says.
package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
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

// What is signed of a token begins with one of these bytes and the id. New
// tokens have the short format, of about 46 bytes with the key's id and the
// signature. Those of the long format, of 73 bytes, are read until they have
// expired.
const (
	// longFormat goes on with the generation in 4 bytes, and in Unix seconds of
	// 8 bytes when the session began and when the token's idle time ends. The
	// signature is the whole HMAC.
	longFormat = 1
	// shortFormat goes on with three varints: the generation, in Unix seconds
	// when the session began, and how many seconds later the token's idle time
	// ends. The signature is the first half of the HMAC.
	shortFormat = 2
)

// sumSize returns how many bytes of the HMAC are the signature in a format, 0 if
// there is no such format.
func sumSize(format byte) int {
	switch format {
	case longFormat:
		return sha256.Size
	case shortFormat:
		return sha256.Size / 2
	}
	return 0
}

// A sealed token is the value of a cookie in its parts. None of them is
// verified.
type sealed struct {
	key     [4]byte // the id of the key that is said to have signed it
	payload []byte
	sum     []byte // of a length that follows from the payload's format
}

// maxToken is the most characters that are looked at: clients may send anything.
const maxToken = 512

// split returns the parts of a cookie's value. It reports false if the value has
// the form of no token.
func split(value string) (s sealed, ok bool) {
	if len(value) > maxToken {
		return sealed{}, false
	}
	b, err := strictBase64.DecodeString(value)
	if err != nil || len(b) <= len(s.key) {
		return sealed{}, false
	}
	copy(s.key[:], b)
	b = b[len(s.key):]
	n := len(b) - sumSize(b[0])
	if n <= 0 || n == len(b) {
		return sealed{}, false
	}
	s.payload, s.sum = b[:n], b[n:]
	return s, true
}

// Several forms decode to the same bytes. Only the one that was issued is
// accepted.
var strictBase64 = base64.RawURLEncoding.Strict()

func appendToken(b []byte, t *Token) []byte {
	b = append(b, shortFormat)
	b = append(b, t.ID[:]...)
	created := t.Created.Unix()
	b = binary.AppendUvarint(b, uint64(t.Gen))
	b = binary.AppendVarint(b, created)
	return binary.AppendVarint(b, t.IdleEnd.Unix()-created)
}

// parseToken returns nil for what is signed but no token.
func parseToken(b []byte) *Token {
	t := &Token{}
	if len(b) < 1+len(t.ID) {
		return nil
	}
	copy(t.ID[:], b[1:])
	ok := false
	switch rest := b[1+len(t.ID):]; b[0] {
	case longFormat:
		ok = t.parseLong(rest)
	case shortFormat:
		ok = t.parseShort(rest)
	}
	if !ok {
		return nil
	}
	t.Key = keyspace.SessionID(t.ID)
	return t
}

func (t *Token) parseLong(b []byte) bool {
	if len(b) != 4+8+8 {
		return false
	}
	t.Gen = binary.BigEndian.Uint32(b)
	t.Created = time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0)
	t.IdleEnd = time.Unix(int64(binary.BigEndian.Uint64(b[12:])), 0)
	return true
}

func (t *Token) parseShort(b []byte) bool {
	gen, n := binary.Uvarint(b)
	if n <= 0 || gen > math.MaxUint32 {
		return false
	}
	b = b[n:]
	created, n := binary.Varint(b)
	if n <= 0 {
		return false
	}
	b = b[n:]
	lasts, n := binary.Varint(b)
	if n <= 0 || n != len(b) {
		return false
	}
	t.Gen, t.Created, t.IdleEnd = uint32(gen), time.Unix(created, 0), time.Unix(created+lasts, 0)
	return true
}
