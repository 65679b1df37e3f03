package stay

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
)

// A resolution remembers the session's record that a call was resolved with,
// and the resolved target.
type resolution struct {
	target
	seen
	ss      *sessions
	of      *module
	request bearer          // session that resolved it; nil for a Login and for At
	latest  *engine.Version // version of its record, as Valid has seen it
	user    *engine.Version // version of its user's record, as Valid has seen it; nil for a guest

	recalled bool // the store was not asked
}

// set begins the resolution anew.
func (r *resolution) set(ss *sessions, m *module, s bearer, t *target, is *seen) {
	r.ss, r.of, r.request, r.target, r.seen = ss, m, s, *t, *is
	r.latest, r.user, r.recalled = nil, nil, false
}

// Valid implements engine.Guard: the session has not been ended, renewed or
// attached elsewhere since. For a session that is not in memory the store is
// asked: by Create if a state is created, otherwise here, because then no group
// with the session's record is refused.
func (r *resolution) Valid(v *engine.Version) bool {
	if !r.holds(v) {
		return false
	}
	e := r.ss.app.engine
	rec := r.record()
	now := e.Peek(r.ss.kind, r.session)
	if now == nil && r.elsewhere() && !r.isNew {
		var err error
		if now, err = e.Get(e.Context(), &engine.Ref{Kind: r.ss.kind, Key: r.session}); err != nil {
			return false // the next resolution gets the error
		}
	}
	if r.latest = r.version; now != nil && now != r.version {
		r.latest = now
		seen := rec
		rec = now.Value.(*sessionRecord)
		switch {
		case rec == nil:
			return r.version.Revision == 0
		case rec.past().Ended != 0 || rec.Gen != r.gen || !r.of.sameOwner(rec, seen):
			return false
		}
	}
	user := rec.user()
	if r.user = nil; user == "" {
		return true
	}
	u := e.Peek(r.ss.users, user)
	if u == nil && v.Revision == 0 { // Create has to name it
		var err error
		if u, err = e.Get(e.Context(), &engine.Ref{Kind: r.ss.users, Key: user}); err != nil {
			return false
		}
	}
	if u == nil {
		return true
	}
	r.user = u
	return !revoked(rec, u)
}

// Checks implements engine.Guard: the session's record as Valid has seen it
// says whose state that is, and the user's says that it is not revoked.
func (r *resolution) Checks() ([]engine.Companion, bool) {
	if r.elsewhere() || r.latest.Revision == 0 {
		return nil, false
	}
	list := []engine.Companion{{Kind: r.ss.kind, Key: r.session, Base: r.latest}}
	user := r.latest.Value.(*sessionRecord).user()
	if user == "" {
		return list, true
	}
	if r.user == nil {
		return nil, false
	}
	return append(list, engine.Companion{Kind: r.ss.users, Key: user, Base: r.user}), true
}

// Create implements engine.Guard: a state is created together with the
// session's record, or only if that record is still the one that was seen, and
// the user's as well. So a request that is under way cannot bring back an ended
// session, nor the state of a deleted user whose sessions were revoked. It
// fails with ErrBusy when too many new sessions are stored.
func (r *resolution) Create() ([]engine.Companion, error) {
	if err := r.admit(); err != nil {
		return nil, err
	}
	all := r.companions(r.version)
	if len(all) == 0 || r.user == nil || r.record().user() == "" {
		return all, nil
	}
	// A revocation is only in the user's record.
	return append(all, engine.Companion{Kind: r.ss.users, Key: r.record().user(), Base: r.user}), nil
}

// companions ties the creation of a state to the session's record, which has
// this version. A state in another store cannot be in a group with the record:
// it is created after the record (see op.ready), and then the record is read
// again (see Stands).
func (r *resolution) companions(v *engine.Version) []engine.Companion {
	if r.elsewhere() {
		return nil
	}
	c := engine.Companion{Kind: r.ss.kind, Key: r.session, Base: v}
	if v.Revision == 0 {
		rec := r.begun(r.ss, r.ss.app.opts.Clock())
		c.Value, c.Bytes, c.Expires = rec, rec.memory(), time.UnixMilli(rec.Expires)
	}
	return []engine.Companion{c}
}

// admit is begin for a state whose group creates the session's record.
func (r *resolution) admit() error {
	if !r.brings() {
		return nil
	}
	return r.ss.begin(r.session)
}

// brings reports whether the state's first record is stored with the session's.
func (r *resolution) brings() bool {
	return r.kind.Backend == r.ss.kind.Backend && r.version.Revision == 0
}

// admitLater is admit for a state that is saved later. Until then the session
// is not stored, and further states of the request do not count it again.
func (r *resolution) admitLater() error {
	if !r.brings() || r.counted != nil && r.counted.Load() {
		return nil
	}
	err := r.ss.begin(r.session)
	if r.counted != nil && err == nil {
		r.counted.Store(true)
	}
	return err
}

// Later implements engine.Guard. A change that was acknowledged while the
// session was valid is stored, however the session has changed since; states of
// the session alone are dropped when it ends. So Later decides now whether one
// more session may begin: an acknowledged change is not refused later.
func (r *resolution) Later() (engine.Later, error) {
	if err := r.admitLater(); err != nil {
		return nil, err
	}
	own := *r // r is part of what the caller's request holds
	own.request, own.counted, own.carrier = nil, nil, described(deviceOf(r.carrier))
	return func(current func(*engine.Kind, string) (*engine.Version, error)) ([]engine.Companion, bool, error) {
		v, err := current(own.ss.kind, own.session)
		if err != nil {
			return nil, false, err
		}
		rec := v.Value.(*sessionRecord)
		if rec == nil && own.version.Revision != 0 || rec != nil && rec.past().Ended != 0 {
			return nil, own.key != "", nil
		}
		return own.companions(v), true, nil
	}, nil
}

// resolveID names the instance of a module's state for the session with this
// ID, which must be stored and not have ended.
func (ss *sessions) resolveID(ctx context.Context, m *module, id string, ref *engine.Ref, r *resolution) error {
	notFound := &Error{Code: ErrNotFound, Module: m.name, Phase: "resolve", KeyHash: keyHash(id), Message: "no such session"}
	if !keyspace.MayBeSessionID(id) {
		return notFound
	}
	id = strings.Clone(id) // it may be part of a request's string, and is kept
	now := ss.app.opts.Clock()
	v, asked, err := ss.fresh(ctx, id, now, engine.Ref{Kind: m.kind, Key: id, Now: now})
	if err != nil {
		return err
	}
	rec := v.Value.(*sessionRecord)
	if rec == nil || rec.past().Ended != 0 {
		return notFound
	}
	over, _ := rec.over(now)
	switch revoked, _, err := ss.revoked(ctx, rec, &purpose{asked: asked}, now); {
	case err != nil:
		return err
	case revoked, over:
		return notFound
	}
	created := time.UnixMilli(rec.Created)
	t := m.locate(id, rec)
	ref.Kind, ref.Key, ref.Expires, ref.Now = t.kind, t.id, ss.keepsUntil(created, rec), now
	if r != nil {
		*r = resolution{ss: ss, target: t, of: m, seen: seen{session: id, gen: rec.Gen, created: created, version: v}}
		ref.Guard = r
	}
	return nil
}

// resolve names the instance of a module's state for this session. A change
// also needs r, which guards the resolution. What is rare has functions of its
// own: nearly every request comes through here when its stack is deep.
func (ss *sessions) resolve(ctx context.Context, s bearer, m *module, ref *engine.Ref, r *resolution) error {
	s.lock()
	defer s.unlock()
	now := ss.app.opts.Clock()
	if err := s.sync(ctx, m, now); err != nil {
		return err
	}
	is, synced, err := s.current(ctx, now)
	if err != nil {
		return err
	}
	rec := is.record()
	if m.guestWaits(rec) && !nested(ctx) { // a run has a turn, and must not wait for others
		return errGuestWaits
	}
	t := m.locate(is.session, rec)
	isNew := t.key == "" && is.isNew
	if ss.app.manyOwners.Load() && (synced == nil || t != *synced) {
		if err := ss.syncTarget(ctx, m, &t, isNew, now); err != nil {
			return err
		}
	}
	if t.attached {
		if ref.Seen, err = ss.attached(ctx, m, &is, &t, now); err != nil {
			return err
		}
	}
	if len(t.key) > maxKey {
		return m.longKey(t.key)
	}
	ref.Kind, ref.Key, ref.Now = t.kind, t.id, now
	if t.key == "" {
		ref.New, ref.First = isNew, is.drawn
		ref.Expires = ss.keepsUntil(is.created, rec)
	}
	if r != nil {
		r.set(ss, m, s, &t, &is)
		s.changes()
		ref.Guard = r
	}
	return nil
}

// syncTarget brings the state of a target up to date.
func (ss *sessions) syncTarget(ctx context.Context, m *module, t *target, isNew bool, now time.Time) error {
	if err := ss.app.sync(ctx, engine.Ref{Kind: t.kind, Key: t.id, New: isNew, Now: now}); err != nil {
		return m.error(err, "", t.id)
	}
	return nil
}

// attached returns the version of the state that the session is attached to. If
// it may not have it any more, the target becomes that of a session whose key has
// no state.
func (ss *sessions) attached(ctx context.Context, m *module, is *seen, t *target, now time.Time) (*engine.Version, error) {
	v, err := ss.app.engine.Get(ctx, &engine.Ref{Kind: t.kind, Key: t.id, Now: now})
	if err != nil {
		return nil, m.error(err, "", t.id)
	}
	if t.holds(v) {
		return v, nil
	}
	*t = m.detached(is.session, is.record())
	return nil, ss.syncTarget(ctx, m, t, false, now)
}

// elsewhere reports whether the state is not in the store that has the session's
// record: no group can have both.
func (r *resolution) elsewhere() bool { return r.kind.Backend != r.ss.kind.Backend }

// Stands implements engine.Guard: on a store with other owners the session and
// its user are brought up to date first.
func (r *resolution) Stands(v *engine.Version) bool {
	if !r.isNew && r.refresh() != nil {
		return false // the next resolution gets the error
	}
	return r.Valid(v)
}

func (r *resolution) refresh() error {
	app := r.ss.app
	if !app.manyOwners.Load() {
		return nil
	}
	ctx, now := app.engine.Context(), app.opts.Clock()
	v, asked, err := r.ss.fresh(ctx, r.session, now)
	if err != nil {
		return err
	}
	if user := v.Value.(*sessionRecord).user(); user != "" && user != asked {
		return app.sync(ctx, engine.Ref{Kind: r.ss.users, Key: user, Now: now})
	}
	return nil
}

// resolve names the instance for a call.
func (c untyped) resolve(ctx context.Context, ref *engine.Ref, r *resolution) error {
	m := c.module
	switch {
	case c.at:
		return c.resolveAt(ctx, ref, r)
	case m.scope == scopeGlobal:
		return c.common(ctx, "", ref)
	}
	s := sessionOf(ctx, m.app.base)
	if s == nil {
		return m.noSession()
	}
	b := s.guise.(bearer)
	for {
		err := c.app.sessions.resolve(ctx, b, m, ref, r)
		if err == nil || !errors.Is(err, errGuestWaits) {
			return err
		}
		if err := c.app.sessions.takeAlong(context.WithValue(ctx, remembered{}, nil), b, m); err != nil {
			return err
		}
	}
}

func (m *module) noSession() error {
	return &Error{
		Code: ErrNoSession, Module: m.name, Phase: "resolve",
		Err: errors.New("the context carries no session of this App: wrap the handler in web.Sessions and use the request's context, or name the key with At"),
	}
}

// resolveAt is resolve for a call that names the key.
func (c untyped) resolveAt(ctx context.Context, ref *engine.Ref, r *resolution) error {
	m := c.module
	switch {
	case m.scope == scopeSession:
		return c.app.sessions.resolveID(ctx, m, c.of(), ref, r)
	case m.scope == scopeGlobal || m.scope == scopeEphemeral:
		return &Error{Code: ErrInvalid, Module: m.name, Phase: "resolve", Message: "this state has no keys: call it without At"}
	case c.of() == "":
		return &Error{Code: ErrInvalid, Module: m.name, Phase: "resolve", Message: "the key is empty"}
	case len(c.of()) > maxKey:
		return m.longKey(c.of())
	}
	return c.common(ctx, c.of(), ref)
}

// shared reports whether everybody has the same state.
func (c untyped) shared() bool {
	return c.module.scope == scopeGlobal || c.at && c.module.scope != scopeSession
}

// common names an instance that belongs to no session.
func (c untyped) common(ctx context.Context, key string, ref *engine.Ref) error {
	m := c.module
	ref.Kind, ref.Key = m.kind, key
	if !m.app.manyOwners.Load() {
		return nil
	}
	ref.Now = m.app.opts.Clock()
	if err := m.app.sync(ctx, *ref); err != nil {
		return m.error(err, "", key)
	}
	return nil
}
