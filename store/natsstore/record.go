package natsstore

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/stay-go/stay/store"
)

// format is the first byte of a record.
const format = 1

// never is the expiry of a record that does not expire. It is no time, since the
// first one that a time.Time can have is later.
const never = math.MinInt64

// revisionOf is the revision of the record that is in the message seq. Odd revisions
// do not exist: somebody who counts up one cannot hit the mark that came after it,
// whose number the server would take for what a write replaces.
func revisionOf(seq uint64) store.Revision { return store.Revision(2 * seq) }

// messageOf is the number of the message with a record; ok is false if there cannot be
// one.
func messageOf(rev store.Revision) (seq uint64, ok bool) { return uint64(rev) / 2, rev%2 == 0 }

// encode returns the record that w puts, as it is in a message: its format, version,
// expiry in milliseconds and the length of meta, all as varints, then meta and value.
// The message of a deletion is empty.
func encode(w *store.Write) []byte {
	expires := int64(never)
	if !w.Expires.IsZero() {
		expires = w.Expires.UnixMilli()
	}
	b := make([]byte, 0, 1+3*binary.MaxVarintLen64+len(w.Meta)+len(w.Value))
	b = append(b, format)
	b = binary.AppendVarint(b, int64(w.Version))
	b = binary.AppendVarint(b, expires)
	b = binary.AppendUvarint(b, uint64(len(w.Meta)))
	b = append(b, w.Meta...)
	return append(b, w.Value...)
}

// decode returns the record that is in the message seq. It keeps b.
func decode(key string, seq uint64, b []byte) (store.Record, error) {
	if len(b) == 0 || b[0] != format {
		return store.Record{Key: key}, foreign(key)
	}
	b = b[1:]
	version, n := binary.Varint(b)
	if n <= 0 {
		return store.Record{Key: key}, foreign(key)
	}
	b = b[n:]
	expires, n := binary.Varint(b)
	if n <= 0 {
		return store.Record{Key: key}, foreign(key)
	}
	b = b[n:]
	meta, n := binary.Uvarint(b)
	if n <= 0 || meta > uint64(len(b)-n) {
		return store.Record{Key: key}, foreign(key)
	}
	b = b[n:]
	rec := store.Record{Key: key, Revision: revisionOf(seq), Version: int(version), Meta: b[:meta:meta], Value: b[meta:]}
	if expires != never {
		rec.Expires = time.UnixMilli(expires).UTC()
	}
	return rec, nil
}

// foreign does not show the key, which may be somebody's name.
func foreign(key string) error {
	return fmt.Errorf("natsstore: %w: %w, under a key of %d bytes", store.ErrCorrupt, errForeign, len(key))
}
