package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// maxSimpleKey is the greatest length of a name that spells out its key.
const maxSimpleKey = 200

// simpleKey returns the name under which a record is saved. Bytes other than
// a-z, 0-9, "-", "_" and an inner dot are written as "=" and two hexadecimal
// digits, so no two keys share a name. A name that would be too long is
// replaced by "=sha256-" and the SHA-256 of its key; that is not a valid
// escape.
func simpleKey(key string) string {
	if len(key) <= maxSimpleKey {
		var b strings.Builder
		for i := range len(key) {
			c := key[i]
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_',
				c == '.' && i > 0 && i < len(key)-1:
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "=%02x", c)
			}
		}
		if b.Len() <= maxSimpleKey {
			return b.String()
		}
	}
	sum := sha256.Sum256([]byte(key))
	return "=sha256-" + hex.EncodeToString(sum[:])
}

// An envelope is the first line of a saved value.
type envelope struct {
	Format   int      `json:"stay"`
	Revision Revision `json:"rev"`
	// Key is set only if the name does not contain the key.
	Key     []byte `json:"key,omitempty"`
	Expires *int64 `json:"expires,omitempty"` // milliseconds since 1970
	Version int    `json:"version,omitempty"`
	Meta    []byte `json:"meta,omitempty"`
}

// envelopeFormat is the format that is written, and the only one that is read.
const envelopeFormat = 1

// named returns the Key of the envelope for a key, nil if the name contains it.
func named(key string) []byte {
	if strings.HasPrefix(simpleKey(key), "=sha256-") {
		return []byte(key)
	}
	return nil
}

func encodeEnvelope(w *Write, rev Revision) []byte {
	e := envelope{Format: envelopeFormat, Revision: rev, Key: named(w.Key), Version: w.Version, Meta: w.Meta}
	if !w.Expires.IsZero() {
		// Truncate the time and not the number, to round down before 1970.
		ms := w.Expires.Truncate(time.Millisecond).UnixMilli()
		e.Expires = &ms
	}
	line, err := json.Marshal(e)
	if err != nil {
		// Numbers and bytes always marshal.
		panic("store: simple: " + err.Error())
	}
	line = append(line, '\n')
	return append(line, w.Value...)
}

// decodeEnvelope returns the record that raw holds; nil is an absent one. Bytes
// that are not an envelope become a record with all of raw as its value:
// decoding it fails, and nobody replaces it as if it were absent.
func decodeEnvelope(key string, raw []byte) Record {
	if raw == nil {
		return Record{Key: key}
	}
	line, value, ok := bytes.Cut(raw, []byte{'\n'})
	var e envelope
	if !ok || json.Unmarshal(line, &e) != nil ||
		e.Format != envelopeFormat || e.Revision == 0 || e.Revision > math.MaxInt64 || !bytes.Equal(e.Key, named(key)) {
		return Record{Key: key, Revision: 1, Value: raw}
	}
	rec := Record{Key: key, Revision: e.Revision, Value: value, Meta: e.Meta, Version: e.Version}
	if e.Expires != nil {
		rec.Expires = time.UnixMilli(*e.Expires)
	}
	return rec
}
