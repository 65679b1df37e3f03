package sweep

import (
	"iter"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// A Due is what is removed in one step when it has expired: a record, or what
// has expired of a session and its states; and if the session's own record has,
// all states of the session.
type Due struct {
	owner   string         // key of the session's record, or of the record
	session string         // its ID; "" if the record belongs to none
	over    *store.Record  // the session's record, if it has expired
	ended   time.Time      // when it was ended, if it is a tombstone: then nothing expires but what had before
	expired []store.Record // all records that have expired
	states  []store.Record // of the session, and not expired themselves
	unread  []store.Record // records of both kinds that cannot be read: they are set aside
	claim   store.Revision // of our claim; 0 = none

	// hookElsewhere has the keys of those whose OnExpire other programs run. They
	// are set aside, where those programs find them.
	hookElsewhere map[string]bool
}

// Session returns the ID and the record of the session that is over; "" and nil
// where none is.
func (d *Due) Session() (id string, rec *store.Record) {
	if d.over == nil {
		return "", nil
	}
	return d.session, d.over
}

// Ended reports whether somebody has ended the session that is over. Otherwise
// its time was over.
func (d *Due) Ended() bool { return !d.ended.IsZero() }

// Removed yields the records that are removed or set aside.
func (d *Due) Removed() iter.Seq[*store.Record] { return each(d.expired, d.states, d.unread) }

// records yields those that are removed, or set aside for other programs.
func (d *Due) records() iter.Seq[*store.Record] { return each(d.expired, d.states) }

func each(all ...[]store.Record) iter.Seq[*store.Record] {
	return func(yield func(*store.Record) bool) {
		for _, recs := range all {
			for i := range recs {
				if !yield(&recs[i]) {
					return
				}
			}
		}
	}
}

// byOwner sorts expired records by their owners, in the order in which they came.
func (s *pass) byOwner(recs []store.Record) []*Due {
	var all []*Due
	by := map[string]*Due{}
	for _, rec := range recs {
		owner, session := rec.Key, keyspace.SessionOf(rec.Key)
		if session != "" {
			owner = keyspace.Sessions + session
		}
		d := by[owner]
		if d == nil {
			d = &Due{owner: owner, session: session}
			by[owner] = d
			all = append(all, d)
		}
		d.expired = append(d.expired, rec)
		if session != "" && rec.Key == owner {
			d.over, d.ended = &rec, s.owner.Ended(&rec)
		}
	}
	return all
}

// expires reports whether the record expires: it does not if its session was
// ended before.
func (d *Due) expires(rec *store.Record) bool { return !d.Ended() || rec.Expired(d.ended) }

// hooked reports whether a hook is to run before d is removed.
func (s *pass) hooked(d *Due) bool {
	for rec := range d.records() {
		if d.expires(rec) && s.owner.Hooked(keyspace.Original(rec.Key)) {
			return true
		}
	}
	return false
}

// statesOf returns the keys of all states that a session that is over may have,
// but for those that are known to have expired.
func (s *pass) statesOf(d *Due) []string {
	if d.over == nil {
		return nil
	}
	return slices.DeleteFunc(s.owner.States(d.session, d.over), func(key string) bool {
		return slices.ContainsFunc(d.expired, func(rec store.Record) bool { return rec.Key == key })
	})
}

// isState reports whether the store has the state: a tombstone, which by the clock
// of another node has not expired yet, or came just now, is none.
func isState(rec *store.Record) bool { return rec.Revision != 0 && !meta.Deleted(rec.Meta) }

// confirm leaves what the store has still. States that are not expired may have
// been changed, and belong to d as they are now.
func (d *Due) confirm(expired, states []store.Record) {
	kept := d.expired[:0:0]
	for i, rec := range expired {
		switch {
		case rec.Revision == d.expired[i].Revision:
			kept = append(kept, rec)
		case d.over != nil && d.over.Key == d.expired[i].Key:
			d.over = nil // gone, or begun again
		}
	}
	d.expired, d.states = kept, nil
	for _, rec := range states {
		if d.over != nil && isState(&rec) {
			d.states = append(d.states, rec)
		}
	}
}

// deletes returns the group that removes d, with our claim on it. What cannot be
// read is set aside, and so is what others run hooks of.
func (d *Due) deletes(now time.Time) store.Group {
	var g store.Group
	for rec := range d.records() {
		if d.hookElsewhere[rec.Key] {
			g = append(g, aside(rec, now)...)
			continue
		}
		g = append(g, store.Write{Op: store.Delete, Key: rec.Key, Base: rec.Revision})
	}
	for i := range d.unread {
		g = append(g, aside(&d.unread[i], now.Add(unreadTime))...)
	}
	if d.claim != 0 {
		g = append(g, store.Write{Op: store.Delete, Key: d.claimKey(), Base: d.claim})
	}
	return g
}
