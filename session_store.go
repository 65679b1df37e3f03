package stay

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// sessions keeps the records of sessions and users, as states of two more
// kinds. A session gets a record with its first stored state, login, renewal or
// end; the record and the first stored state are one group.
type sessions struct {
	app     *registry
	kind    *engine.Kind
	users   *engine.Kind
	limiter limiter

	// Each of these is logged once.
	foreignSent, severalSent atomic.Bool
}

func (ss *sessions) init(app *registry) {
	ss.app = app
	app.listed, app.visitor = ss.listed, ss.visitor
	ss.limiter.init(app.opts.MaxNewSessions)
	ss.kind = app.engine.Kind(engine.Kind{
		Name: "session", Prefix: keyspace.Sessions, Backend: app.backend, Version: 1, OwnKeys: true, Rights: true,
		Type:   systemType[*sessionRecord, sessionRecord]{what: "session", plain: (*sessionRecord).readPlain, loaded: ss.rename},
		Expiry: func(v any) time.Time { return time.UnixMilli(v.(*sessionRecord).Expires) },
	})
	ss.users = app.engine.Kind(engine.Kind{
		Name: "user", Prefix: keyspace.Users, Backend: app.backend, Version: 1, Rights: true,
		Type:   systemType[*userRecord, userRecord]{what: "list of a user's sessions"},
		Expiry: func(v any) time.Time { return time.UnixMilli(v.(*userRecord).Expires) },
	})
}

// stored returns the session in a record; nil if it cannot be read. Then the
// session has the states of a session without a login.
func (ss *sessions) stored(r *store.Record) *sessionRecord {
	var rec sessionRecord
	if r.Version > 1 || json.Unmarshal(r.Value, &rec) != nil {
		return nil
	}
	ss.rename(&rec)
	return &rec
}

// rename replaces former names of modules in the record by the present ones.
func (ss *sessions) rename(rec *sessionRecord) {
	for _, r := range ss.app.allRenamed() {
		rec.rename(r.former, r.now)
	}
}

// record makes the record of a session that has none. idleEnd is the end of the
// browser's cookie.
func (ss *sessions) record(created, idleEnd, now time.Time) *sessionRecord {
	rec := &sessionRecord{sessionLife: sessionLife{Created: created.UnixMilli(), Expires: idleEnd.UnixMilli()}}
	ss.slide(rec, now)
	return rec
}

// slide notes that the session is in use. It never shortens the time that an
// earlier IdleTimeout gave: a cookie must not outlive the record that says
// whether it is still valid.
func (ss *sessions) slide(rec *sessionRecord, now time.Time) {
	rec.Seen = now.UnixMilli()
	if until := rec.past().Until; until != 0 {
		rec.Expires = max(rec.Expires, until)
		return
	}
	rec.Expires = max(rec.Expires, ss.endsAt(time.UnixMilli(rec.Created), now).UnixMilli())
}

// keepsUntil is when states of a session go out of reach, however much it is
// used.
func (ss *sessions) keepsUntil(created time.Time, rec *sessionRecord) time.Time {
	life := created.Add(ss.app.opts.Lifetime)
	if past := rec.past(); past.Until != 0 && past.Until > life.UnixMilli() {
		return time.UnixMilli(past.Until)
	}
	return life
}

// endsAt is when a session that was used at now ends.
func (ss *sessions) endsAt(created, now time.Time) time.Time {
	idle, life := now.Add(ss.app.opts.IdleTimeout), created.Add(ss.app.opts.Lifetime)
	if life.Before(idle) {
		return life
	}
	return idle
}

// get returns the record of a session that is new, so that it cannot have a
// record, or that the request has at least begun. If it has to be loaded, the
// session's state of the module next, if that is not nil, is loaded with it.
func (ss *sessions) get(ctx context.Context, key string, isNew, begun bool, now time.Time, next *module) (*engine.Version, error) {
	ref := engine.Ref{Kind: ss.kind, Key: key, New: isNew, First: begun, Now: now}
	if next != nil && next.scope == scopeSession && !isNew {
		if v := ss.app.engine.Hit(&ref); v != nil {
			return v, nil
		}
		ss.app.engine.Ahead(ctx, engine.Ref{Kind: ss.kind, Key: key}, engine.Ref{Kind: next.kind, Key: key})
	}
	v, err := ss.app.engine.Get(ctx, &ref)
	if err != nil {
		return nil, ss.error(err, key)
	}
	return v, nil
}

// fresh is get, but asks a store with other owners first. asked is the user
// whose record was brought up to date, too.
func (ss *sessions) fresh(ctx context.Context, key string, now time.Time, more ...engine.Ref) (v *engine.Version, asked string, err error) {
	asked, err = ss.sync(ctx, key, now, more...)
	if err != nil {
		return nil, "", err
	}
	v, err = ss.get(ctx, key, false, false, now, nil)
	return v, asked, err
}

// user returns a user's record, nil if there is none. If it has to be loaded, the
// user's state of the module next, if that is not nil, is loaded with it.
func (ss *sessions) user(ctx context.Context, user string, now time.Time, next *module) (*userRecord, error) {
	ref := engine.Ref{Kind: ss.users, Key: user, Now: now}
	v := ss.app.engine.Hit(&ref)
	if v == nil {
		if next != nil && next.scope == scopeUser {
			ss.app.engine.Ahead(ctx, engine.Ref{Kind: ss.users, Key: user}, engine.Ref{Kind: next.kind, Key: user})
		}
		var err error
		if v, err = ss.app.engine.Get(ctx, &ref); err != nil {
			return nil, ss.error(err, user)
		}
	}
	return v.Value.(*userRecord), nil
}

// revoked reports whether the user has ended the session by revoking all of
// them; if so, since when.
func (ss *sessions) revoked(ctx context.Context, rec *sessionRecord, p *purpose, now time.Time) (is bool, since time.Time, err error) {
	user := rec.user()
	if user == "" {
		return false, time.Time{}, nil
	}
	if user != p.asked {
		if err := ss.syncUser(ctx, user, p, now); err != nil {
			return false, time.Time{}, ss.error(err, user)
		}
	}
	u, err := ss.user(ctx, user, now, p.next)
	switch {
	case err != nil:
		return false, time.Time{}, err
	case u == nil:
		return true, time.Time{}, nil
	}
	return u.Epoch != rec.past().Epoch, time.UnixMilli(u.Revoked), nil
}

// A purpose is what one use of a session is for, and what was brought up to date
// for it on a store with other owners.
type purpose struct {
	next   *module // whose state is to be used; nil: no state, or it is not known
	asked  string  // the user whose record was
	synced *target // the state that was; nil = none
}

// syncUser brings the user's record up to date, and with it the user's state of
// the module that is to be used. If only that one cannot be read, its own use
// gets the error.
func (ss *sessions) syncUser(ctx context.Context, user string, p *purpose, now time.Time) error {
	refs := []engine.Ref{{Kind: ss.users, Key: user, Now: now}}
	if m := p.next; m != nil && m.scope == scopeUser {
		refs = append(refs, engine.Ref{Kind: m.kind, Key: user, Now: now})
	}
	errs := ss.app.syncEach(ctx, refs)
	if errs == nil {
		return nil
	}
	if len(refs) > 1 && errs[1] == nil {
		p.synced = &target{kind: p.next.kind, id: user, key: user}
	}
	return errs[0]
}

// change runs fn on the session's record, nil if there is none, and stores
// what it returns.
func (ss *sessions) change(ctx context.Context, key string, fn func(rec *sessionRecord, now time.Time) (*sessionRecord, error)) (*sessionRecord, error) {
	v, err := ss.app.engine.Update(ctx, &systemOp{
		app: ss.app.base,
		ref: engine.Ref{Kind: ss.kind, Key: key},
		fn: func(v any) (engine.Result, error) {
			rec, err := fn(v.(*sessionRecord), ss.app.opts.Clock())
			if err == nil && v.(*sessionRecord) == nil && rec != nil {
				err = ss.limiter.take()
			}
			return engine.Result{Value: rec}, err
		},
	})
	if err != nil {
		return nil, ss.error(err, key)
	}
	return v.(*sessionRecord), nil
}

// store stores the record of a session that has none yet.
func (ss *sessions) store(ctx context.Context, is *seen) error {
	_, err := ss.change(ctx, is.session, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = is.begun(ss, now)
		}
		return rec, nil
	})
	return err
}

// end ends the session, unless it has ended already. matches says whether the
// record still belongs to the caller's session, idleEnd when its cookie ends,
// and begun makes its record if it has none.
func (ss *sessions) end(ctx context.Context, key string, idleEnd time.Time, begun func(now time.Time) *sessionRecord,
	matches func(*sessionRecord) (bool, time.Time),
) (rec *sessionRecord, already bool, err error) {
	// If another process has renewed the session, the record in memory would
	// refuse the cookie. The user's record is not needed: it may be unreadable.
	if err := ss.app.sync(ctx, engine.Ref{Kind: ss.kind, Key: key, Now: ss.app.opts.Clock()}); err != nil {
		return nil, false, ss.error(err, key)
	}
	rec, err = ss.change(ctx, key, func(rec *sessionRecord, now time.Time) (*sessionRecord, error) {
		if rec == nil {
			rec = begun(now)
		}
		if already = rec.past().Ended != 0; already {
			return rec, nil
		}
		if ok, _ := matches(rec); !ok {
			return nil, ended()
		}
		// The tombstone stays until no cookie of the session can be valid, not even
		// one that is issued at this moment.
		rec.event().Ended = now.UnixMilli()
		rec.Expires = max(rec.Expires, idleEnd.UnixMilli(), now.Add(ss.app.opts.IdleTimeout+grace).UnixMilli())
		return rec, nil
	})
	if err == nil && !already {
		ss.app.observer.measure(Measurement{Name: sessionsEnded, Value: 1})
	}
	return rec, already, err
}

func (ss *sessions) error(err error, key string) error {
	e := toError(err)
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	return e
}

// deleteStates removes the states of a session that has ended. They are out of
// reach, so a failure is only reported: they are removed with the tombstone.
func (ss *sessions) deleteStates(ctx context.Context, id string, rec *sessionRecord) {
	for _, c := range ss.app.allCatalogs() {
		if err := c.deleteForeign(ctx, id, rec); err != nil {
			e := toError(err)
			e.Phase, e.KeyHash = "destroy", keyHash(id)
			ss.app.report(nil, ss.app.newCall(ctx, "", ""), e)
		}
	}
	states := ss.app.statesOfSession(id, rec)
	refs := make([]engine.Ref, len(states))
	for i, st := range states {
		refs[i] = engine.Ref{Kind: st.kind, Key: st.key}
	}
	// Another process may have stored a state that is absent in memory.
	errs := ss.app.syncEach(ctx, refs)
	for i, st := range states {
		if st.kind.Backend == nil {
			ss.app.engine.EndKey(st.kind, st.key, 0, false)
			continue
		}
		var err error
		if errs != nil {
			err = errs[i]
		}
		if err == nil {
			_, err = ss.app.engine.Update(ctx, &systemOp{app: ss.app.base, ref: refs[i], fn: deleteIt})
		}
		if err != nil {
			e := toError(err)
			e.Module, e.Phase, e.KeyHash = st.module.name, "destroy", keyHash(st.key)
			ss.app.report(st.module.onError, ss.app.newCall(ctx, st.module.name, ""), e)
		}
	}
}

func deleteIt(any) (engine.Result, error) { return engine.Result{Delete: true}, nil }

// systemOp is a change of one instance without user code.
type systemOp struct {
	app *base
	ref engine.Ref
	fn  func(v any) (engine.Result, error)
}

// Resolve implements engine.Op. A change that changes nothing never reaches the
// store, so the value in memory is brought up to date first.
func (o *systemOp) Resolve(ctx context.Context, _ bool) (*engine.Ref, error) {
	return &o.ref, o.app.sync(ctx, o.ref)
}

// Run implements engine.Op.
func (o *systemOp) Run(v any, _ *engine.Version) (engine.Result, error) { return o.fn(v) }

// Committed implements engine.Op.
func (o *systemOp) Committed(context.Context) {}

// begin counts a session that is about to be stored, unless another request has
// stored it since: then the store refuses this group, and the change is tried
// again.
func (ss *sessions) begin(session string) error {
	if v := ss.app.engine.Peek(ss.kind, session); v != nil && v.Revision != 0 {
		return nil
	}
	return ss.limiter.take()
}

// moving returns the session's record for a change of its owner: with a new
// generation, unless the options keep the cookie or no cookie can be sent.
func (ss *sessions) moving(is *seen, now time.Time) (*sessionRecord, error) {
	rec := is.record().clone()
	if rec == nil {
		if err := ss.begin(is.session); err != nil {
			return nil, err
		}
		rec = is.begun(ss, now)
	} else {
		rec.describe(is.carrier)
	}
	// The record must outlive the old cookie, which may be valid for longer than
	// the present IdleTimeout: without the record the old cookie would count as
	// valid again.
	rec.Expires = max(rec.Expires, is.idleEnd.UnixMilli())
	if is.anew || !ss.app.opts.KeepCookieOnKeyChange && !is.keeps {
		rec.Gen++
		rec.event().Renewed = now.UnixMilli()
	}
	ss.slide(rec, now)
	return rec, nil
}

// moved lets the session go on with its record as it is now. The change is stored
// by now, so a failure to issue the cookie is only reported.
func (ss *sessions) moved(ctx context.Context, s bearer, is *seen, rec *sessionRecord) {
	s.lock()
	err := s.follow(ctx, is.gen, is.record(), rec)
	s.unlock()
	ss.reportUnsigned(ctx, err)
}

// reportUnsigned reports that a cookie could not be issued. It is called
// without the session's lock: a hook may ask for the session.
func (ss *sessions) reportUnsigned(ctx context.Context, err error) {
	if err != nil {
		e := toError(err)
		e.Phase = "sign"
		ss.app.report(nil, ss.app.newCall(ctx, "", ""), e)
	}
}

func ended() error {
	return &Error{Code: ErrEnded, Phase: "resolve", Message: "the session has ended"}
}

// sync brings up to date the records that say whether a session is valid, as
// far as they are known, and more instances. It returns the user whose record
// was among them.
func (ss *sessions) sync(ctx context.Context, id string, now time.Time, more ...engine.Ref) (asked string, err error) {
	if !ss.app.manyOwners.Load() {
		return "", nil
	}
	refs := append(more[:len(more):len(more)], engine.Ref{Kind: ss.kind, Key: id, Now: now})
	if v := ss.app.engine.Peek(ss.kind, id); v != nil {
		if asked = v.Value.(*sessionRecord).user(); asked != "" {
			refs = append(refs, engine.Ref{Kind: ss.users, Key: asked, Now: now})
		}
	}
	if err := ss.app.sync(ctx, refs...); err != nil {
		return "", ss.error(err, id)
	}
	return asked, nil
}

// syncWith is sync, and if m is not nil it also brings up to date the state of
// m that the session is known to have.
func (ss *sessions) syncWith(ctx context.Context, id string, m *module, now time.Time) (p purpose, err error) {
	p.next = m
	var more []engine.Ref
	if m != nil {
		var rec *sessionRecord
		if v := ss.app.engine.Peek(ss.kind, id); v != nil {
			rec = v.Value.(*sessionRecord)
		}
		t := m.locate(id, rec)
		p.synced = &t
		more = append(more, engine.Ref{Kind: t.kind, Key: t.id, Now: now})
	}
	p.asked, err = ss.sync(ctx, id, now, more...)
	if err != nil && m != nil && !errors.Is(err, ErrUnavailable) {
		// The state that cannot be read may be one that the session does not have any
		// more: the session's record says so, and the next use of the state asks
		// again.
		p.synced = nil
		p.asked, err = ss.sync(ctx, id, now)
	}
	return p, err
}

// A limiter is the bound of Options.MaxNewSessions: a token bucket that holds one
// second's worth. It is measured in real time, because a refused client waits
// in real time.
type limiter struct {
	each time.Duration // the fraction of a second that one session takes

	mu   sync.Mutex
	used time.Time // time up to which the rate is used up
}

func (n *limiter) init(perSecond int) { n.each = time.Second / time.Duration(perSecond) }

// take lets one more session begin, or fails with ErrBusy.
func (n *limiter) take() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	used := n.used
	if used.Before(now) {
		used = now
	}
	used = used.Add(n.each)
	if used.Sub(now) > time.Second {
		return &engine.Error{
			Class: engine.Busy, Err: errNewSessions,
			Text: "too many sessions begin at the moment: try again in a second",
		}
	}
	n.used = used
	return nil
}

// revoked reports whether the user with this record has revoked the session.
func revoked(rec *sessionRecord, user *engine.Version) bool {
	u := user.Value.(*userRecord)
	return u == nil || u.Epoch != rec.past().Epoch
}
