package stay

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/store"
)

// sessions keeps the records of sessions, as states of a kind of their own.
// A session has a record from its first stored state, renewal or end on; the
// record and the first stored state are one group.
type sessions struct {
	app  *App
	kind *engine.Kind
}

// A sessionRecord is what is stored of a session; nil where nothing is. Times
// are Unix milliseconds, 0 = never.
type sessionRecord struct {
	Gen     uint32 `json:"gen"` // of the cookie that is valid
	Created int64  `json:"created"`
	Seen    int64  `json:"seen"`
	Expires int64  `json:"expires"`
	Renewed int64  `json:"renewed,omitempty"`
	Ended   int64  `json:"ended,omitempty"` // then the record is a tombstone
}

func (ss *sessions) init(app *App) {
	ss.app = app
	ss.kind = &engine.Kind{
		Name: "session", Prefix: "stay/session/", Backend: app.backend, Type: sessionType{}, Version: 1,
		Expiry: func(v any) time.Time { return time.UnixMilli(v.(*sessionRecord).Expires) },
	}
}

// record makes the record of a session that has none.
func (ss *sessions) record(created, now time.Time) *sessionRecord {
	rec := &sessionRecord{Created: created.UnixMilli()}
	ss.slide(rec, now)
	return rec
}

// slide notes that the session is in use. It never shortens what an earlier
// IdleTimeout promised: a cookie must not outlive the record that tells
// whether it is still good.
func (ss *sessions) slide(rec *sessionRecord, now time.Time) {
	rec.Seen = now.UnixMilli()
	rec.Expires = max(rec.Expires, ss.end(time.UnixMilli(rec.Created), now).UnixMilli())
}

// end is when a session that was used at now ends.
func (ss *sessions) end(created, now time.Time) time.Time {
	idle, life := now.Add(ss.app.opts.IdleTimeout), created.Add(ss.app.opts.Lifetime)
	if life.Before(idle) {
		return life
	}
	return idle
}

func (ss *sessions) get(ctx context.Context, key string, isNew bool, now time.Time) (*engine.Version, error) {
	v, err := ss.app.engine.Get(ctx, &engine.Ref{Kind: ss.kind, Key: key, New: isNew, Now: now})
	if err != nil {
		return nil, ss.error(err, key)
	}
	return v, nil
}

// change runs fn on the session's record, nil if there is none, and stores
// what it returns.
func (ss *sessions) change(ctx context.Context, key string, fn func(rec *sessionRecord, now time.Time) (*sessionRecord, error)) (*sessionRecord, error) {
	v, err := ss.app.engine.Update(ctx, &sessionOp{ss, key, fn})
	if err != nil {
		return nil, ss.error(err, key)
	}
	return v.(*sessionRecord), nil
}

func (ss *sessions) error(err error, key string) error {
	e := toError(err)
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	return e
}

// deleteStates removes the states of a session that has ended. Nobody can
// reach them any more, so a failure is only reported: they go with the
// tombstone.
func (ss *sessions) deleteStates(ctx context.Context, key string) {
	for _, m := range ss.app.perSession() {
		if m.kind.Backend == nil {
			ss.app.engine.Drop(m.kind, key)
			continue
		}
		if _, err := ss.app.engine.Update(ctx, &deleteOp{m.kind, key}); err != nil {
			e := toError(err)
			e.Module, e.Phase, e.KeyHash = m.name, "destroy", keyHash(key)
			ss.app.report(m, newCall(ctx, m.name, ""), e)
		}
	}
}

// resolveID names the instance of a module's state for the session with this
// ID, which must be stored and not have ended.
func (ss *sessions) resolveID(ctx context.Context, m *module, id string, r *resolution) (engine.Ref, error) {
	notFound := &Error{Code: ErrNotFound, Module: m.name, Phase: "resolve", KeyHash: keyHash(id), Message: "no such session"}
	if len(id) != idEncoding.EncodedLen(20) {
		return engine.Ref{}, notFound
	}
	v, err := ss.get(ctx, id, false, ss.app.opts.Clock())
	if err != nil {
		return engine.Ref{}, err
	}
	rec := v.Value.(*sessionRecord)
	if rec == nil || rec.Ended != 0 {
		return engine.Ref{}, notFound
	}
	created := time.UnixMilli(rec.Created)
	ref := engine.Ref{Kind: m.kind, Key: id, Expires: created.Add(ss.app.opts.Lifetime)}
	if r != nil {
		*r = resolution{sessions: ss, key: id, gen: rec.Gen, created: created, version: v}
		ref.Guard = r
	}
	return ref, nil
}

// A resolution remembers the session's record that a call was resolved with.
type resolution struct {
	*sessions
	key     string
	gen     uint32
	created time.Time
	version *engine.Version
}

// Valid implements engine.Guard: the session has not been ended or renewed
// since. A session that is not in memory was not changed by this process
// lately; Create asks the store.
func (r *resolution) Valid(*engine.Version) bool {
	v := r.app.engine.Peek(r.kind, r.key)
	if v == nil {
		return true
	}
	rec := v.Value.(*sessionRecord)
	if rec == nil {
		return r.version.Revision == 0
	}
	return rec.Ended == 0 && rec.Gen == r.gen
}

// Create implements engine.Guard: a state is created together with the
// session's record, or only if that record is still the one that was seen. So
// a request that is under way cannot bring back a session that was ended.
func (r *resolution) Create() []engine.Companion {
	c := engine.Companion{Kind: r.kind, Key: r.key, Base: r.version.Revision, Meta: r.version.Meta}
	if r.version.Revision == 0 {
		rec := r.record(r.created, r.app.opts.Clock())
		c.Value, c.Expires = rec, time.UnixMilli(rec.Expires)
	}
	return []engine.Companion{c}
}

// sessionOp is a change of a session's record.
type sessionOp struct {
	*sessions
	key string
	fn  func(rec *sessionRecord, now time.Time) (*sessionRecord, error)
}

// Resolve implements engine.Op.
func (o *sessionOp) Resolve(context.Context) (engine.Ref, error) {
	return engine.Ref{Kind: o.kind, Key: o.key}, nil
}

// Run implements engine.Op.
func (o *sessionOp) Run(v any, _ *engine.Version) (any, error) {
	rec, err := o.fn(v.(*sessionRecord), o.app.opts.Clock())
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// Committed implements engine.Op.
func (o *sessionOp) Committed(context.Context) {}

// deleteOp removes a state, whoever it belongs to.
type deleteOp struct {
	kind *engine.Kind
	key  string
}

// Resolve implements engine.Op.
func (o *deleteOp) Resolve(context.Context) (engine.Ref, error) {
	return engine.Ref{Kind: o.kind, Key: o.key}, nil
}

// Run implements engine.Op.
func (o *deleteOp) Run(any, *engine.Version) (any, error) { return engine.Deleted, nil }

// Committed implements engine.Op.
func (o *deleteOp) Committed(context.Context) {}

// sessionType is what the engine needs to know of session records.
type sessionType struct{}

func (sessionType) Clone(v any) any {
	rec := v.(*sessionRecord)
	if rec == nil {
		return rec
	}
	c := *rec
	return &c
}

func (sessionType) Encode(v, _ any) ([]byte, error) {
	if v.(*sessionRecord) == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

func (t sessionType) Settle(v any, _ []byte) (settled, result any, err error) {
	return t.Clone(v), v, nil
}

func (t sessionType) Load(_ context.Context, key string, rec *store.Record) (v, extra any, encoded []byte, err error) {
	if rec.Revision == 0 {
		return (*sessionRecord)(nil), nil, nil, nil
	}
	out := &sessionRecord{}
	if err := json.Unmarshal(rec.Value, out); err != nil || rec.Version > 1 {
		return nil, nil, nil, &Error{
			Code: ErrCorrupt, Phase: "decode", KeyHash: keyHash(key), Err: err,
			Message: "the stored session cannot be read; it was left as it is",
		}
	}
	encoded, err = t.Encode(out, nil)
	return out, nil, encoded, err
}
