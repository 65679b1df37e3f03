package sweep

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// unreadTime is after how long a record that could not be read is tried again.
const unreadTime = time.Hour

// aside returns the writes that set a record aside. There it expires at the
// given time, and a sweep finds it. A record that was set aside before stays
// where it is.
//
// A key that is used again before the sweep has come has its expired record set
// aside. So has a record that cannot be read when it expires: there it does not
// block the key, and is tried again from time to time.
func aside(rec *store.Record, expires time.Time) store.Group {
	put := store.Write{
		Op: store.Put, Key: rec.Key,
		Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: expires,
	}
	if keyspace.IsAside(rec.Key) {
		put.Base = rec.Revision
		return store.Group{put}
	}
	put.Key = keyspace.Aside(rec.Key, asideNumber(rec))
	return store.Group{{Op: store.Delete, Key: rec.Key, Base: rec.Revision}, put}
}

// asideNumber tells the records apart that are set aside from one key. The
// revision alone does not: after a copy to another store, revisions begin anew,
// and what was set aside before the copy is still there.
func asideNumber(rec *store.Record) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(rec.Meta)
	_ = binary.Write(h, binary.BigEndian, uint64(rec.Revision))
	return h.Sum64()
}

// SetAside sets a record aside with its old expiry. If somebody else was quicker,
// it does nothing.
func SetAside(ctx context.Context, s store.Store, rec *store.Record) error {
	res := s.Commit(ctx, []store.Group{aside(rec, rec.Expires)})
	if len(res) != 1 {
		return ErrSilent
	}
	if r := res[0]; r.Outcome != store.Applied && r.Outcome != store.Conflict {
		return fmt.Errorf("an expired record could not be moved out of the way: %w", cmp.Or(r.Err, ErrSilent))
	}
	return nil
}
