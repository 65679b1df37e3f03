package stay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/store"
)

// A listing is a session that App.Sessions read from its record. It has no
// response that could set a cookie, so it accepts new generations of its
// record, but no other user.
type listing struct {
	ss      *sessions
	key     string
	created time.Time

	mu      sync.Mutex
	rec     *sessionRecord
	gen     uint32
	present purpose // of the present use
}

// listed returns the session with this ID, as its record says.
func (ss *sessions) listed(id string, rec *sessionRecord) *Session {
	all := &struct { // one allocation for both
		session Session
		listing listing
	}{listing: listing{ss: ss, key: id, rec: rec}}
	if rec != nil {
		all.listing.gen, all.listing.created = rec.Gen, time.UnixMilli(rec.Created)
	}
	all.session = Session{app: ss.app.base, guise: &all.listing}
	return &all.session
}

// visitor returns the session of a visitor for a hook: as its record says, with the
// user that it had as a visitor.
func (ss *sessions) visitor(ctx context.Context, v presence.Visitor) (*Session, error) {
	is, _, err := ss.fresh(ctx, v.Session, ss.app.opts.Clock())
	if err != nil {
		return nil, err
	}
	rec := is.Value.(*sessionRecord)
	if rec.user() != v.User {
		if rec = rec.clone(); rec == nil {
			rec = new(sessionRecord)
		}
		rec.event().User = []byte(v.User)
	}
	return ss.listed(v.Session, rec), nil
}

func (l *listing) lock() { l.mu.Lock() }

func (l *listing) unlock() { l.mu.Unlock() }

func (l *listing) text() string { return "session " + keyHash(l.key) }

func (l *listing) id() string { return l.key }

func (l *listing) name() string { return l.key }

func (l *listing) look() (rec *sessionRecord, created time.Time) {
	l.lock()
	defer l.unlock()
	return l.rec, l.created
}

func (l *listing) known(ctx context.Context) (bool, error) {
	l.lock()
	defer l.unlock()
	return l.fresh(ctx)
}

func (l *listing) who(ctx context.Context) (user string, err error) {
	l.lock()
	defer l.unlock()
	ok, err := l.fresh(ctx)
	if err == nil && !ok {
		err = ended()
	}
	return l.rec.user(), err
}

// fresh reports whether the session is valid, after asking a store with other
// owners.
func (l *listing) fresh(ctx context.Context) (ok bool, err error) {
	now := l.ss.app.opts.Clock()
	v, asked, err := l.ss.fresh(ctx, l.key, now)
	if err != nil {
		return false, err
	}
	l.present = purpose{asked: asked}
	return l.stands(ctx, v.Value.(*sessionRecord), now)
}

func (l *listing) stands(ctx context.Context, rec *sessionRecord, now time.Time) (bool, error) {
	if ok, _ := l.matches(rec); !ok {
		return false, nil
	}
	if over, _ := rec.over(now); over {
		return false, nil
	}
	revoked, _, err := l.ss.revoked(ctx, rec, &l.present, now)
	l.present.asked = ""
	return !revoked, err
}

func (l *listing) sync(ctx context.Context, m *module, now time.Time) (err error) {
	l.present = purpose{next: m}
	if l.ss.app.manyOwners.Load() {
		l.present, err = l.ss.syncWith(ctx, l.key, m, now)
	}
	return err
}

func (l *listing) current(ctx context.Context, now time.Time) (is seen, synced *target, err error) {
	v, err := l.ss.get(ctx, l.key, false, false, now, l.present.next)
	if err != nil {
		return seen{}, nil, err
	}
	ok, err := l.stands(ctx, v.Value.(*sessionRecord), now)
	synced, l.present = l.present.synced, purpose{}
	switch {
	case err != nil:
		return seen{}, nil, err
	case !ok:
		return seen{}, nil, ended()
	}
	return seen{session: l.key, gen: l.gen, created: l.created, version: v, keeps: true}, synced, nil
}

func (l *listing) matches(rec *sessionRecord) (ok bool, since time.Time) {
	switch {
	case rec == nil:
		return false, time.Time{}
	case rec.user() != l.rec.user():
		return false, time.UnixMilli(rec.past().Renewed)
	case rec.past().Ended != 0:
		return false, time.UnixMilli(rec.past().Ended)
	}
	l.gen = rec.Gen
	return true, time.Time{}
}

func (l *listing) setUser(ctx context.Context, user string, terms loginTerms) error {
	return l.ss.setUser(ctx, l, user, terms)
}

// outlast does nothing: the session's own browser asks for it when it gets the
// cookie.
func (*listing) outlast(context.Context, time.Duration) error { return nil }

// renew fails: nothing takes a new cookie to the browser.
func (l *listing) renew(ctx context.Context, _ bool) error {
	l.lock()
	defer l.unlock()
	switch ok, err := l.fresh(ctx); {
	case err != nil:
		return err
	case !ok:
		return ended()
	}
	return l.takesCookie(false)
}

func (l *listing) destroy(ctx context.Context) error {
	l.lock()
	rec, _, err := l.ss.end(ctx, l.key, time.Time{}, l.begun, l.matches)
	l.unlock()
	if rec != nil {
		l.ss.deleteStates(ctx, l.key, rec)
	}
	return err
}

// begun makes a record for the session, whose record was deleted.
func (l *listing) begun(now time.Time) *sessionRecord {
	rec := l.ss.record(l.created, time.Time{}, now)
	rec.Gen = l.gen
	return rec
}

func (l *listing) takesCookie(keeps bool) error {
	if keeps {
		return nil
	}
	return &Error{Code: ErrInternal, Phase: "resolve", KeyHash: keyHash(l.key), Err: errNoBrowser}
}

func (l *listing) follow(_ context.Context, _ uint32, _, rec *sessionRecord) error {
	l.rec = rec
	return nil
}

func (*listing) use() {}

func (*listing) recall(context.Context, time.Time) (is seen, ok bool) { return seen{}, false }

func (*listing) used() {}

func (*listing) changes() {}

func (*listing) neverStored(context.Context) bool { return false }

func (*listing) anew(time.Time) bool { return false }

func (*listing) join(context.Context, string, time.Time) (bool, error) { return false, nil }

// all is App.AllSessions.
func (ss *sessions) all(ctx context.Context, after string, yield func(*Session, error) bool) {
	err := ss.each(ctx, ss.kind, "", after, func(ids []string, recs []store.Record, now time.Time) (more bool, err error) {
		read := make([]*sessionRecord, len(ids))
		var names []string
		for i := range recs {
			if read[i] = ss.stored(&recs[i]); read[i].user() != "" {
				names = append(names, read[i].user())
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
		told, err := ss.load(ctx, ss.users, names, now)
		if err != nil {
			return false, err
		}
		users := map[string]*userRecord{}
		for i, name := range names {
			if told[i].Revision != 0 {
				users[name] = storedUser(&told[i])
			}
		}
		for i, rec := range read {
			if recs[i].Revision == 0 {
				continue // it was removed after it was listed
			}
			over, failed := ss.isOver(ids[i], rec, users, now)
			if over {
				continue
			}
			if !yield(ss.listed(ids[i], rec), failed) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		yield(nil, err)
	}
}

// isOver reports whether a session that is listed is over, by its record and that
// of its user. An error means that one of them cannot be read: users has nil for
// a user's, and no entry for one that is not stored.
func (ss *sessions) isOver(id string, rec *sessionRecord, users map[string]*userRecord, now time.Time) (bool, error) {
	if rec == nil {
		return false, ss.unreadable("session", id)
	}
	if over, _ := rec.over(now); over || rec.past().Ended != 0 {
		return true, nil
	}
	if rec.user() == "" {
		return false, nil
	}
	u, ok := users[rec.user()]
	if ok && u == nil {
		return false, ss.unreadable("list of a user's sessions", rec.user())
	}
	return !ok || u.Epoch != rec.past().Epoch, nil
}

// allUsers is App.Users, for names that begin with a prefix.
func (ss *sessions) allUsers(ctx context.Context, prefix, after string, yield func(string, error) bool) {
	err := ss.each(ctx, ss.users, prefix, after, func(names []string, recs []store.Record, now time.Time) (more bool, err error) {
		for i, name := range names {
			u := storedUser(&recs[i])
			var failed error
			switch {
			case recs[i].Revision == 0:
				continue
			case u == nil:
				failed = ss.unreadable("list of a user's sessions", name)
			case !slices.ContainsFunc(u.Sessions, func(s userSession) bool { return s.Expires > now.UnixMilli() }):
				continue
			}
			if !yield(name, failed) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		yield("", err)
	}
}

func (ss *sessions) unreadable(what, key string) error {
	return &Error{
		Code: ErrCorrupt, Phase: "decode", KeyHash: keyHash(key),
		Message: "the stored " + what + " cannot be read; it was left as it is",
	}
}

// each calls use with the records of a kind whose names begin with a prefix and
// come after the given one, page by page, until use returns false. Lists do not load records into memory, which
// is for records in use: the acknowledged changes of these records are in the
// store.
func (ss *sessions) each(ctx context.Context, k *engine.Kind, prefix, after string, use func(names []string, recs []store.Record, now time.Time) (more bool, err error)) error {
	return ss.app.listKeys(ctx, "", k, prefix, after, func(names []string, now time.Time) (more bool, err error) {
		recs, err := ss.load(ctx, k, names, now)
		if err != nil {
			return false, err
		}
		return use(names, recs, now)
	})
}

// load returns the records with these names, as they are stored; expired ones
// count as absent.
func (ss *sessions) load(ctx context.Context, k *engine.Kind, names []string, now time.Time) ([]store.Record, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if !ss.app.engine.Begin() {
		return nil, closedError("", "load", nil)
	}
	defer ss.app.engine.End()
	reads := make([]store.Read, len(names))
	for i, name := range names {
		reads[i].Key = k.Prefix + name
	}
	recs, err := k.Backend.Store().Load(ctx, reads)
	if err == nil && len(recs) != len(reads) {
		err = errors.New("the store did not answer every read")
	}
	if err != nil {
		return nil, &Error{Code: storeCode(err), Phase: "load", Err: err}
	}
	for i := range recs {
		if recs[i].Expired(now) {
			recs[i] = store.Record{Key: recs[i].Key}
		}
	}
	return recs, nil
}

// revoke is App.Revoke.
func (ss *sessions) revoke(ctx context.Context, user string) error {
	if nested(ctx) {
		return nestedError("")
	}
	ref := engine.Ref{Kind: ss.users, Key: user, Now: ss.app.opts.Clock()}
	// Another process may have logged the user in, although memory has nothing
	// to revoke.
	if err := ss.app.sync(ctx, ref); err != nil {
		return ss.error(err, user)
	}
	_, err := ss.app.engine.Update(ctx, &systemOp{
		app: ss.app.base,
		ref: ref,
		fn: func(v any) (engine.Result, error) {
			u := v.(*userRecord)
			if u != nil {
				u.Epoch = newEpoch(u.Epoch)
				u.Revoked = ss.app.opts.Clock().UnixMilli()
				u.Sessions = nil
			}
			return engine.Result{Value: u}, nil
		},
	})
	if err != nil {
		return ss.error(err, user)
	}
	return nil
}
