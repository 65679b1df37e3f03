package stay

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// An estate is what is removed in one step when it has expired: a record, or
// what has expired of a session and its states; and if the session's own
// record has, all states of the session.
type estate struct {
	owner   string         // key of the session's record, or of the record
	session string         // its ID; "" if the record belongs to none
	over    *store.Record  // the session's record, if it has expired
	ended   bool           // and is a tombstone: then nothing more expires,
	endedAt time.Time      // but what had expired before
	expired []store.Record // all records that have expired
	states  []store.Record // of the session, and not expired themselves
	unread  []store.Record // those of both that cannot be read: they are put aside
	claim   store.Revision // of our claim; 0 = none

	// hookElsewhere has the keys of those whose OnExpire other programs run. They
	// are put into graves, where those programs find them.
	hookElsewhere map[string]bool
}

// estates sorts expired records by their owners, in the order in which they
// came.
func (a *App) estates(recs []store.Record) []*estate {
	var all []*estate
	by := map[string]*estate{}
	for _, rec := range recs {
		owner, session := rec.Key, keyspace.SessionOf(rec.Key)
		if session != "" {
			owner = keyspace.Sessions + session
		}
		e := by[owner]
		if e == nil {
			e = &estate{owner: owner, session: session}
			by[owner] = e
			all = append(all, e)
		}
		e.expired = append(e.expired, rec)
		if session != "" && rec.Key == owner {
			e.over = &rec
			if at := e.record().past().Ended; at != 0 {
				e.ended, e.endedAt = true, time.UnixMilli(at)
			}
		}
	}
	return all
}

// expires reports whether the record expires with the estate: it does not if
// its session was ended before.
func (e *estate) expires(rec *store.Record) bool {
	return !e.ended || rec.Expired(e.endedAt)
}

// stateOf returns the module and kind of a state's record, and the key of the
// state; nil if the record is none of a module of this App.
func (a *App) stateOf(key string) (*module, *engine.Kind, string) {
	_, name, _ := keyspace.Split(key)
	a.mu.RLock()
	m := a.modules[name]
	a.mu.RUnlock()
	if m != nil {
		for _, k := range m.kinds() {
			if id, ok := strings.CutPrefix(key, k.Prefix); ok {
				return m, k, id
			}
		}
	}
	return nil, nil, ""
}

// kinds returns the kinds of state that the module has.
func (m *module) kinds() []*engine.Kind {
	return slices.DeleteFunc([]*engine.Kind{m.kind, m.guest}, func(k *engine.Kind) bool { return k == nil })
}

// statesOf returns all states in the backend's store of a session that is over,
// but for those that are known to have expired.
func (a *App) statesOf(e *estate, b *engine.Backend) []sessionState {
	if e.over == nil {
		return nil
	}
	return slices.DeleteFunc(a.statesOfSession(e.session, e.record()), func(st sessionState) bool {
		return st.kind.Backend != b || slices.ContainsFunc(e.expired, func(rec store.Record) bool {
			return rec.Key == st.kind.Prefix+st.key
		})
	})
}

// foreignStatesOf is statesOf for modules that this App does not register.
func (a *App) foreignStatesOf(list *catalogRecord, e *estate) []string {
	if e.over == nil {
		return nil
	}
	return slices.DeleteFunc(a.foreignStates(list, e.session, e.record()), func(key string) bool {
		return slices.ContainsFunc(e.expired, func(rec store.Record) bool { return rec.Key == key })
	})
}

// record is the session's record. One that cannot be read has the states of a
// session that nobody ever logged in to.
func (e *estate) record() *sessionRecord {
	var rec sessionRecord
	if json.Unmarshal(e.over.Value, &rec) != nil {
		return nil
	}
	return &rec
}

// hooked reports whether a hook is to run before the estate is removed.
func (a *App) hooked(e *estate) bool {
	for rec := range e.records() {
		if m, _, _ := a.stateOf(keyspace.Original(rec.Key)); m != nil && m.expired != nil && e.expires(rec) {
			return true
		}
	}
	return false
}

// records yields the estate's records.
func (e *estate) records() func(yield func(*store.Record) bool) {
	return func(yield func(*store.Record) bool) {
		for _, recs := range [][]store.Record{e.expired, e.states} {
			for i := range recs {
				if !yield(&recs[i]) {
					return
				}
			}
		}
	}
}

// deletes returns the group that removes the estate, with our claim on it. What
// cannot be read is put into graves, and so is what others run hooks of.
func (e *estate) deletes(now time.Time) store.Group {
	var g store.Group
	for rec := range e.records() {
		if e.hookElsewhere[rec.Key] {
			g = append(g, entomb(rec, now)...)
			continue
		}
		g = append(g, store.Write{Op: store.Delete, Key: rec.Key, Base: rec.Revision})
	}
	for i := range e.unread {
		g = append(g, entomb(&e.unread[i], now.Add(unreadTime))...)
	}
	if e.claim != 0 {
		g = append(g, store.Write{Op: store.Delete, Key: e.claimKey(), Base: e.claim})
	}
	return g
}

// forget drops what memory holds of an estate that was removed, unless it is
// newer.
func (a *App) forget(e *estate) {
	for _, rec := range slices.Concat(e.expired, e.states, e.unread) {
		if _, k, key := a.stateOf(rec.Key); k != nil && k.Backend != nil {
			a.engine.EndKey(k, key, rec.Revision, false)
		}
	}
	if e.over == nil {
		return
	}
	a.engine.EndKey(a.sessions.kind, e.session, e.over.Revision, false)
	for _, st := range a.statesOfSession(e.session, e.record()) {
		if st.kind.Backend == nil {
			a.engine.EndKey(st.kind, st.key, 0, !e.ended)
		}
	}
}
