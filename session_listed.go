package stay

import (
	"context"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// A listing is a session that App.Sessions read from its record. It has no
// response that could set a cookie, so it accepts new generations of its
// record, but no other user.
type listing struct {
	ss      *sessions
	key     string
	created time.Time

	mu    sync.Mutex
	rec   *sessionRecord
	gen   uint32
	asked string // user whose record was brought up to date for this use
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
	all.session = Session{app: ss.app.base, presence: &all.listing}
	return &all.session
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

// fresh reports whether the session is valid, after asking a store with other
// owners.
func (l *listing) fresh(ctx context.Context) (ok bool, err error) {
	now := l.ss.app.opts.Clock()
	v, asked, err := l.ss.fresh(ctx, l.key, now)
	if err != nil {
		return false, err
	}
	l.asked = asked
	return l.stands(ctx, v.Value.(*sessionRecord), now)
}

func (l *listing) stands(ctx context.Context, rec *sessionRecord, now time.Time) (bool, error) {
	if ok, _ := l.matches(rec); !ok {
		return false, nil
	}
	asked := l.asked
	l.asked = ""
	revoked, _, err := l.ss.revoked(ctx, rec, asked, now)
	return !revoked, err
}

func (l *listing) sync(ctx context.Context, m *module, now time.Time) (t target, err error) {
	if !l.ss.app.manyOwners.Load() {
		return target{}, nil
	}
	t, l.asked, err = l.ss.syncWith(ctx, l.key, m, now)
	return t, err
}

func (l *listing) current(ctx context.Context, now time.Time) (seen, error) {
	v, err := l.ss.get(ctx, l.key, false, false, now)
	if err != nil {
		return seen{}, err
	}
	switch ok, err := l.stands(ctx, v.Value.(*sessionRecord), now); {
	case err != nil:
		return seen{}, err
	case !ok:
		return seen{}, ended()
	}
	return seen{session: l.key, gen: l.gen, created: l.created, version: v, keeps: true}, nil
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

func (l *listing) setUser(ctx context.Context, user string) error { return l.ss.setUser(ctx, l, user) }

// renew fails: no response could set the new cookie.
func (l *listing) renew(ctx context.Context) error {
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

// begun makes a record for the session, whose own was deleted.
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

func (l *listing) follow(_ context.Context, _ uint32, rec *sessionRecord) error {
	l.rec = rec
	return nil
}

func (*listing) use() {}

func (*listing) changes() {}

func (*listing) neverStored(context.Context) bool { return false }

func (*listing) join(context.Context, string, time.Time) (bool, error) { return false, nil }

// revoke is App.Revoke.
func (ss *sessions) revoke(ctx context.Context, user string) error {
	if nested(ctx) {
		return nestedError("")
	}
	ref := engine.Ref{Kind: ss.users, Key: user, Now: ss.app.opts.Clock()}
	// Another process may have logged the user in although memory has nothing to
	// revoke.
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
