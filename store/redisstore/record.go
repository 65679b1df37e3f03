package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/stay-go/stay/store"
)

// A record is a string of bytes: revision and expiry, eight bytes each, where the
// scripts find them; version, eight; the length of meta, four; meta, and value.
// Numbers begin with their highest byte. The expiry is in milliseconds.
const headerSize = 8 + 8 + 8 + 4

// never is the expiry of a record that does not expire. It is no time, since the
// first one that a time.Time can have is later.
const never = math.MinInt64

// errForeign is the cause when something else is stored in the place of a record.
var errForeign = errors.New("a value that is no record")

// appendBody appends what comes after the revision of the record that w puts.
func appendBody(b []byte, w *store.Write) []byte {
	expires := int64(never)
	if !w.Expires.IsZero() {
		expires = w.Expires.UnixMilli()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	b = binary.BigEndian.AppendUint64(b, uint64(w.Version))
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.Meta)))
	b = append(b, w.Meta...)
	return append(b, w.Value...)
}

// bodySize is how many bytes appendBody appends.
func bodySize(w *store.Write) int { return headerSize - 8 + len(w.Meta) + len(w.Value) }

// decode returns the record that text holds. The record shares no memory with
// others.
func decode(key, text string) (store.Record, error) {
	if len(text) < headerSize {
		return store.Record{Key: key}, foreign(key)
	}
	b := []byte(text)
	meta, body := binary.BigEndian.Uint32(b[24:]), b[headerSize:]
	rec := store.Record{
		Key:      key,
		Revision: store.Revision(binary.BigEndian.Uint64(b)),
		Version:  int(int64(binary.BigEndian.Uint64(b[16:]))),
	}
	if rec.Revision == 0 || uint64(meta) > uint64(len(body)) {
		return store.Record{Key: key}, foreign(key)
	}
	if expires := int64(binary.BigEndian.Uint64(b[8:])); expires != never {
		rec.Expires = time.UnixMilli(expires).UTC()
	}
	rec.Meta, rec.Value = body[:meta:meta], body[meta:]
	return rec, nil
}

// foreign does not show the key, which may be somebody's name.
func foreign(key string) error {
	return fmt.Errorf("redisstore: %w: %w under a key of %d bytes", store.ErrCorrupt, errForeign, len(key))
}

// revisionText is a revision as the scripts compare it: "" for none.
func revisionText(rev store.Revision) string {
	if rev == 0 {
		return ""
	}
	return string(binary.BigEndian.AppendUint64(nil, uint64(rev)))
}
