package sweep

import (
	"context"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// hintTime is how long the hint of a node that died keeps the others from
// sweeping: longer than a batch of hooks takes.
const hintTime = 2 * time.Minute

// A hint is a record that says that a node sweeps. Without it the nodes of a
// store that sweep at the same time take the same records, and most of what
// they do is in vain. It is no more than a hint, and nothing depends on it: two
// nodes may sweep at once, because of their clocks or of an answer that was lost.
type hint struct {
	rev     store.Revision // of the record; 0 = none
	expires time.Time
	lost    bool // it cannot be stored
}

// begin reports whether this node may sweep the store. If so, it has told the
// others.
func (s *pass) begin(ctx context.Context, now time.Time) bool {
	for base := s.hint.rev; ; {
		w := store.Write{Op: store.Put, Key: keyspace.Sweep, Base: base, Version: 1, Expires: now.Add(hintTime)}
		res := s.commit(ctx, []store.Group{{w}})[0]
		switch {
		case res.Outcome == store.Applied && len(res.Revisions) == 1:
			s.hint = hint{rev: res.Revisions[0], expires: w.Expires}
			return true
		case res.Outcome != store.Conflict:
			s.fail(res.Err)
			s.hint.lost = s.Store.Features().Places // what is at other places may be removed
			return s.hint.lost
		case base != 0 || len(res.Current) != 1 || !res.Current[0].Expired(now):
			return false // another node sweeps
		}
		base = res.Current[0].Revision
	}
}

// end takes the hint back. One that cannot be taken back expires.
func (s *pass) end(ctx context.Context) {
	if s.hint.rev != 0 {
		s.commit(ctx, []store.Group{{{Op: store.Delete, Key: keyspace.Sweep, Base: s.hint.rev}}})
	}
}
