package sweep

import (
	"context"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// tombstoneTime is for how long a tombstone of a record stays at least: longer
// than the creation of that record may be in doubt, and longer than the clocks of
// nodes differ.
const tombstoneTime = 2 * time.Minute

// removeTombstones removes those whose time is over, and returns the other
// records. What a tombstone stands for was deleted, and has not expired, so its
// owner hears nothing.
func (s *pass) removeTombstones(ctx context.Context, now time.Time, recs []store.Record) []store.Record {
	until := now.Add(-max(tombstoneTime, 4*s.CommitTimeout))
	var groups []store.Group
	recs = slices.DeleteFunc(recs, func(rec store.Record) bool {
		if !meta.Deleted(rec.Meta) {
			return false
		}
		if rec.Expired(until) {
			groups = append(groups, store.Group{{Op: store.Delete, Key: rec.Key, Base: rec.Revision}})
		}
		return true
	})
	for i, res := range s.commit(ctx, groups) {
		switch res.Outcome {
		case store.Applied:
			delete(s.stuck, groups[i][0].Key)
			s.removed = true
		case store.Conflict: // somebody has created the state again
		default:
			s.fail(res.Err)
		}
	}
	return recs
}
