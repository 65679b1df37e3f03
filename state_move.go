package stay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stay-go/stay/internal/engine"
)

// A keyChange is a run that left a state with another key than it began with.
// Nothing of it is kept where it ran: see move.
type keyChange struct {
	result any             // what it left
	key    string          // of the result
	from   *engine.Version // what it began with
}

func (*keyChange) Error() string { return "the key of the state has changed" }

// A move is a change of the key by a change of state: login, logout and
// switch. The run that led to it has ended, and its instance is as it was; the
// move takes the turns of all that it touches and writes them in one group.
// Where one of them is not what the run has seen, everything starts again. No
// order of single writes would do: a crash or a parallel request between two
// of them loses the guest's work, adopts it twice, or leaves a session that is
// logged in by half.
//
// Everybody who takes several turns takes those of guests first, then those
// under keys, by module name and key, those of users, and that of the session:
// so nobody waits in a circle, and a state that several devices share is not
// held while a guest's change ends. The guests' are given back last: what waits
// for a guest must find the session already where it went.
type move struct {
	*op
	left    *keyChange
	session bearer

	target, guest, user, own int // where they are among the parts; -1 = no part
	rec                      *sessionRecord
	foreign                  *Error // what is stored under the key says it is another's
	tooLarge                 bool   // the guest's state does not fit beside it, and is dropped
}

// carryOut moves the session to the key of the result. It returns what the state
// is now; again means that the change has to start again.
func (mv *move) carryOut(ctx context.Context) (v any, again bool, err error) {
	m, r := mv.module, &mv.res
	if len(mv.left.key) > maxKey {
		return nil, false, m.longKey(mv.left.key)
	}
	if m.keepsNoCookie() {
		if err := mv.session.takesCookie(true); err != nil {
			return nil, false, err
		}
	}
	now := m.app.opts.Clock()
	var refs []engine.Ref
	part := func(ref engine.Ref) int {
		ref.Now = now
		refs = append(refs, ref)
		return len(refs) - 1
	}
	mv.target, mv.guest, mv.user = -1, -1, -1
	expires := r.ss.keepsUntil(r.created, r.record())
	switch mv.left.key {
	case "":
		next := m.keyed("", r.session, m.moves(r.record())+1)
		mv.target = part(engine.Ref{Kind: next.kind, Key: next.id, New: true, Expires: expires})
	default:
		if r.key == "" {
			mv.guest = part(engine.Ref{Kind: r.kind, Key: r.id, Expires: expires, Last: true})
		}
		mv.target = part(engine.Ref{Kind: m.kind, Key: mv.left.key})
	}
	if user := r.record().user(); user != "" {
		mv.user = part(engine.Ref{Kind: r.ss.users, Key: user})
	}
	mv.own = part(engine.Ref{Kind: r.ss.kind, Key: r.session})
	if mv.guest < 0 { // what comes before the change of the key is kept
		if err := m.app.engine.Flush(ctx, engine.Ref{Kind: r.kind, Key: r.id}); err != nil {
			return nil, false, err
		}
	}
	left, again, err := m.app.engine.UpdateGroup(ctx, refs, mv)
	if mv.foreign != nil && err != nil {
		m.app.report(m.onError, m.app.newCall(m.app.engine.Context(), m.name, mv.action), mv.foreign)
	}
	if again || err != nil {
		return nil, again, err
	}
	r.ss.moved(ctx, mv.session, r.gen, mv.rec)
	if mv.tooLarge {
		m.reportTooLarge(mv.left.key, mv.action)
	}
	return m.schema.Clone(left[mv.target].Value), false, nil
}

// Run implements engine.GroupOp.
func (mv *move) Run(now []*engine.Version, birth engine.Birth) ([]engine.Result, error) {
	m, r := mv.module, &mv.res
	if now[mv.own].Revision != r.version.Revision || !r.Valid(mv.left.from) {
		return nil, engine.ErrRestart
	}
	if mv.user >= 0 && revoked(r.record(), now[mv.user]) {
		return nil, engine.ErrRestart
	}
	if mv.guest >= 0 && !sameGuest(now[mv.guest], mv.left.from) {
		return nil, engine.ErrRestart // somebody else has worked as the guest meanwhile
	}
	out := make([]engine.Result, len(now))
	var err error
	if out[mv.target], err = mv.land(now[mv.target]); err != nil {
		return nil, err
	}
	if mv.guest >= 0 {
		out[mv.guest] = engine.Result{Delete: true}
	}
	if mv.left.key != "" && now[mv.target].Revision != 0 {
		birth = now[mv.target].Birth()
	}
	clock := m.app.opts.Clock()
	if mv.rec, err = r.ss.moving(&r.seen, clock); err != nil {
		return nil, err
	}
	mv.rec.attach(m.name, mv.left.key, birth)
	out[mv.own] = engine.Result{Value: mv.rec}
	return out, nil
}

// sameGuest reports whether nobody has changed a guest's state in between.
// Revisions alone do not tell: in memory they begin again with a state that was
// deleted. One that was never changed may look different each time that
// OnCreated makes it.
func sameGuest(now, then *engine.Version) bool {
	return !now.Exists() && !then.Exists() || now.Same(then)
}

// land returns what becomes of the instance that the session moves to; none if
// it stays as it is.
func (mv *move) land(there *engine.Version) (engine.Result, error) {
	m := mv.module
	login := mv.guest >= 0
	if login && there.Revision == 0 { // K2: nothing is stored, the guest's state is adopted whole
		return engine.Result{Value: mv.left.result, Fresh: true}, nil
	}
	v := m.schema.Clone(there.Value)
	if err := mv.checkOwner(there, v); err != nil {
		return engine.Result{}, err
	}
	m.schema.CopyKeyFields(v, mv.left.result)
	if login {
		stored := m.schema.Clone(v)
		if err := m.adoptInto(v, m.schema.Clone(mv.left.result)); err != nil {
			return engine.Result{}, err
		}
		fits, err := m.fits(v)
		if err != nil {
			return engine.Result{}, err
		}
		if mv.tooLarge = !fits; mv.tooLarge {
			v = stored
		}
	} else if m.app.opts.Development {
		mv.reportDropped()
	}
	if key := m.stateKey(mv.res.session, mv.res.record(), v); key != mv.left.key {
		return engine.Result{}, &Error{
			Code: ErrInternal, Module: m.name, Phase: "run", Err: fmt.Errorf(
				"the key is another one with the state that is stored under it: %s must read only fields tagged stay:\"key\", and Adopt must not change them", m.key.name),
		}
	}
	if there.Revision == 0 && mv.left.key == "" {
		encoded, err := m.schema.Encode(v, nil)
		if err == nil && m.app.engine.Encodes(there, encoded) {
			return engine.Result{}, nil // a guest with the initial state needs no instance
		}
	}
	return engine.Result{Value: v}, nil
}

// checkOwner refuses a record of another key, for a key function that needs the
// session and could not be asked when the record was loaded (K7). One with the
// initial key fields does not say whose it is.
func (mv *move) checkOwner(there *engine.Version, v any) error {
	m := mv.module
	if there.Revision == 0 || mv.left.key == "" || !m.key.calls {
		return nil
	}
	owner := func(v any) string { return m.stateKey(mv.res.session, mv.res.record(), v) }
	switch owner(v) {
	case "", mv.left.key, owner(m.schema.Initial()):
		return nil
	}
	mv.foreign = m.corrupt(mv.left.key, errors.New("the state belongs to another key"))
	mv.foreign.Action = mv.action
	return mv.foreign
}

// reportDropped tells a developer what a logout or switch has dropped.
func (mv *move) reportDropped() {
	m := mv.module
	before, after := m.schema.Clone(mv.left.from.Value), mv.left.result
	m.schema.CopyKeyFields(before, after)
	b, err1 := m.schema.Encode(before, nil)
	a, err2 := m.schema.Encode(after, nil)
	if err1 == nil && err2 == nil && !bytes.Equal(a, b) {
		m.app.logCrowd(slog.LevelWarn, logDropped, "stay: a change that took the state's key away, or replaced it, also changed other fields: they were dropped; make them in a change before",
			slog.String("module", m.name), slog.String("action", mv.action))
	}
}

// Committed implements engine.GroupOp.
func (mv *move) Committed(ctx context.Context) { mv.op.Committed(ctx) }

// checkKey compares the key of what a run left with the key that it ran under.
func (o *op) checkKey(res engine.Result, from *engine.Version) error {
	m, v := o.module, res.Value
	switch {
	case m.key == nil || res.Delete:
		return nil
	case !o.at && m.byState():
		if key := m.stateKey(o.res.session, o.res.record(), v); key != o.res.key {
			return o.leave(v, key, from)
		}
	case o.at && !m.key.calls:
		if key := m.key.key(nil, v); key != o.of() {
			return &Error{
				Code: ErrInvalid, Module: m.name, Phase: "run", KeyHash: keyHash(o.of()),
				Message: "the state would belong to another key",
				Err:     errors.New("through At the key stays: for a key that has no state yet, set the fields tagged stay:\"key\" first"),
			}
		}
	}
	return nil
}

// leave ends a run that changed the key. Two keys must not become one by being
// written as JSON.
func (o *op) leave(v any, key string, from *engine.Version) error {
	m := o.module
	encoded, err := m.Encode(v, nil)
	if err != nil {
		return err
	}
	settled, _, _, err := m.Settle(v, from.Value, nil, encoded)
	if err != nil {
		return err
	}
	if m.stateKey(o.res.session, o.res.record(), settled) != key {
		return &Error{
			Code: ErrInvalid, Module: m.name, Phase: "run", KeyHash: keyHash(key), Message: "the key cannot be stored",
			Err: errors.New("JSON does not keep the fields tagged stay:\"key\" as they are, for example because of invalid UTF-8"),
		}
	}
	return &keyChange{result: settled, key: key, from: from}
}
