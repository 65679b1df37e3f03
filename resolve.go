package stay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
)

// A target is the instance of a module that a session has, as its record
// stands.
type target struct {
	kind *engine.Kind
	id   string // the instance's key within the kind
	key  string // of the state's owner; "" for the states of sessions and guests
	// attached: the session was attached to the key by a change of state, when
	// its record had this birth. If the record has gone since, the session is
	// a guest again, also if another record has come in its place.
	attached bool
	birth    engine.Birth
}

// holds reports whether the version is one that the session may have.
func (t *target) holds(v *engine.Version) bool {
	return !t.attached || v.Revision != 0 && v.Birth() == t.birth
}

// byState: the key follows from the state, and changes with it.
func (m *module) byState() bool { return m.key != nil && len(m.schema.KeyFields()) > 0 }

// bySession: the key follows from the session, and changes with its user.
func (m *module) bySession() bool {
	return m.scope == scopeUser || m.key != nil && !m.byState()
}

// locate returns the target for the session with this ID and record, which is
// nil for one that is not stored.
func (m *module) locate(id string, rec *sessionRecord) target {
	switch {
	case m.scope == scopeSession:
		return target{kind: m.kind, id: id}
	case m.bySession():
		return m.keyed(m.sessionKey(id, rec), id, m.moves(rec))
	case m.byState():
		if rec != nil {
			past := rec.past()
			a := past.Keys[m.name]
			switch {
			case m.key.calls && a.Logins != past.Logins: // another user's
			case a.Attached:
				return target{kind: m.kind, id: string(a.Key), key: string(a.Key), attached: true, birth: a.Birth}
			case a.Moves > 0:
				return m.keyed("", id, m.moves(rec))
			}
		}
		return m.detached(id, rec)
	}
	return target{kind: m.guest, id: id}
}

// detached is what locate returns for a session whose key has no state.
func (m *module) detached(id string, rec *sessionRecord) target {
	return m.keyed(m.stateKey(id, rec, m.schema.Initial()), id, m.moves(rec))
}

// moves numbers the guests that the session has had of the module. A user who
// leaves the session and a change of the key begin a new one. A login of a
// session that was nobody's does not: what nobody did becomes the user's.
func (m *module) moves(rec *sessionRecord) uint32 {
	if rec == nil {
		return 0
	}
	past := rec.past()
	return past.Left + past.Keys[m.name].Moves
}

// guests returns the numbers of the guests of a module that the session may
// have states of: the one that it has now, and those that wait.
func (r *sessionRecord) guests(module string) []uint32 {
	past := r.past()
	a := past.Keys[module]
	all := []uint32{past.Left + a.Moves}
	for _, w := range a.Waiting {
		if !slices.Contains(all, w.Moves) {
			all = append(all, w.Moves)
		}
	}
	return all
}

// sameOwner reports whether the session has not changed hands between two of
// its records, as far as the module is concerned.
func (m *module) sameOwner(a, b *sessionRecord) bool {
	if !m.keyedScope() {
		return true
	}
	return m.moves(a) == m.moves(b) && a.past().Logins == b.past().Logins
}

// keyedScope reports whether the states belong to keys, and to guests before
// there is one.
func (m *module) keyedScope() bool { return m.scope == scopeUser || m.scope == scopeKey }

// keyed returns the target of a key, or the guest's of the session if the key
// is "". Each change of the key and of the user begins a new guest, so that one
// whose state was taken along, or is somebody else's, is out of reach from that
// moment on.
func (m *module) keyed(key, id string, moves uint32) target {
	if key != "" {
		return target{kind: m.kind, id: key, key: key}
	}
	return target{kind: m.guest, id: keyspace.GuestID(id, moves)}
}

// sessionKey computes the key of a module whose key follows from the session.
func (m *module) sessionKey(id string, rec *sessionRecord) string {
	if m.scope == scopeUser {
		return rec.user()
	}
	return m.stateKey(id, rec, m.schema.Initial())
}

// stateKey computes the key of v. The key function sees the session as its
// record says, without any way to change it.
func (m *module) stateKey(id string, rec *sessionRecord, v any) string {
	if !m.key.calls {
		return m.key.key(nil, v)
	}
	c := m.app.newCall(m.app.engine.Context(), m.name, "")
	c.session = m.app.listed(id, rec)
	defer c.run.over.Store(true)
	return m.key.key(c, v)
}

// stateOf returns the module and kind of a state's record, and the key of the
// state; nil if the record is none of a module of this App.
func (a *registry) stateOf(key string) (*module, *engine.Kind, string) {
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

// A sessionState is a state that goes when its session goes.
type sessionState struct {
	module *module
	kind   *engine.Kind
	key    string
}

// statesOfSession returns where the states of a session are: those that can
// exist, whether they do or not.
func (a *registry) statesOfSession(id string, rec *sessionRecord) []sessionState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []sessionState
	for _, m := range a.modules {
		switch m.scope {
		case scopeGlobal:
		case scopeSession:
			out = append(out, sessionState{m, m.kind, id})
		case scopeEphemeral:
			out = append(out, sessionState{m, m.guest, id})
		default:
			for _, moves := range rec.guests(m.name) {
				t := m.keyed("", id, moves)
				out = append(out, sessionState{m, t.kind, t.id})
			}
		}
	}
	return out
}

// A resolution remembers the session's record that a call was resolved with,
// and what it led to.
type resolution struct {
	target
	seen
	ss      *sessions
	of      *module
	request bearer          // that resolved it; nil for a Login and for At
	user    *engine.Version // of its user's record, as Valid has seen it; nil for a guest
}

// Valid implements engine.Guard: the session has not been ended, renewed or
// attached elsewhere since. What a session that is not in memory became is
// asked from the store: by Create where a state is created, else here, for
// nobody refuses what is apart from the record.
func (r *resolution) Valid(v *engine.Version) bool {
	if !r.holds(v) {
		return false
	}
	e := r.ss.app.engine
	rec := r.record()
	now := e.Peek(r.ss.kind, r.session)
	if now == nil && r.apart() && !r.isNew {
		var err error
		if now, err = e.Get(e.Context(), &engine.Ref{Kind: r.ss.kind, Key: r.session}); err != nil {
			return false // whoever resolves again gets the error
		}
	}
	if now != nil && now != r.version {
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

// Create implements engine.Guard: a state is created together with the
// session's record, or only if that record is still the one that was seen, and
// the user's as well. So a request that is under way cannot bring back a session
// that was ended, nor the state of a user who was deleted and whose sessions
// were revoked. It fails with ErrBusy when too many sessions begin to be stored.
func (r *resolution) Create() ([]engine.Companion, error) {
	if err := r.admit(); err != nil {
		return nil, err
	}
	all := r.companions(r.version)
	if len(all) == 0 || r.user == nil || r.record().user() == "" {
		return all, nil
	}
	// A revocation is in the user's record only.
	return append(all, engine.Companion{Kind: r.ss.users, Key: r.record().user(), Base: r.user}), nil
}

// companions ties the creation of a state to the session's record, which has
// this version. A state in another store cannot be in a group with the record:
// it is created after the record, see op.ready, and the record is looked at
// again then, see Stands.
func (r *resolution) companions(v *engine.Version) []engine.Companion {
	if r.apart() {
		return nil
	}
	c := engine.Companion{Kind: r.ss.kind, Key: r.session, Base: v}
	if v.Revision == 0 {
		rec := r.ss.record(r.created, r.idleEnd, r.ss.app.opts.Clock())
		c.Value, c.Bytes, c.Expires = rec, rec.memory(), time.UnixMilli(rec.Expires)
	}
	return []engine.Companion{c}
}

// admit is begin where the state brings the session's record with it.
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
// session stood is stored however the session has changed since; when the
// session is over, what belongs to it alone goes with it. So whether one more
// session may begin is decided now: what is acknowledged is not refused later.
func (r *resolution) Later() (engine.Later, error) {
	if err := r.admitLater(); err != nil {
		return nil, err
	}
	own := *r // r is part of what the caller's request holds
	own.request, own.counted = nil, nil
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
func (ss *sessions) resolveID(ctx context.Context, m *module, id string, r *resolution) (engine.Ref, error) {
	notFound := &Error{Code: ErrNotFound, Module: m.name, Phase: "resolve", KeyHash: keyHash(id), Message: "no such session"}
	if !keyspace.MayBeSessionID(id) {
		return engine.Ref{}, notFound
	}
	id = strings.Clone(id) // it may be a piece of a request, and is kept
	now := ss.app.opts.Clock()
	v, asked, err := ss.fresh(ctx, id, now, engine.Ref{Kind: m.kind, Key: id, Now: now})
	if err != nil {
		return engine.Ref{}, err
	}
	rec := v.Value.(*sessionRecord)
	if rec == nil || rec.past().Ended != 0 {
		return engine.Ref{}, notFound
	}
	switch revoked, _, err := ss.revoked(ctx, rec, asked, now); {
	case err != nil:
		return engine.Ref{}, err
	case revoked:
		return engine.Ref{}, notFound
	}
	created := time.UnixMilli(rec.Created)
	t := m.locate(id, rec)
	ref := engine.Ref{Kind: t.kind, Key: t.id, Expires: created.Add(ss.app.opts.Lifetime), Now: now}
	if r != nil {
		*r = resolution{ss: ss, target: t, of: m, seen: seen{session: id, gen: rec.Gen, created: created, version: v}}
		ref.Guard = r
	}
	return ref, nil
}

// resolve names the instance of a module's state for this session. A change
// also needs r, which watches over the resolution.
func (ss *sessions) resolve(ctx context.Context, s bearer, m *module, r *resolution) (engine.Ref, error) {
	s.lock()
	defer s.unlock()
	now := ss.app.opts.Clock()
	synced, err := s.sync(ctx, m, now)
	if err != nil {
		return engine.Ref{}, err
	}
	is, err := s.current(ctx, now)
	if err != nil {
		return engine.Ref{}, err
	}
	rec := is.record()
	if m.guestWaits(rec) && !nested(ctx) { // a run has a turn: it must not take others
		return engine.Ref{}, errGuestWaits
	}
	t := m.locate(is.session, rec)
	if t != synced {
		if err := ss.app.sync(ctx, engine.Ref{Kind: t.kind, Key: t.id, New: t.key == "" && is.isNew, Now: now}); err != nil {
			return engine.Ref{}, m.error(err, "", t.id)
		}
	}
	var state *engine.Version
	if t.attached {
		v, err := ss.app.engine.Get(ctx, &engine.Ref{Kind: t.kind, Key: t.id, Now: now})
		if err != nil {
			return engine.Ref{}, m.error(err, "", t.id)
		}
		if state = v; !t.holds(v) {
			state, t = nil, m.detached(is.session, rec)
			if err := ss.app.sync(ctx, engine.Ref{Kind: t.kind, Key: t.id, Now: now}); err != nil {
				return engine.Ref{}, m.error(err, "", t.id)
			}
		}
	}
	if len(t.key) > maxKey {
		return engine.Ref{}, m.longKey(t.key)
	}
	ref := engine.Ref{Kind: t.kind, Key: t.id, Now: now, Seen: state}
	if t.key == "" {
		ref.New, ref.First = is.isNew, is.drawn
		ref.Expires = is.created.Add(ss.app.opts.Lifetime)
	}
	if r != nil {
		*r = resolution{ss: ss, target: t, of: m, request: s, seen: is}
		s.changes()
		ref.Guard = r
	}
	return ref, nil
}
